//! A listener's port or ports.

use std::{fmt, ops::RangeInclusive};

use crate::config::{model::Protocol, report::Report, value::Value};

/// Ports of protocols that name addresses inside their payload, which nothing here rewrites.
const EMBEDDING: [(Protocol, u16, &str, &str); 8] = [
    (Protocol::Tcp, 20, "FTP", FTP),
    (Protocol::Tcp, 21, "FTP", FTP),
    (Protocol::Udp, 69, "TFTP", "TFTP answers from another port: serve it beside the balancer"),
    (Protocol::Udp, 1719, "H.323", GATEKEEPER),
    (Protocol::Tcp, 1720, "H.323", GATEKEEPER),
    (Protocol::Tcp, 5060, "SIP", SIP_PROXY),
    (Protocol::Udp, 5060, "SIP", SIP_PROXY),
    (Protocol::Tcp, 5061, "SIP", SIP_PROXY),
];
const FTP: &str = "offer SFTP or HTTPS instead, or send clients to one FTP server";
const GATEKEEPER: &str = "put an H.323 gatekeeper or proxy in front instead";
const SIP_PROXY: &str = "put a SIP proxy in front, or let the servers write their public address";

/// First and last port of a listener.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) first: u16,
    pub(super) last: u16,
}

impl Ports {
    /// True if there are several.
    pub(super) const fn is_range(self) -> bool {
        self.first < self.last
    }

    /// True if a port belongs to both.
    pub(super) const fn overlap(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    const fn all(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_range() {
            true => write!(f, "ports {}-{}", self.first, self.last),
            false => write!(f, "port {}", self.first),
        }
    }
}

/// Reads a port or a range.
pub(super) fn check(
    value: Value<'_>,
    protocol: Option<Protocol>,
    report: &mut Report<'_>,
) -> Option<Ports> {
    let ports = match value.as_text().and_then(|text| text.split_once('-')) {
        Some((first, last)) => range(first.trim(), last.trim(), value, report)?,
        None => {
            let port = value.integer_within(1, 65_535, report)?;
            Ports { first: port, last: port }
        }
    };
    let mut warned = "";
    for (_, port, name, hint) in EMBEDDING.iter().filter(|row| Some(row.0) == protocol) {
        if ports.all().contains(port) && warned != *name {
            warned = name;
            let message = format!(
                "port {port} is {name}'s, which names addresses and ports inside its payload: \
                 it will not work through the balancer"
            );
            report.warning(&value.span(), message).hint(*hint);
        }
    }
    Some(ports)
}

fn range(first: &str, last: &str, value: Value<'_>, report: &mut Report<'_>) -> Option<Ports> {
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| plain)
    };
    let (Some(from), Some(to)) = (number(first), number(last)) else {
        value.refuse("is not a range", report);
        return None;
    };
    let (Some(first), Some(last)) = (port(from), port(to)) else {
        value.refuse("is out of range", report);
        return None;
    };
    if first > last {
        report
            .error(&value.span(), format!("port \"{first}-{last}\" goes backwards"))
            .hint(format!("write \"{last}-{first}\""));
        return None;
    }
    Some(Ports { first, last })
}

fn port(number: u32) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port > 0)
}

//! `[[instance.listener]]`.

use std::time::Duration;

use super::{
    address::Vips,
    backends::{self, Groups, Placed},
    health,
    instance::Head,
};
use crate::config::{
    file::Table,
    model::{Backend, Family, ForwardingMode, Listener, Protocol, Scheduler, Timeouts},
    report::{Report, Span},
    unsupported,
    value::Value,
};

/// Keys that only TCP's states give a meaning.
const TCP_KEYS: [&str; 3] = ["syn_timeout", "fin_timeout", "time_wait_timeout"];

/// Ports of protocols that name addresses inside their payload, which NAT does not rewrite.
const EMBEDDING: [(Protocol, u16, &str, &str); 6] = [
    (Protocol::Tcp, 21, "FTP", "offer SFTP or HTTPS instead, or send clients to one FTP server"),
    (Protocol::Udp, 69, "TFTP", "TFTP answers from another port: serve it beside the balancer"),
    (Protocol::Tcp, 1720, "H.323", "put an H.323 gatekeeper or proxy in front instead"),
    (Protocol::Tcp, 5060, "SIP", SIP_PROXY),
    (Protocol::Udp, 5060, "SIP", SIP_PROXY),
    (Protocol::Tcp, 5061, "SIP", SIP_PROXY),
];
const SIP_PROXY: &str = "put a SIP proxy in front, or let the servers write their public address";

/// Checks a listener; `None` after an error in its protocol or port.
pub(super) fn check(
    table: &Table<'_>,
    head: &Head<'_>,
    vips: &Vips,
    groups: &Groups,
    report: &mut Report<'_>,
) -> Option<Listener> {
    let protocol = table.required("protocol", report);
    let protocol = protocol.and_then(|value| value.word(Protocol::WORDS, report));
    let port = table.required("port", report);
    let port = port.and_then(|value| self::port(value, protocol, report));
    let server_group = table.get("server_group");
    let backends = backends(table, head, vips, groups, report);
    // The rest is checked as for tcp if the protocol is not known: its keys take all of them.
    let assumed = protocol.unwrap_or(Protocol::Tcp);
    let listener = Listener {
        protocol: assumed,
        port: port.unwrap_or_default(),
        mode: table.word_or("mode", ForwardingMode::WORDS, ForwardingMode::Nat, report),
        scheduler: table.word_or("scheduler", Scheduler::WORDS, Scheduler::Wrr, report),
        timeouts: timeouts(table, assumed, report),
        health_check: health::check(table, assumed, report),
        enabled: table.flag_or("enabled", true, report),
        server_group: server_group.and_then(|value| value.as_text()).map(str::to_owned),
        backends,
    };
    (protocol.is_some() && port.is_some()).then_some(listener)
}

fn port(value: Value<'_>, protocol: Option<Protocol>, report: &mut Report<'_>) -> Option<u16> {
    if value.as_text().is_some_and(is_range)
        && let Some(later) = unsupported::find(value.table, "port", unsupported::PORT_RANGE)
    {
        later.refuse(&value.span(), report);
        return None;
    }
    let port: u16 = value.integer(report)?;
    let embedding = EMBEDDING.iter().find(|row| (Some(row.0), row.1) == (protocol, port));
    if let Some((_, _, name, hint)) = embedding {
        let message = format!(
            "port {port} is {name}'s, which names addresses and ports inside its payload: \
             it will not work through the balancer"
        );
        report.warning(&value.span(), message).hint(*hint);
    }
    Some(port)
}

fn is_range(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-').is_some_and(|(from, to)| number(from.trim()) && number(to.trim()))
}

fn timeouts(table: &Table<'_>, protocol: Protocol, report: &mut Report<'_>) -> Timeouts {
    let established = match protocol {
        Protocol::Tcp => Duration::from_secs(900),
        Protocol::Udp => Duration::from_secs(90),
    };
    if protocol == Protocol::Udp {
        for key in TCP_KEYS {
            if let Some(value) = table.get(key) {
                report
                    .error(&value.span(), format!("{key:?} has no meaning on a udp listener"))
                    .hint("write established_timeout, the idle time of a flow");
            }
        }
    }
    Timeouts {
        established: table.duration_or("established_timeout", established, report),
        syn: table.duration_or("syn_timeout", Duration::from_secs(30), report),
        fin: table.duration_or("fin_timeout", Duration::from_secs(60), report),
        time_wait: table.duration_or("time_wait_timeout", Duration::from_secs(60), report),
    }
}

fn backends(
    table: &Table<'_>,
    head: &Head<'_>,
    vips: &Vips,
    groups: &Groups,
    report: &mut Report<'_>,
) -> Vec<Backend> {
    let group = table.get("server_group");
    let inline = table.get("backends");
    let from_group = group.and_then(|value| groups.backends_of(value, report));
    let own = inline.and_then(|value| backends::list(value, vips, report));
    let (at, backends) = match (group, inline) {
        (Some(_), Some(inline)) => {
            report
                .error(&inline.span(), "backends and server_group are both written")
                .hint("keep one: a listener has either its own backends or those of a group");
            return Vec::new();
        }
        (Some(group), None) => (group.span(), from_group),
        (None, Some(inline)) => {
            warn_of_idle(own.as_deref(), head, report);
            let own = own.map(|placed| placed.into_iter().map(|(backend, _)| backend).collect());
            (inline.span(), own)
        }
        (None, None) => (table.span.clone(), Some(Vec::new())),
    };
    let Some(backends) = backends else {
        return Vec::new();
    };
    warn_of_unserved(&backends, &at, head, report);
    backends
}

/// Clients that nobody will answer.
fn warn_of_unserved(backends: &[Backend], at: &Span, head: &Head<'_>, report: &mut Report<'_>) {
    if backends.is_empty() {
        report
            .warning(at, "the listener has no backends: every client is refused")
            .hint("write backends = [{ address = \"10.0.1.11\", port = 8080 }] or server_group");
        return;
    }
    if backends.iter().all(|backend| backend.weight == 0) {
        report
            .warning(at, "all weights are 0: every new connection is refused")
            .hint("give at least one backend a weight above 0");
    }
    for family in [Family::V4, Family::V6] {
        let served = backends.iter().any(|backend| Family::of(backend.address) == family);
        if head.vips.is_some() && head.may_have(family) && !served {
            report
                .warning(
                    at,
                    format!("no backend is {family}, but a VIP is: its clients are refused"),
                )
                .hint(format!(
                    "add an {family} backend, or leave the {family} VIP out of instance {:?}",
                    head.name
                ));
        }
    }
}

/// Backends of the listener's own that no VIP leads to; a group may have other users.
fn warn_of_idle(backends: Option<&[Placed]>, head: &Head<'_>, report: &mut Report<'_>) {
    for (backend, at) in backends.unwrap_or_default() {
        let family = Family::of(backend.address);
        if !head.may_have(family) {
            let message = format!("backend {} is never used: no VIP is {family}", backend.address);
            report.warning(at, message).hint(format!(
                "add an {family} VIP to instance {:?}, or leave the backend out",
                head.name
            ));
        }
    }
}

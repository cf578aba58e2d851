//! Addresses that packets can be sent to, and those that no backend may have.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;

use crate::config::{report::Report, value::Value};

/// What an address is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Clients send to it.
    Vip,
    /// The balancer sends to it.
    Backend,
}

/// Addresses that no backend may have: every VIP of the file, and the local addresses.
#[derive(Default)]
pub(super) struct Taken {
    owners: HashMap<IpAddr, Owner>,
    local: Vec<IpNet>,
}

/// Where a VIP was first written.
#[derive(Clone)]
pub(super) struct Owner {
    /// Name of its instance.
    pub(super) instance: String,
    /// Line of the file.
    pub(super) line: usize,
}

impl Taken {
    /// Gives a VIP to an instance.
    ///
    /// # Errors
    /// Whom it belongs to already.
    pub(super) fn claim(&mut self, vip: IpAddr, owner: Owner) -> Result<(), Owner> {
        match self.owners.get(&vip) {
            Some(first) => Err(first.clone()),
            None => {
                self.owners.insert(vip, owner);
                Ok(())
            }
        }
    }

    /// The instance that has this VIP.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&Owner> {
        self.owners.get(&address)
    }

    /// A VIP of that prefix; the lowest, so that messages repeat.
    pub(super) fn vip_within(&self, network: &IpNet) -> Option<(IpAddr, &Owner)> {
        let within = self.owners.iter().filter(|(vip, _)| network.contains(*vip));
        within.min_by_key(|(vip, _)| **vip).map(|(vip, owner)| (*vip, owner))
    }

    /// True if one of the VIPs is IPv6.
    pub(super) fn any_vip_v6(&self) -> bool {
        self.owners.keys().any(IpAddr::is_ipv6)
    }

    /// Keeps these for fullnat.
    pub(super) fn keep_local(&mut self, local: &[IpNet]) {
        self.local.extend_from_slice(local);
    }

    /// The prefix of local addresses that holds this one.
    pub(super) fn local(&self, address: IpAddr) -> Option<&IpNet> {
        self.local.iter().find(|network| network.contains(&address))
    }
}

/// Reads an address that is fit for its use.
pub(super) fn address(value: Value<'_>, what: Use, report: &mut Report<'_>) -> Option<IpAddr> {
    let text = value.text(report)?;
    let noun = match what {
        Use::Vip => "vip",
        Use::Backend => "backend address",
    };
    let Ok(address) = text.parse::<IpAddr>() else {
        report
            .error(&value.span(), format!("{noun} {text:?} is not an IP address"))
            .hint(instead_of(text, what));
        return None;
    };
    if let Some((why, hint)) = unfit(address) {
        report.error(&value.span(), format!("{noun} {address} {why}")).hint(hint);
        return None;
    }
    Some(address)
}

fn instead_of(text: &str, what: Use) -> String {
    if let Some((address, _)) = text.split_once('/')
        && address.parse::<IpAddr>().is_ok()
    {
        return format!("write it without the prefix length: {address:?}");
    }
    if let Ok(both) = text.parse::<SocketAddr>() {
        let address = both.ip().to_string();
        return match what {
            Use::Vip => format!("write {address:?}: ports belong to listeners"),
            Use::Backend => {
                format!("the port has a key: address = {address:?}, port = {}", both.port())
            }
        };
    }
    "write an address such as \"10.0.0.100\" or \"fd00::100\"; names are not resolved".to_owned()
}

/// Why no packet of a listener can carry this address as a VIP, a backend or a source.
pub(super) fn unfit(address: IpAddr) -> Option<(&'static str, String)> {
    let host = || "write the address of one host".to_owned();
    if address.is_unspecified() {
        return Some(("is the unspecified address", host()));
    }
    if address.is_multicast() {
        return Some(("is a multicast address", host()));
    }
    if address.is_loopback() {
        let hint = "packets to it never leave a host: write an address that others can reach";
        return Some(("is a loopback address", hint.to_owned()));
    }
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => Some(("is the broadcast address", host())),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let hint = "write a global (2000::/3) or unique local (fd00::/8) address".to_owned();
            Some(("is link-local and means nothing without an interface", hint))
        }
        IpAddr::V6(v6) => v6
            .to_ipv4_mapped()
            .map(|v4| ("is an IPv4 address in IPv6 clothes", format!("write \"{v4}\""))),
        IpAddr::V4(_) => None,
    }
}

//! Prefixes of addresses: ACLs and their files, local addresses, tunnel sources.

use std::{collections::HashSet, net::IpAddr, path::Path};

use ipnet::IpNet;

use super::{
    address::{self, Taken},
    limits::opened,
};
use crate::{
    config::{
        file::Table,
        keys::ACL,
        model::{AccessList, Acl, AclKind, Family},
        report::Report,
        value::Value,
    },
    text_file,
};

/// Most entries of one ACL.
const ACL_ENTRIES: usize = 50_000;
/// Most bytes of an ACL's file: room for as many entries, each with a comment.
const ACL_FILE_BYTES: u64 = 16 << 20;
/// Errors shown of one file; it is the wrong file if there are more.
const ERRORS_SHOWN: usize = 20;
/// Most local addresses of all prefixes together.
const LOCAL_ADDRESSES: u64 = 4096;

/// Checks `acl`.
pub(super) fn acl(table: &Table<'_>, report: &mut Report<'_>) -> Option<Acl> {
    let (value, table) = opened(table, "acl", &ACL, report)?;
    let (kind, list) = match (table.get("allow"), table.get("deny")) {
        (Some(allow), None) => (AclKind::Allow, allow),
        (None, Some(deny)) => (AclKind::Deny, deny),
        (Some(allow), Some(deny)) => {
            let _ = (networks(allow, report), networks(deny, report));
            report
                .error(&deny.span(), "allow and deny are both written")
                .hint("keep one: either only listed clients may connect, or all but those");
            return None;
        }
        (None, None) => {
            report.error(&value.span(), "acl has neither allow nor deny").hint(
                "write { allow = [...] } or { deny = [...] }; [] if all entries are in a file",
            );
            return None;
        }
    };
    let mut networks = networks(list, report)?;
    let file = table.get("file");
    if let Some(file) = file {
        networks.extend(from_file(file, report)?);
    }
    let mut seen = HashSet::new();
    networks.retain(|network| seen.insert(*network));
    if networks.len() > ACL_ENTRIES {
        let message = format!("acl has {} entries, more than {ACL_ENTRIES}", networks.len());
        report
            .error(&value.span(), message)
            .hint("join neighbours to shorter prefixes, or filter before the balancer");
    }
    if networks.is_empty() && kind == AclKind::Allow {
        report
            .warning(&value.span(), "the acl allows nobody: every client is refused")
            .hint("list who may connect, or leave acl out to let everybody in");
    }
    Some(Acl { kind, networks: sorted(networks) })
}

/// The same networks in their order.
pub(super) fn sorted(mut networks: Vec<IpNet>) -> AccessList {
    networks.sort_unstable();
    networks.into()
}

/// A list of prefixes, none twice; `None` after an error in one of them.
pub(super) fn networks(value: Value<'_>, report: &mut Report<'_>) -> Option<Vec<IpNet>> {
    let mut seen = HashSet::new();
    let elements = value.list(report)?;
    let read: Vec<Option<IpNet>> =
        elements.into_iter().map(|element| network(element, report)).collect();
    let networks: Option<Vec<IpNet>> = read.into_iter().collect();
    Some(networks?.into_iter().filter(|network| seen.insert(*network)).collect())
}

fn network(value: Value<'_>, report: &mut Report<'_>) -> Option<IpNet> {
    let text = value.text(report)?;
    match parsed(text) {
        Ok(network) => Some(network),
        Err((why, hint)) => {
            let message = format!("{} {text:?} {why}", value.key.name);
            report.error(&value.span(), message).hint(hint);
            None
        }
    }
}

/// Reads an address or a prefix; why not, and what would be right, if it is none.
fn parsed(text: &str) -> Result<IpNet, (&'static str, String)> {
    let network = match (text.parse::<IpAddr>(), text.parse::<IpNet>()) {
        (Ok(address), _) => IpNet::from(address),
        (_, Ok(network)) => network,
        _ => {
            let hint = "write an address or a prefix such as \"10.0.0.0/8\" or \"fd00::/8\"";
            return Err(("is not a prefix", hint.to_owned()));
        }
    };
    if network.trunc() != network {
        let (prefix, address) = (network.trunc(), network.addr());
        let hint = format!("write \"{prefix}\" for the network or \"{address}\" for the host");
        return Err(("has bits after its prefix", hint));
    }
    if let IpNet::V6(v6) = network
        && v6.addr().to_ipv4_mapped().is_some()
    {
        return Err(("is an IPv4 prefix in IPv6 clothes", "write it as IPv4".to_owned()));
    }
    Ok(network)
}

/// The entries of an ACL's file; `None` after an error.
fn from_file(value: Value<'_>, report: &mut Report<'_>) -> Option<Vec<IpNet>> {
    let name = value.text(report)?;
    if !Path::new(name).is_absolute() {
        value.refuse("is not an absolute path", report);
        return None;
    }
    let text = match text_file::read(Path::new(name), ACL_FILE_BYTES) {
        Ok(text) => text,
        Err(error) => {
            report
                .error(&value.span(), format!("file {name:?} cannot be read: {error}"))
                .hint("it holds one address or prefix a line; # begins a comment");
            return None;
        }
    };
    let mut own = Report::new(name, &text);
    let mut networks = Vec::new();
    let (mut at, mut wrong) = (0, 0);
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let entry = line.split('#').next().unwrap_or_default();
        let indent = entry.len() - entry.trim_start().len();
        let entry = entry.trim();
        if entry.is_empty() {
            continue;
        }
        match parsed(entry) {
            Ok(network) => networks.push(network),
            Err((why, hint)) => {
                wrong += 1;
                if wrong <= ERRORS_SHOWN {
                    let from = start + indent;
                    let message = format!("entry {entry:?} {why}");
                    own.error(&(from..from + entry.len()), message).hint(hint);
                }
            }
        }
    }
    report.include(own);
    if wrong > ERRORS_SHOWN {
        let message = format!("file {name:?} has {wrong} wrong entries");
        let hint = format!("the first {ERRORS_SHOWN} are told: is it the right file?");
        report.error(&value.span(), message).hint(hint);
    }
    (wrong == 0).then_some(networks)
}

/// Checks `dataplane.local_addresses`; `None` after an error in one of them.
pub(super) fn local_addresses(
    table: &Table<'_>,
    taken: &Taken,
    report: &mut Report<'_>,
) -> Option<Vec<IpNet>> {
    let Some(value) = table.get("local_addresses") else {
        return Some(Vec::new());
    };
    let mut all_legal = true;
    let mut networks: Vec<IpNet> = Vec::new();
    for element in value.list(report)? {
        let Some(network) = network(element, report) else {
            all_legal = false;
            continue;
        };
        let other = networks.iter().find(|other| overlap(other, &network));
        let problem = if let Some((why, hint)) = address::unfit(network.addr()) {
            Some((why.to_owned(), hint))
        } else if let Some((vip, owner)) = taken.vip_within(&network) {
            let why = format!("holds the VIP {vip} of instance {:?}", owner.instance);
            Some((why, LOCAL_HINT.to_owned()))
        } else {
            other.map(|other| (format!("overlaps {other}"), "write it once".to_owned()))
        };
        if let Some((why, hint)) = problem {
            report.error(&element.span(), format!("local address {network} {why}")).hint(hint);
            all_legal = false;
        }
        networks.push(network);
    }
    let count = networks.iter().map(addresses).fold(0, u64::saturating_add);
    if count > LOCAL_ADDRESSES {
        let message = format!("local_addresses are more than {LOCAL_ADDRESSES} addresses");
        report.error(&value.span(), message).hint(
            "each carries 60 000 connections to each backend: a /28 or a /124 is mostly enough",
        );
        all_legal = false;
    }
    all_legal.then_some(networks)
}

/// What local addresses have to be.
pub(super) const LOCAL_HINT: &str =
    "local addresses are nobody else's: take some of a space of their own, as \"100.64.0.0/28\"";

/// Checks `dataplane.tunnel_source`: one prefix, or one for each family.
pub(super) fn tunnel_source(table: &Table<'_>, report: &mut Report<'_>) -> Vec<IpNet> {
    let Some(value) = table.get("tunnel_source") else {
        return Vec::new();
    };
    let elements = match value.as_text() {
        Some(_) => vec![value],
        None => value.list(report).unwrap_or_default(),
    };
    let mut sources: Vec<IpNet> = Vec::new();
    for element in elements {
        let Some(source) = network(element, report) else {
            continue;
        };
        if let Some((why, hint)) = address::unfit(source.addr()) {
            report.error(&element.span(), format!("tunnel_source {source} {why}")).hint(hint);
        }
        let family = Family::of(source.addr());
        if let Some(first) = sources.iter().find(|first| Family::of(first.addr()) == family) {
            report
                .error(&element.span(), format!("tunnel_source has a second {family} prefix"))
                .hint(format!("keep {first} or {source}; a prefix is spread over by itself"));
        }
        sources.push(source);
    }
    sources
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

fn addresses(network: &IpNet) -> u64 {
    let bits = u32::from(network.max_prefix_len() - network.prefix_len());
    1_u64.checked_shl(bits).unwrap_or(u64::MAX)
}

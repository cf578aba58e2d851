//! `[daemon]` and `[dataplane]`.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use ipnet::IpNet;

use super::{address::Taken, networks};
use crate::{
    config::{
        file::Table,
        model::{DaemonSettings, DataplaneSettings, Instance, VipOwner, XdpMode},
        report::Report,
        value::Value,
    },
    cookies::{self, Secret},
};

/// Longest path that fits into `sockaddr_un` with its final zero.
const SOCKET_PATH_BYTES: usize = 107;
/// Longest interface name: `IFNAMSIZ` without its final zero.
const INTERFACE_NAME_BYTES: usize = 15;
/// IPv6 capacity of a file without an IPv6 VIP: enough to add one without a restart.
const SPARE_CONNECTIONS_V6: u32 = 65_536;

/// Checks `[daemon]`.
pub(super) fn daemon(table: &Table<'_>, report: &mut Report<'_>) -> DaemonSettings {
    let socket = path(table, "socket", "/run/slb/slb.sock", report);
    if let Some(value) = table.get("socket")
        && socket.as_os_str().len() > SOCKET_PATH_BYTES
    {
        value.refuse("is too long for a Unix socket", report);
    }
    DaemonSettings { socket, state_dir: path(table, "state_dir", "/var/lib/slb", report) }
}

/// Checks `[dataplane]`, with the local addresses that were found in it.
pub(super) fn dataplane(
    table: &Table<'_>,
    taken: &Taken,
    local_addresses: Vec<IpNet>,
    report: &mut Report<'_>,
) -> DataplaneSettings {
    let interfaces = table.required("interfaces", report);
    let max_connections = table.integer_or("max_connections", 1_000_000, report);
    let max_connections_v6 =
        if taken.any_vip_v6() { max_connections } else { SPARE_CONNECTIONS_V6 };
    DataplaneSettings {
        interfaces: interfaces
            .and_then(|value| self::interfaces(value, report))
            .unwrap_or_default(),
        xdp_mode: table.word_or("xdp_mode", XdpMode::WORDS, XdpMode::Auto, report),
        max_connections,
        max_connections_v6: table.integer_or("max_connections_v6", max_connections_v6, report),
        max_backends: table.integer_or("max_backends", 16_384, report),
        ring_slots: table.integer_or("ring_slots", 4_194_304, report),
        pin_dir: path(table, "pin_dir", "/sys/fs/bpf/slb", report),
        vip_owner: table.word_or("vip_owner", VipOwner::WORDS, VipOwner::Host, report),
        local_addresses,
        tunnel_source: networks::tunnel_source(table, report),
        max_templates: table.integer_or("max_templates", 262_144, report),
        max_fragments: table.integer_or("max_fragments", 16_384, report),
        max_acl_entries: table.integer_or("max_acl_entries", 200_000, report),
        cookie_key_file: cookie_key_file(table, report),
    }
}

/// Checks that the daemon would start with the key. Who checks a file may have fewer rights than the
/// daemon.
fn cookie_key_file(table: &Table<'_>, report: &mut Report<'_>) -> Option<PathBuf> {
    let value = table.get("cookie_key_file")?;
    let path = absolute(value, report)?;
    if let Err(error) = Secret::read(path) {
        let message = format!("cookie_key_file {path:?} {error}");
        if error.is_denied() {
            report
                .warning(&value.span(), message)
                .hint("check as the user that slbd runs as, so that the key is looked at");
        } else {
            report.error(&value.span(), message).hint(cookies::Error::HINT);
        }
    }
    Some(path.to_owned())
}

/// Checks that what the instances need fits into the tables.
pub(super) fn room(
    table: &Table<'_>,
    settings: &DataplaneSettings,
    instances: &[Instance],
    report: &mut Report<'_>,
) {
    let listeners = || instances.iter().flat_map(|instance| &instance.listeners);
    let backends = listeners().map(|listener| listener.backends.len()).sum();
    let entries = listeners().map(|listener| {
        let acl = listener.acl.as_ref().map_or(0, |acl| acl.networks.len());
        acl + listener.syn_defence.exempt.len()
    });
    for (key, room, needed, hint) in [
        (
            "max_backends",
            settings.max_backends,
            backends,
            "raise it, with room for backends that are being removed",
        ),
        (
            "max_acl_entries",
            settings.max_acl_entries,
            entries.sum::<usize>(),
            "raise it, with room for the next ACL while the former is in use",
        ),
    ] {
        if u32::try_from(needed).is_ok_and(|needed| needed <= room) {
            continue;
        }
        let at = table.get(key).map_or(table.span.clone(), |value| value.span());
        let message = format!("{key} {room} is too small: listeners have {needed}");
        report.error(&at, message).hint(hint);
    }
}

fn path(table: &Table<'_>, key: &'static str, default: &str, report: &mut Report<'_>) -> PathBuf {
    let written = table.get(key).and_then(|value| absolute(value, report));
    written.unwrap_or(Path::new(default)).to_owned()
}

/// An absolute path; `None` after an error.
fn absolute<'f>(value: Value<'f>, report: &mut Report<'_>) -> Option<&'f Path> {
    let path = Path::new(value.text(report)?);
    if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&0) {
        value.refuse("is not an absolute path", report);
        return None;
    }
    Some(path)
}

fn interfaces(value: Value<'_>, report: &mut Report<'_>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut seen = HashSet::new();
    let elements = value.list(report)?;
    for element in &elements {
        let Some(name) = element.text(report) else {
            continue;
        };
        if !is_interface_name(name) {
            report
                .error(&element.span(), format!("interface {name:?} cannot exist"))
                .hint("a name has 1 to 15 characters, none of them a space, \"/\" or \":\"");
        } else if !seen.insert(name) {
            report
                .error(&element.span(), format!("interface {name:?} is there twice"))
                .hint("XDP attaches to each interface once: leave it out here");
        }
        names.push(name.to_owned());
    }
    if elements.is_empty() {
        value.refuse("names no interface", report);
    }
    Some(names)
}

fn is_interface_name(name: &str) -> bool {
    let legal = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    (1..=INTERFACE_NAME_BYTES).contains(&name.len())
        && name != "."
        && name != ".."
        && name.chars().all(legal)
}

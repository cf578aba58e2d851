//! `[daemon]` and `[dataplane]`.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use crate::config::{
    file::Table,
    model::{DaemonSettings, DataplaneSettings, Instance, VipOwner, XdpMode},
    report::Report,
    value::Value,
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

/// Checks `[dataplane]` against what the instances need of it.
pub(super) fn dataplane(
    table: &Table<'_>,
    instances: &[Instance],
    report: &mut Report<'_>,
) -> DataplaneSettings {
    let interfaces = table.required("interfaces", report);
    let max_connections = table.integer_or("max_connections", 1_000_000, report);
    let any_v6 = instances.iter().flat_map(|instance| &instance.vips).any(|vip| vip.is_ipv6());
    let max_connections_v6 = if any_v6 { max_connections } else { SPARE_CONNECTIONS_V6 };
    let settings = DataplaneSettings {
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
    };
    let listeners = instances.iter().flat_map(|instance| &instance.listeners);
    let backends: usize = listeners.map(|listener| listener.backends.len()).sum();
    if u32::try_from(backends).is_ok_and(|backends| backends <= settings.max_backends) {
        return settings;
    }
    let at = table.get("max_backends").map_or(table.span.clone(), |value| value.span());
    let message =
        format!("max_backends {} is too small: listeners have {backends}", settings.max_backends);
    report.error(&at, message).hint("raise it, with room for backends that are being removed");
    settings
}

fn path(table: &Table<'_>, key: &'static str, default: &str, report: &mut Report<'_>) -> PathBuf {
    let Some(value) = table.get(key) else {
        return PathBuf::from(default);
    };
    let path = value.text(report).map_or(Path::new(default), Path::new);
    if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&0) {
        value.refuse("is not an absolute path", report);
    }
    path.to_owned()
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

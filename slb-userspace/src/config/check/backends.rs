//! Backends, alone and as server groups.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use super::{
    address::{self, Taken, Use},
    limits, name,
    networks::LOCAL_HINT,
    ports::Ports,
};
use crate::config::{
    file::Table,
    keys::BACKEND,
    model::{Backend, BackendLimits, ForwardingMode, Role},
    report::{Report, Span},
    suggest,
    value::Value,
};

/// A backend as it is written; what it becomes depends on the listener.
#[derive(Clone)]
pub(super) struct Written {
    /// Its address.
    pub(super) address: IpAddr,
    /// Where it stands.
    pub(super) at: Span,
    port: Option<u16>,
    weight: u16,
    role: Role,
    limits: BackendLimits,
    server_id: Option<u16>,
}

/// Every server group of the file.
pub(super) struct Groups {
    groups: Vec<Group>,
}

struct Group {
    name: String,
    line: usize,
    backends: Option<Vec<Written>>,
}

impl Groups {
    /// Checks `[[server_group]]`.
    pub(super) fn check(tables: Vec<Table<'_>>, taken: &Taken, report: &mut Report<'_>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for table in tables {
            let backends = table.required("backends", report);
            let backends = backends.and_then(|value| list(value, taken, report));
            let Some(value) = table.required("name", report) else {
                continue;
            };
            let Some(name) = name(value, report) else {
                continue;
            };
            if let Some(first) = groups.iter().find(|group| group.name == name) {
                let message = format!("server_group {name:?} is there already");
                let hint = format!("the first one is in line {}: rename one of them", first.line);
                report.error(&value.span(), message).hint(hint);
                continue;
            }
            let line = report.line(&value.span());
            groups.push(Group { name: name.to_owned(), line, backends });
        }
        Self { groups }
    }

    /// The backends of the group that a listener names; `None` after an error in either.
    pub(super) fn backends_of(
        &self,
        value: Value<'_>,
        report: &mut Report<'_>,
    ) -> Option<Vec<Written>> {
        let name = value.text(report)?;
        if let Some(group) = self.groups.iter().find(|group| group.name == name) {
            return group.backends.clone();
        }
        let names = self.groups.iter().map(|group| group.name.as_str());
        let hint = match suggest::closest(name, names.clone()) {
            Some(close) => format!("did you mean {close:?}?"),
            None if self.groups.is_empty() => {
                format!("add it: [[server_group]] with name = {name:?}")
            }
            None => format!("server groups here: {}", names.collect::<Vec<_>>().join(", ")),
        };
        report.error(&value.span(), format!("server_group {name:?} does not exist")).hint(hint);
        None
    }
}

/// Checks a list of backends; `None` after an error in one of them.
pub(super) fn list(
    value: Value<'_>,
    taken: &Taken,
    report: &mut Report<'_>,
) -> Option<Vec<Written>> {
    let mut lines: HashMap<(IpAddr, Option<u16>), usize> = HashMap::new();
    let mut all_legal = true;
    let mut backends = Vec::new();
    for element in value.list(report)? {
        let table = element.table(&BACKEND, report);
        let Some(backend) = table.and_then(|table| backend(&table, taken, report)) else {
            all_legal = false;
            continue;
        };
        let line = report.line(&element.span());
        if let Some(first) = lines.insert((backend.address, backend.port), line) {
            let name = match backend.port {
                Some(port) => SocketAddr::new(backend.address, port).to_string(),
                None => backend.address.to_string(),
            };
            report
                .error(&element.span(), format!("backend {name} is there twice"))
                .hint(format!("the first one is in line {first}: one weight says it all"));
            all_legal = false;
        }
        backends.push(Written { at: element.span(), ..backend });
    }
    all_legal.then_some(backends)
}

fn backend(table: &Table<'_>, taken: &Taken, report: &mut Report<'_>) -> Option<Written> {
    let weight = match table.get("weight") {
        Some(value) => value.integer(report),
        None => Some(100),
    };
    let role = match table.get("role") {
        Some(value) => value.word(Role::WORDS, report),
        None => Some(Role::Primary),
    };
    let port = match table.get("port") {
        Some(value) => Some(value.integer(report)?),
        None => None,
    };
    let limits = limits::backend(table, report);
    let server_id = match table.get("server_id") {
        Some(value) => Some(value.integer(report)?),
        None => None,
    };
    let written = table.required("address", report)?;
    let address = address::address(written, Use::Backend, report)?;
    if let Some(owner) = taken.owner(address) {
        let message = format!("backend {address} is a VIP of instance {:?}", owner.instance);
        let hint = format!("write the server's own address; the VIP is in line {}", owner.line);
        report.error(&written.span(), message).hint(hint);
        return None;
    }
    if let Some(local) = taken.local(address) {
        let message = format!("backend {address} is one of the local addresses, {local}");
        report.error(&written.span(), message).hint(LOCAL_HINT);
        return None;
    }
    let (weight, role) = (weight?, role?);
    Some(Written { address, at: table.span.clone(), port, weight, role, limits, server_id })
}

/// What backends become behind these ports; errors stand at `at` if they are a group's.
pub(super) fn behind(
    written: &[Written],
    ports: Ports,
    mode: ForwardingMode,
    at: Option<&Span>,
    report: &mut Report<'_>,
) -> Vec<Backend> {
    let mut backends: Vec<Backend> = Vec::new();
    for one in written {
        let Written { address, port, weight, role, limits, server_id, .. } = *one;
        let at = at.unwrap_or(&one.at);
        let maps_ports = ports.is_range() && port.is_none();
        let port = port.unwrap_or(ports.first);
        let backend = Backend { address, port, maps_ports, weight, role, limits, server_id };
        let endpoint = backend.endpoint();
        if !mode.sees_replies() && !maps_ports && (ports.is_range() || port != ports.first) {
            let message = format!(
                "backend {endpoint} cannot serve {ports} in mode {:?}, which keeps the port",
                mode.word()
            );
            report.error(at, message).hint("leave the backend's port out, or write mode = \"nat\"");
        }
        if backends.iter().any(|other| other.endpoint() == endpoint) {
            report
                .error(at, format!("backend {endpoint} is there with and without its port"))
                .hint("a port that is left out is the listener's: keep one of them");
        }
        backends.push(backend);
    }
    backends
}

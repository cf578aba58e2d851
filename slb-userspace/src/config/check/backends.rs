//! Backends, alone and as server groups.

use std::{collections::HashMap, net::SocketAddr};

use super::{
    address::{self, Use, Vips},
    name,
};
use crate::config::{
    file::Table,
    keys::BACKEND,
    model::{Backend, Role},
    report::{Report, Span},
    suggest,
    value::Value,
};

/// A backend and its place in the file.
pub(super) type Placed = (Backend, Span);

/// Every server group of the file.
pub(super) struct Groups {
    groups: Vec<Group>,
}

struct Group {
    name: String,
    line: usize,
    backends: Option<Vec<Backend>>,
}

impl Groups {
    /// Checks `[[server_group]]`.
    pub(super) fn check(tables: Vec<Table<'_>>, vips: &Vips, report: &mut Report<'_>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for table in tables {
            let backends = table.required("backends", report);
            let backends = backends.and_then(|value| list(value, vips, report));
            let backends =
                backends.map(|placed| placed.into_iter().map(|(backend, _)| backend).collect());
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
    ) -> Option<Vec<Backend>> {
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
pub(super) fn list(value: Value<'_>, vips: &Vips, report: &mut Report<'_>) -> Option<Vec<Placed>> {
    let mut lines: HashMap<SocketAddr, usize> = HashMap::new();
    let mut all_legal = true;
    let mut backends = Vec::new();
    for element in value.list(report)? {
        let table = element.table(&BACKEND, report);
        let Some(backend) = table.and_then(|table| backend(&table, vips, report)) else {
            all_legal = false;
            continue;
        };
        let line = report.line(&element.span());
        if let Some(first) = lines.insert(backend.endpoint(), line) {
            report
                .error(&element.span(), format!("backend {} is there twice", backend.endpoint()))
                .hint(format!("the first one is in line {first}: one weight says it all"));
            all_legal = false;
        }
        backends.push((backend, element.span()));
    }
    all_legal.then_some(backends)
}

fn backend(table: &Table<'_>, vips: &Vips, report: &mut Report<'_>) -> Option<Backend> {
    let weight = match table.get("weight") {
        Some(value) => value.integer(report),
        None => Some(100),
    };
    let role = match table.get("role") {
        Some(value) => value.word(Role::WORDS, report),
        None => Some(Role::Primary),
    };
    let port = table.required("port", report).and_then(|value| value.integer(report));
    let written = table.required("address", report)?;
    let address = address::address(written, Use::Backend, report)?;
    if let Some(owner) = vips.owner(address) {
        let message = format!("backend {address} is a VIP of instance {:?}", owner.instance);
        let hint = format!("write the server's own address; the VIP is in line {}", owner.line);
        report.error(&written.span(), message).hint(hint);
        return None;
    }
    Some(Backend { address, port: port?, weight: weight?, role: role? })
}

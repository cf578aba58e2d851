//! `[[instance]]`: its name and VIPs, then its listeners.

use std::{collections::HashMap, net::IpAddr};

use super::{
    Surroundings,
    address::{self, Owner, Taken, Use},
    limits::{self, Capacity},
    listener, name,
    ports::Ports,
    sharing::{Checked, Sharing},
};
use crate::config::{
    file::Table,
    keys::LISTENER,
    model::{DataplaneSettings, Family, Instance},
    report::Report,
    value::Value,
};

/// Name and VIPs of an instance, which the rest of the file is checked against.
pub(super) struct Head<'f> {
    table: Table<'f>,
    /// Its name; empty after an error in it.
    pub(super) name: String,
    /// Its VIPs; `None` after an error in one of them.
    pub(super) vips: Option<Vec<IpAddr>>,
}

impl Head<'_> {
    /// True if one of its VIPs is of that family, or might be.
    pub(super) fn may_have(&self, family: Family) -> bool {
        let of_family = |vip: &IpAddr| Family::of(*vip) == family;
        self.vips.as_ref().is_none_or(|vips| vips.iter().any(of_family))
    }

    /// Connections that the tables of its VIPs' families hold.
    pub(super) fn capacity(&self, dataplane: &DataplaneSettings) -> Capacity {
        let of = |family, room: u32| if self.may_have(family) { u64::from(room) } else { 0 };
        Capacity(
            of(Family::V4, dataplane.max_connections)
                + of(Family::V6, dataplane.max_connections_v6),
        )
    }
}

/// Checks names and VIPs of all instances.
pub(super) fn heads<'f>(
    tables: Vec<Table<'f>>,
    taken: &mut Taken,
    report: &mut Report<'_>,
) -> Vec<Head<'f>> {
    let mut lines: HashMap<&str, usize> = HashMap::new();
    let mut heads = Vec::new();
    for table in tables {
        let written = table.required("name", report);
        let name = written.and_then(|value| name(value, report)).unwrap_or_default();
        if let Some(value) = written.filter(|_| !name.is_empty()) {
            let line = report.line(&value.span());
            if let Some(first) = lines.insert(name, line) {
                report
                    .error(&value.span(), format!("instance {name:?} is there already"))
                    .hint(format!("the first one is in line {first}: rename one of them"));
            }
        }
        let own = table.required("vips", report);
        let own = own.and_then(|value| own_vips(value, name, taken, report));
        heads.push(Head { table, name: name.to_owned(), vips: own });
    }
    heads
}

fn own_vips(
    value: Value<'_>,
    instance: &str,
    taken: &mut Taken,
    report: &mut Report<'_>,
) -> Option<Vec<IpAddr>> {
    let mut own = Vec::new();
    let mut all_legal = true;
    for element in value.list(report)? {
        let Some(vip) = address::address(element, Use::Vip, report) else {
            all_legal = false;
            continue;
        };
        let line = report.line(&element.span());
        let owner = Owner { instance: instance.to_owned(), line };
        match taken.claim(vip, owner) {
            Ok(()) => own.push(vip),
            Err(first) => {
                report
                    .error(&element.span(), format!("vip {vip} is there already"))
                    .hint(format!(
                        "it belongs to instance {:?}, line {}; one instance holds all listeners of a VIP",
                        first.instance, first.line
                    ));
                all_legal = false;
            }
        }
    }
    if own.is_empty() && all_legal {
        value.refuse("names no address", report);
        return None;
    }
    all_legal.then_some(own)
}

/// Checks the rest of an instance.
pub(super) fn check(
    head: Head<'_>,
    around: &Surroundings<'_>,
    sharing: &mut Sharing,
    report: &mut Report<'_>,
) -> Instance {
    let specification = limits::specification(&head.table, head.capacity(around.dataplane), report);
    let bandwidth = limits::instance_bandwidth(&head.table, report);
    let blackhole = limits::blackhole(&head.table, report);
    let mut listeners: Vec<Checked<'_>> = Vec::new();
    for table in head.table.tables("listener", &LISTENER, report) {
        if let Some(listener) = listener::check(&table, &head, around, report) {
            let listener = (listener, table);
            refuse_overlap(&listener, &listeners, &head, report);
            listeners.push(listener);
        }
    }
    sharing.check(&listeners, report);
    if listeners.is_empty() && head.table.get("listener").is_none() {
        report
            .warning(&head.table.span, format!("instance {:?} has no listener", head.name))
            .hint("nothing is balanced for it; add [[instance.listener]]");
    }
    if let Some(value) = head.table.get("bandwidth").filter(|_| bandwidth.outbound.is_some())
        && let Some((listener, _)) = listeners.iter().find(|(one, _)| !one.mode.sees_replies())
    {
        let ports = Ports { first: listener.port, last: listener.last_port };
        let (protocol, mode) = (listener.protocol, listener.mode);
        let message = format!("\"out\" does not hold for {protocol} {ports} in mode {mode}");
        report
            .warning(&value.span(), message)
            .hint("its replies go to the client directly: limit them at the servers");
    }
    Instance {
        vips: head.vips.unwrap_or_default(),
        name: head.name,
        specification,
        bandwidth,
        blackhole,
        enabled: head.table.flag_or("enabled", true, report),
        listeners: listeners.into_iter().map(|(listener, _)| listener).collect(),
    }
}

/// A port has one listener.
fn refuse_overlap(
    (listener, table): &Checked<'_>,
    before: &[Checked<'_>],
    head: &Head<'_>,
    report: &mut Report<'_>,
) {
    let ports = Ports { first: listener.port, last: listener.last_port };
    for (other, first) in before.iter().filter(|(one, _)| one.protocol == listener.protocol) {
        let theirs = Ports { first: other.port, last: other.last_port };
        if !ports.overlap(theirs) {
            continue;
        }
        let protocol = listener.protocol;
        let (message, hint) = if ports == theirs {
            (format!("{protocol} {ports} has a listener already"), "put the backends into one")
        } else {
            let message = format!("{protocol} {ports} overlaps a listener of {theirs}");
            (message, "no port can have two")
        };
        let line = report.line(&first.span);
        let at = table.get("port").map_or(table.span.clone(), |port| port.span());
        report
            .error(&at, message)
            .hint(format!("the first one of instance {:?} is in line {line}: {hint}", head.name));
    }
}

//! `[[instance]]`: its name and VIPs, then its listeners.

use std::{collections::HashMap, net::IpAddr};

use super::{
    address::{self, Owner, Use, Vips},
    backends::Groups,
    listener, name,
};
use crate::config::{
    file::Table,
    keys::LISTENER,
    model::{Family, Instance, Protocol},
    report::Report,
    unsupported,
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
}

/// Checks names and VIPs of all instances.
pub(super) fn heads<'f>(
    tables: Vec<Table<'f>>,
    vips: &mut Vips,
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
        let own = own.and_then(|value| own_vips(value, name, vips, report));
        heads.push(Head { table, name: name.to_owned(), vips: own });
    }
    heads
}

fn own_vips(
    value: Value<'_>,
    instance: &str,
    vips: &mut Vips,
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
        match vips.claim(vip, owner) {
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
    vips: &Vips,
    groups: &Groups,
    report: &mut Report<'_>,
) -> Instance {
    let specification = head.table.get("specification");
    if let Some(value) = specification {
        self::specification(value, report);
    }
    let mut listeners = Vec::new();
    let mut lines: HashMap<(Protocol, u16), usize> = HashMap::new();
    for table in head.table.tables("listener", &LISTENER, report) {
        let Some(listener) = listener::check(&table, &head, vips, groups, report) else {
            continue;
        };
        let line = report.line(&table.span);
        if let Some(first) = lines.insert((listener.protocol, listener.port), line) {
            let at = table.get("port").map_or(table.span.clone(), |port| port.span());
            let message =
                format!("{} port {} has a listener already", listener.protocol, listener.port);
            report.error(&at, message).hint(format!(
                "the first one of instance {:?} is in line {first}: put the backends into one",
                head.name
            ));
        }
        listeners.push(listener);
    }
    if listeners.is_empty() && head.table.get("listener").is_none() {
        report
            .warning(&head.table.span, format!("instance {:?} has no listener", head.name))
            .hint("nothing is balanced for it; add [[instance.listener]]");
    }
    Instance {
        vips: head.vips.unwrap_or_default(),
        name: head.name,
        specification: specification
            .and_then(|value| value.as_text())
            .unwrap_or("shared")
            .to_owned(),
        enabled: head.table.flag_or("enabled", true, report),
        listeners,
    }
}

fn specification(value: Value<'_>, report: &mut Report<'_>) {
    if value.is_table()
        && let Some(later) =
            unsupported::find(value.table, "specification", unsupported::OWN_LIMITS)
    {
        later.refuse(&value.span(), report);
        return;
    }
    value.word(&[("shared", ())], report);
}

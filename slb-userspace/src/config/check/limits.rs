//! Limits, specifications, bandwidth and blackholing.

use std::time::Duration;

use crate::config::{
    file::Table,
    keys::{BACKEND_LIMITS, BANDWIDTH, BLACKHOLE, CLIENT_LIMITS, LIMITS, SPECIFICATION, TableKeys},
    model::{
        Backend, BackendLimits, Bandwidth, Blackhole, ClientLimits, ForwardingMode, Limits,
        Specification,
    },
    report::{Report, Span},
    suggest,
    value::Value,
};

/// Live connections that the table has room for, as far as a listener can use it.
#[derive(Clone, Copy)]
pub(super) struct Capacity(pub(super) u64);

/// Checks `limits` of a listener.
pub(super) fn listener(table: &Table<'_>, capacity: Capacity, report: &mut Report<'_>) -> Limits {
    let Some((value, table)) = opened(table, "limits", &LIMITS, report) else {
        return Limits::default();
    };
    if !table.sets_any(&["max_connections", "cps", "client"]) {
        value.refuse("sets no limit", report);
    }
    Limits {
        max_connections: connections(&table, capacity, report),
        cps: number(&table, "cps", report),
        client: client(&table, capacity, report),
        shadow: table.flag_or("shadow", false, report),
    }
}

fn client(table: &Table<'_>, capacity: Capacity, report: &mut Report<'_>) -> Option<ClientLimits> {
    let (value, table) = opened(table, "client", &CLIENT_LIMITS, report)?;
    if !table.sets_any(&["max_connections", "cps"]) {
        value.refuse("sets no limit", report);
    }
    Some(ClientLimits {
        max_connections: connections(&table, capacity, report),
        cps: number(&table, "cps", report),
        netmask: table.integer_or("netmask", 32, report),
        netmask6: table.integer_or("netmask6", 64, report),
    })
}

/// Checks `limits` of a backend.
pub(super) fn backend(table: &Table<'_>, report: &mut Report<'_>) -> BackendLimits {
    let Some((value, table)) = opened(table, "limits", &BACKEND_LIMITS, report) else {
        return BackendLimits::default();
    };
    if !table.sets_any(&["max_connections", "cps"]) {
        value.refuse("sets no limit", report);
    }
    BackendLimits {
        max_connections: number(&table, "max_connections", report),
        cps: number(&table, "cps", report),
    }
}

/// Checks `specification`, a name or a table.
pub(super) fn specification(
    table: &Table<'_>,
    capacity: Capacity,
    report: &mut Report<'_>,
) -> Specification {
    let Some(value) = table.get("specification") else {
        return Specification::shared();
    };
    if let Some(name) = value.as_text() {
        return named(name, value, capacity, report);
    }
    let Some(own) = value.table(&SPECIFICATION, report) else {
        return Specification::shared();
    };
    if !own.sets_any(&["max_connections", "cps", "qps"]) {
        value.refuse("sets no limit", report);
    }
    Specification {
        name: Specification::CUSTOM.to_owned(),
        max_connections: connections(&own, capacity, report),
        cps: number(&own, "cps", report),
        qps: number(&own, "qps", report),
    }
}

fn named(
    name: &str,
    value: Value<'_>,
    capacity: Capacity,
    report: &mut Report<'_>,
) -> Specification {
    if name == Specification::SHARED {
        return Specification::shared();
    }
    let size = Specification::SIZES.iter().find(|(known, ..)| *known == name);
    let Some(&(_, max_connections, cps, qps)) = size else {
        let sizes = Specification::SIZES.iter().map(|(known, ..)| *known);
        let hint = suggest::word(name, [Specification::SHARED].into_iter().chain(sizes));
        report
            .error(&value.span(), format!("specification {name:?} is not known"))
            .hint(format!("{hint}, or a table of limits"));
        return Specification::shared();
    };
    warn_of_promise(&value.span(), max_connections, capacity, report);
    let [max_connections, cps, qps] = [max_connections, cps, qps].map(Some);
    Specification { name: name.to_owned(), max_connections, cps, qps }
}

/// Checks `bandwidth` of a listener.
pub(super) fn bandwidth(
    table: &Table<'_>,
    mode: ForwardingMode,
    report: &mut Report<'_>,
) -> Bandwidth {
    let (bandwidth, out) = rates(table, report);
    if let Some(out) = out.filter(|_| !mode.sees_replies()) {
        report
            .error(&out.span(), format!("bandwidth has an \"out\", but mode is {:?}", mode.word()))
            .hint(
                "replies go to the client directly: leave \"out\" out, or limit it at the servers",
            );
    }
    bandwidth
}

/// Checks `bandwidth` of an instance.
pub(super) fn instance_bandwidth(table: &Table<'_>, report: &mut Report<'_>) -> Bandwidth {
    rates(table, report).0
}

fn rates<'f>(table: &Table<'f>, report: &mut Report<'_>) -> (Bandwidth, Option<Value<'f>>) {
    let Some((value, table)) = opened(table, "bandwidth", &BANDWIDTH, report) else {
        return (Bandwidth::default(), None);
    };
    let (inbound, outbound) = (table.get("in"), table.get("out"));
    if !table.sets_any(&["in", "out"]) {
        value.refuse("sets no limit", report);
    }
    let [inbound, out] = [inbound, outbound].map(|rate| rate.and_then(|rate| rate.rate(report)));
    (Bandwidth { inbound, outbound: out }, outbound)
}

/// Checks `blackhole`.
pub(super) fn blackhole(table: &Table<'_>, report: &mut Report<'_>) -> Option<Blackhole> {
    let (value, table) = opened(table, "blackhole", &BLACKHOLE, report)?;
    if !table.sets_any(&["pps", "bps"]) {
        let hint = "write pps = 1_000_000, bps = \"10Gbit\" or both";
        report.error(&value.span(), "blackhole has no threshold").hint(hint);
    }
    Some(Blackhole {
        pps: number(&table, "pps", report),
        bps: table.get("bps").and_then(|value| value.rate(report)),
        duration: table.duration_or("duration", Duration::from_secs(60), report),
    })
}

/// The table of a key, with its value for messages about the whole; `None` if it is absent.
pub(super) fn opened<'f>(
    table: &Table<'f>,
    key: &'static str,
    keys: &'static TableKeys,
    report: &mut Report<'_>,
) -> Option<(Value<'f>, Table<'f>)> {
    let value = table.get(key)?;
    Some((value, value.table(keys, report)?))
}

fn connections(table: &Table<'_>, capacity: Capacity, report: &mut Report<'_>) -> Option<u64> {
    let limit = number(table, "max_connections", report)?;
    if let Some(value) = table.get("max_connections") {
        warn_of_promise(&value.span(), limit, capacity, report);
    }
    Some(limit)
}

/// A limit; 0 is told what else to write.
fn number(table: &Table<'_>, key: &'static str, report: &mut Report<'_>) -> Option<u64> {
    let value = table.get(key)?;
    if value.is_zero() {
        report.error(&value.span(), format!("{key} 0 would let nothing through")).hint(
            "leave it out for no limit; enabled = false stops a listener, weight = 0 a backend",
        );
        return None;
    }
    value.integer(report)
}

/// Warns of limits of backends that are beyond the table.
pub(super) fn warn_of_backends(
    backends: &[Backend],
    at: &Span,
    capacity: Capacity,
    report: &mut Report<'_>,
) {
    let limits = backends.iter().filter_map(|backend| backend.limits.max_connections);
    if let Some(most) = limits.max() {
        warn_of_promise(at, most, capacity, report);
    }
}

fn warn_of_promise(at: &Span, limit: u64, capacity: Capacity, report: &mut Report<'_>) {
    let Capacity(capacity) = capacity;
    if limit > capacity {
        let message =
            format!("{limit} connections are more than the table holds for these VIPs, {capacity}");
        report
            .warning(at, message)
            .hint("the table refuses before the limit does: raise dataplane.max_connections");
    }
}

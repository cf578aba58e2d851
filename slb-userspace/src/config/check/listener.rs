//! `[[instance.listener]]`.

use std::time::Duration;

use super::{
    Surroundings,
    backends::{self, Written},
    health,
    instance::Head,
    limits, networks, options,
    ports::{self, Ports},
};
use crate::config::{
    file::Table,
    model::{
        Backend, Family, ForwardingMode, Listener, NoBackend, OnBackendDown, Protocol, Scheduler,
        SharedServerId, TcpTimestamps, Timeouts,
    },
    report::{Report, Span},
};

/// Checks a listener; `None` after an error in its protocol or port.
pub(super) fn check(
    table: &Table<'_>,
    head: &Head<'_>,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<Listener> {
    let protocol = table.required("protocol", report);
    let protocol = protocol.and_then(|value| value.word(Protocol::WORDS, report));
    let ports = table.required("port", report);
    let ports = ports.and_then(|value| ports::check(value, protocol, report));
    let mode = table.word_or("mode", ForwardingMode::WORDS, ForwardingMode::Nat, report);
    let backends = backends(table, ports, mode, head, around, report);
    // The rest is checked as for tcp if the protocol is not known: its keys take all of them.
    let assumed = protocol.unwrap_or(Protocol::Tcp);
    options::fitting_protocol(table, assumed, report);
    let scheduler = scheduler(table, protocol, report);
    let listener = Listener {
        protocol: assumed,
        port: ports.map_or(0, |ports| ports.first),
        last_port: ports.map_or(0, |ports| ports.last),
        mode,
        scheduler,
        slow_start: table.get("slow_start").and_then(|value| value.duration(report)),
        persistence: options::persistence(table, scheduler, report),
        timeouts: timeouts(table, assumed, report),
        drain_timeout: table.duration_or("drain_timeout", Duration::from_secs(300), report),
        on_backend_down: table.word_or(
            "on_backend_down",
            OnBackendDown::WORDS,
            OnBackendDown::Keep,
            report,
        ),
        one_packet: options::one_packet(table, assumed, mode, head, report),
        tcp_timestamps: table.word_or(
            "tcp_timestamps",
            TcpTimestamps::WORDS,
            TcpTimestamps::Auto,
            report,
        ),
        mss_clamp: options::mss_clamp(table, assumed, mode, report),
        limits: limits::listener(table, head.capacity(around.dataplane), report),
        bandwidth: limits::bandwidth(table, mode, report),
        acl: networks::acl(table, report),
        syn_defence: options::syn_defence(table, report),
        no_backend: table.word_or("no_backend", NoBackend::WORDS, NoBackend::Reset, report),
        adopt: table.flag_or("adopt", scheduler.hashes(), report),
        health_check: health::check(table, assumed, report),
        enabled: table.flag_or("enabled", true, report),
        server_group: table
            .get("server_group")
            .and_then(|value| value.as_text())
            .map(str::to_owned),
        backends,
    };
    need_local_addresses(table, &listener, around, report);
    need_server_ids(table, &listener, report);
    (protocol.is_some() && ports.is_some()).then_some(listener)
}

fn scheduler(table: &Table<'_>, protocol: Option<Protocol>, report: &mut Report<'_>) -> Scheduler {
    let scheduler = table.word_or("scheduler", Scheduler::WORDS, Scheduler::Wrr, report);
    if let Some(value) = table.get("scheduler")
        && scheduler == Scheduler::Qch
        && protocol == Some(Protocol::Tcp)
    {
        report
            .error(&value.span(), "scheduler \"qch\" has no meaning on a tcp listener")
            .hint("it reads QUIC connection IDs; \"tch\" hashes addresses and ports of both ends");
    }
    scheduler
}

/// qch finds backends by the ids that their servers write into connection IDs.
fn need_server_ids(table: &Table<'_>, listener: &Listener, report: &mut Report<'_>) {
    let Some(written) = table.get("scheduler").filter(|_| listener.reads_server_ids()) else {
        return;
    };
    for SharedServerId { id, other, backend } in listener.shared_server_ids() {
        let message = format!("server_id {id} is given to {other} and {backend}");
        report.error(&written.span(), message).hint("a server id names one backend");
    }
    let named = listener.backends.iter().any(|backend| backend.server_id.is_some());
    if !named && !listener.backends.is_empty() {
        report
            .warning(&written.span(), "no backend has a server_id: qch does what tch does")
            .hint("give each backend the server_id that its QUIC server puts into connection IDs");
    }
}

/// In fullnat a backend sees a local address of its own family.
fn need_local_addresses(
    table: &Table<'_>,
    listener: &Listener,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) {
    let Some(mode) = table.get("mode").filter(|_| listener.mode == ForwardingMode::FullNat) else {
        return;
    };
    for (family, example) in [(Family::V4, "100.64.0.0/28"), (Family::V6, "fd64::/124")] {
        let used = listener.backends.iter().any(|one| Family::of(one.address) == family);
        let mut local = around.dataplane.local_addresses.iter();
        if used && around.local_is_known && !local.any(|one| Family::of(one.addr()) == family) {
            report
                .error(&mode.span(), format!("mode \"fullnat\" has no {family} local address"))
                .hint(format!("write dataplane.local_addresses = [\"{example}\"], nobody else's"));
        }
    }
}

fn timeouts(table: &Table<'_>, protocol: Protocol, report: &mut Report<'_>) -> Timeouts {
    let established = match protocol {
        Protocol::Tcp => Duration::from_secs(900),
        Protocol::Udp => Duration::from_secs(90),
    };
    Timeouts {
        established: table.duration_or("established_timeout", established, report),
        syn: table.duration_or("syn_timeout", Duration::from_secs(30), report),
        fin: table.duration_or("fin_timeout", Duration::from_secs(60), report),
        time_wait: table.duration_or("time_wait_timeout", Duration::from_secs(60), report),
    }
}

fn backends(
    table: &Table<'_>,
    ports: Option<Ports>,
    mode: ForwardingMode,
    head: &Head<'_>,
    around: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Vec<Backend> {
    let group = table.get("server_group");
    let inline = table.get("backends");
    let from_group = group.and_then(|value| around.groups.backends_of(value, report));
    let own = inline.and_then(|value| backends::list(value, around.taken, report));
    let (at, written, group_at) = match (group, inline) {
        (Some(_), Some(inline)) => {
            report
                .error(&inline.span(), "backends and server_group are both written")
                .hint("keep one: a listener has either its own backends or those of a group");
            return Vec::new();
        }
        (Some(group), None) => (group.span(), from_group, Some(group.span())),
        (None, Some(inline)) => {
            if !mode.crosses_families() {
                warn_of_idle(own.as_deref().unwrap_or_default(), head, report);
            }
            (inline.span(), own, None)
        }
        (None, None) => (table.span.clone(), Some(Vec::new()), None),
    };
    let Some(written) = written else {
        return Vec::new();
    };
    let Some(ports) = ports else {
        return Vec::new();
    };
    let backends = backends::behind(&written, ports, mode, group_at.as_ref(), report);
    warn_of_unserved(&backends, &at, mode, head, report);
    limits::warn_of_backends(&backends, &at, head.capacity(around.dataplane), report);
    backends
}

/// Clients that nobody will answer.
fn warn_of_unserved(
    backends: &[Backend],
    at: &Span,
    mode: ForwardingMode,
    head: &Head<'_>,
    report: &mut Report<'_>,
) {
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
        if mode.crosses_families() || head.vips.is_none() || !head.may_have(family) {
            continue;
        }
        let mut own = backends.iter().filter(|one| Family::of(one.address) == family).peekable();
        let elsewhere = backends.iter().any(|one| one.weight > 0);
        if own.peek().is_none() {
            let message = format!("no backend is {family}, but a VIP is: its clients are refused");
            report.warning(at, message).hint(format!(
                "add an {family} backend, or leave the {family} VIP out of instance {:?}",
                head.name
            ));
        } else if elsewhere && own.all(|one| one.weight == 0) {
            report
                .warning(at, format!("all {family} weights are 0: its new clients are refused"))
                .hint(format!("give at least one {family} backend a weight above 0"));
        }
    }
}

/// Backends of the listener's own that no VIP leads to; a group may have other users.
fn warn_of_idle(backends: &[Written], head: &Head<'_>, report: &mut Report<'_>) {
    for Written { address, at, .. } in backends {
        let family = Family::of(*address);
        if !head.may_have(family) {
            let message = format!("backend {address} is never used: no VIP is {family}");
            report.warning(at, message).hint(format!(
                "add an {family} VIP to instance {:?}, or leave the backend out",
                head.name
            ));
        }
    }
}

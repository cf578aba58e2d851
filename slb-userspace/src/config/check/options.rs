//! What a listener does besides forwarding: persistence, SYN defence and smaller settings, and
//! which of them fit together.

use std::time::Duration;

use super::{instance::Head, limits::opened, name, networks};
use crate::config::{
    file::Table,
    keys::{PERSISTENCE, SYN_DEFENCE},
    model::{
        Family, ForwardingMode, MssClamp, Persistence, Protocol, Scheduler, SynDefence,
        SynDefenceMode,
    },
    report::Report,
};

/// Keys that only TCP gives a meaning, and what a udp listener has instead.
const TCP_KEYS: [(&str, &str); 8] = [
    ("syn_timeout", ONE_TIMEOUT),
    ("fin_timeout", ONE_TIMEOUT),
    ("time_wait_timeout", ONE_TIMEOUT),
    ("on_backend_down", "udp flows always move to another backend: leave it out"),
    ("tcp_timestamps", "leave it out"),
    ("mss_clamp", "leave it out"),
    ("syn_defence", "leave it out; limits and acl work for udp"),
    ("adopt", "every datagram without an entry opens one: leave it out"),
];
const ONE_TIMEOUT: &str = "write established_timeout, the idle time of a flow";

/// Refuses what has no meaning for the protocol.
pub(super) fn fitting_protocol(table: &Table<'_>, protocol: Protocol, report: &mut Report<'_>) {
    if protocol != Protocol::Udp {
        return;
    }
    for (key, hint) in TCP_KEYS {
        if let Some(value) = table.get(key) {
            report
                .error(&value.span(), format!("{key:?} has no meaning on a udp listener"))
                .hint(hint);
        }
    }
}

/// Checks `persistence`.
pub(super) fn persistence(
    table: &Table<'_>,
    scheduler: Scheduler,
    report: &mut Report<'_>,
) -> Option<Persistence> {
    let (value, own) = opened(table, "persistence", &PERSISTENCE, report)?;
    if matches!(scheduler, Scheduler::Wlc | Scheduler::Lc | Scheduler::Sed | Scheduler::Nq) {
        let message = format!(
            "scheduler {:?} with persistence: clients that come back go where they were, however \
             loaded it is",
            scheduler.word()
        );
        report
            .warning(&value.span(), message)
            .hint("\"wrr\" spreads clients evenly; or leave persistence out");
    }
    Some(Persistence {
        timeout: own.duration_or("timeout", Duration::from_secs(1000), report),
        netmask: own.integer_or("netmask", 32, report),
        netmask6: own.integer_or("netmask6", 128, report),
        shared: own.get("shared").and_then(|value| name(value, report)).map(str::to_owned),
    })
}

/// Checks `one_packet`.
pub(super) fn one_packet(
    table: &Table<'_>,
    protocol: Protocol,
    mode: ForwardingMode,
    head: &Head<'_>,
    report: &mut Report<'_>,
) -> bool {
    let wanted = table.flag_or("one_packet", false, report);
    let Some(value) = table.get("one_packet").filter(|_| wanted) else {
        return false;
    };
    let at = value.span();
    if protocol == Protocol::Tcp {
        report
            .error(&at, "one_packet has no meaning on a tcp listener")
            .hint("a TCP connection needs one backend for all of its segments: leave it out");
        return false;
    }
    if table.get("persistence").is_some() {
        report
            .error(&at, "one_packet and persistence are both written")
            .hint("keep one: each datagram is scheduled by itself, or a client keeps its backend");
    }
    match mode {
        ForwardingMode::FullNat => report
            .error(&at, "one_packet does not work in mode \"fullnat\"")
            .hint("a reply finds its client by the entry alone: write mode = \"nat\" or \"dr\""),
        ForwardingMode::Nat => {
            for family in [Family::V4, Family::V6] {
                let vips = head.vips.iter().flatten().filter(|vip| Family::of(**vip) == family);
                if vips.count() > 1 {
                    let message =
                        format!("one_packet in mode \"nat\" with more than one {family} VIP");
                    report.error(&at, message).hint(
                        "a reply could not tell which it answers for: write mode = \"dr\", or \
                         one instance for each VIP",
                    );
                }
            }
        }
        ForwardingMode::Dr | ForwardingMode::Tunnel => {}
    }
    true
}

/// Checks `mss_clamp`.
pub(super) fn mss_clamp(
    table: &Table<'_>,
    protocol: Protocol,
    mode: ForwardingMode,
    report: &mut Report<'_>,
) -> MssClamp {
    let tunnel = mode == ForwardingMode::Tunnel;
    let Some(value) = table.get("mss_clamp") else {
        let auto = tunnel && protocol == Protocol::Tcp;
        return if auto { MssClamp::Auto } else { MssClamp::Off };
    };
    match value.as_text() {
        Some("off") => {
            if tunnel {
                report.warning(&value.span(), "mss_clamp is \"off\" in mode \"tunnel\"").hint(
                    "full segments do not fit into the tunnel unless its path takes larger \
                         frames: leave it out for \"auto\"",
                );
            }
            MssClamp::Off
        }
        Some("auto") => {
            if !tunnel {
                let message = format!("mss_clamp is \"auto\" in mode {:?}", mode.word());
                report.error(&value.span(), message).hint(
                    "it follows the tunnel's MTU; write a number such as 1400, or leave it out",
                );
            }
            MssClamp::Auto
        }
        Some(_) => {
            value.refuse("is not known", report);
            MssClamp::Off
        }
        None => value.integer_within(536, 9000, report).map_or(MssClamp::Off, MssClamp::Value),
    }
}

/// Checks `syn_defence`.
pub(super) fn syn_defence(table: &Table<'_>, report: &mut Report<'_>) -> SynDefence {
    let table = table.table("syn_defence", &SYN_DEFENCE, report);
    let exempt = table.get("exempt").and_then(|value| networks::networks(value, report));
    SynDefence {
        mode: table.word_or("mode", SynDefenceMode::WORDS, SynDefenceMode::Auto, report),
        threshold: table.integer_or("threshold", 10_000, report),
        exempt: networks::sorted(exempt.unwrap_or_default()),
    }
}

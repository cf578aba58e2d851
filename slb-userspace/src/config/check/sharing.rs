//! What listeners have in common: persistence that they share, backends whose replies must tell
//! one listener from another.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use super::ports::Ports;
use crate::config::{
    file::Table,
    model::{ForwardingMode, Listener, Persistence},
    report::{Report, Span},
};

/// A listener that was checked by itself, and its table.
pub(super) type Checked<'f> = (Listener, Table<'f>);

/// What one-packet listeners of the file have used so far.
#[derive(Default)]
pub(super) struct Sharing {
    one_packet: HashMap<IpAddr, Vec<(Ports, usize)>>,
}

impl Sharing {
    /// Checks the listeners of an instance against each other and those before.
    pub(super) fn check(&mut self, listeners: &[Checked<'_>], report: &mut Report<'_>) {
        for listener in listeners {
            self.one_packet(listener, report);
        }
        persistence(listeners, report);
    }

    /// Without an entry, address and port of a reply alone tell which listener it belongs to.
    fn one_packet(&mut self, (listener, table): &Checked<'_>, report: &mut Report<'_>) {
        if !listener.one_packet || listener.mode != ForwardingMode::Nat {
            return;
        }
        let at = span_of(table, "one_packet");
        let line = report.line(&table.span);
        for backend in &listener.backends {
            if listener.is_range() && !backend.maps_ports {
                report
                    .error(&at, format!("one_packet leads several ports to {}", backend.endpoint()))
                    .hint("its replies could not tell which: leave the backend's port out");
                return;
            }
            let more = if backend.maps_ports { listener.last_port - listener.port } else { 0 };
            let last = backend.port.saturating_add(more);
            let ports = Ports { first: backend.port, last };
            let used = self.one_packet.entry(backend.address).or_default();
            let first =
                used.iter().find(|(used, line_used)| used.overlap(ports) && *line_used != line);
            if let Some((_, first)) = first {
                let message = format!(
                    "backend {} serves two one_packet listeners in mode \"nat\"",
                    backend.endpoint()
                );
                report.error(&at, message).hint(format!(
                    "its replies could not tell which; the first one is in line {first}: give the \
                     backend a port for each, or write mode = \"dr\""
                ));
            }
            used.push((ports, line));
        }
    }
}

fn persistence(listeners: &[Checked<'_>], report: &mut Report<'_>) {
    let mut firsts: HashMap<&str, (&Listener, &Persistence, Span, bool)> = HashMap::new();
    let mut names = Vec::new();
    for (listener, table) in listeners {
        let Some(own) = &listener.persistence else { continue };
        let Some(name) = own.shared.as_deref() else { continue };
        let at = span_of(table, "persistence");
        unambiguous(listener, name, &at, report);
        let Some((first, theirs, their_place, several)) = firsts.get_mut(name) else {
            firsts.insert(name, (listener, own, at, false));
            names.push(name);
            continue;
        };
        *several = true;
        let line = report.line(their_place);
        if own != *theirs {
            let said = |one: &Persistence| {
                let (timeout, v4, v6) = (one.timeout.as_secs_f64(), one.netmask, one.netmask6);
                format!("{timeout} s, /{v4}, /{v6}")
            };
            let message = format!(
                "persistence {name:?} is shared but differs: {} here, {} in line {line}",
                said(own),
                said(theirs)
            );
            report
                .error(&at, message)
                .hint("listeners that share templates have the same timeout, netmask and netmask6");
        }
        let (ours, others) = (addresses(listener), addresses(first));
        if ours.is_empty() || others.is_empty() || ours == others {
            continue;
        }
        let odd = ours.symmetric_difference(&others).map(ToString::to_string);
        let message = format!(
            "persistence {name:?} is shared, but only one of the listeners has {}",
            odd.collect::<Vec<_>>().join(", ")
        );
        report.error(&at, message).hint(format!(
            "a client goes to one address for all of them: give this one the backends of the \
             listener whose persistence is in line {line}"
        ));
    }
    for name in names {
        if let Some((_, _, at, false)) = firsts.get(name) {
            report
                .warning(at, format!("persistence {name:?} is shared with no other listener"))
                .hint("write the same shared = \"NAME\" in another one, or leave it out");
        }
    }
}

/// A template names an address: one that stands twice would leave the port open.
fn unambiguous(listener: &Listener, name: &str, at: &Span, report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    let twice = listener.backends.iter().find(|backend| !seen.insert(backend.address));
    if let Some(twice) = twice {
        let message = format!(
            "persistence {name:?} is shared, but backend {} has two ports here",
            twice.address
        );
        report.error(at, message).hint("backends are matched by address: keep one port of each");
    }
}

fn addresses(listener: &Listener) -> BTreeSet<IpAddr> {
    listener.backends.iter().map(|backend| backend.address).collect()
}

fn span_of(table: &Table<'_>, key: &'static str) -> Span {
    table.get(key).map_or(table.span.clone(), |value| value.span())
}

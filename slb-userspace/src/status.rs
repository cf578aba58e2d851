//! What is to be seen: configuration, health and the kernel's counters put together for the API.

pub mod templates;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use slb_common::{
    Answer, Verdict,
    admission::Reason,
    connection::TICK_SHIFT,
    service::{Gauges, mode},
};

use crate::{
    api::{
        Admin, AnswerCount, BackendStatus, ConnectionEntry, ConnectionFilter, ConnectionList,
        Counts, DataplaneStatus, Flow, Health as ApiHealth, InstanceStatus, InterfaceStatus,
        ListenerStatus, Ports, Status, VerdictCount, VerdictList, connections::ConnectionState,
    },
    bpf::Error,
    config::model::{Config, Family, Instance, Listener, XdpMode},
    health::{Health, Observed, TargetKey},
    maps::{
        counters::Counted,
        table::{Line, tick},
        words::protocol,
    },
    plan::applied::idle,
    reconciler::Reconciler,
};

/// What status needs beside the kernel.
pub struct View<'a> {
    /// The configuration with its overlay.
    pub config: &'a Config,
    /// Health by target.
    pub health: &'a HashMap<TargetKey, Observed>,
    /// Why backends cannot be reached, by address.
    pub unreachable: &'a HashMap<std::net::IpAddr, String>,
    /// Interfaces and how XDP runs on them.
    pub interfaces: Vec<InterfaceStatus>,
    /// How it runs.
    pub xdp_mode: XdpMode,
    /// Time that slots which drain have left.
    pub drains: BTreeMap<u32, Duration>,
}

/// Everything.
///
/// # Errors
/// Counters cannot be read.
pub fn status(view: &View<'_>, reconciler: &Reconciler) -> Result<Status, Error> {
    let (mut v4, mut v6) = (0, 0);
    for (slot, backend) in &reconciler.applied.backends {
        let gauges = gauges(reconciler, *slot);
        let entries = gauges.active.saturating_add(gauges.inactive());
        match reconciler.applied.family(backend.backend.service) {
            Family::V4 => v4 += entries,
            Family::V6 => v6 += entries,
        }
    }
    let dataplane = &view.config.dataplane;
    Ok(Status {
        dataplane: DataplaneStatus {
            xdp_mode: view.xdp_mode,
            interfaces: view.interfaces.clone(),
            connections: v4 + v6,
            max_connections: u64::from(dataplane.max_connections),
            connections_v6: v6,
            max_connections_v6: u64::from(dataplane.max_connections_v6),
        },
        instances: view
            .config
            .instances
            .iter()
            .map(|instance| {
                Ok(InstanceStatus {
                    name: instance.name.clone(),
                    vips: instance.vips.clone(),
                    specification: instance.specification.name.clone(),
                    enabled: instance.enabled,
                    flooded_vips: reconciler
                        .kernel()
                        .flooded(&instance.vips)
                        .map(|(vip, _)| vip)
                        .collect(),
                    listeners: instance
                        .listeners
                        .iter()
                        .map(|listener| listener_status(view, reconciler, instance, listener))
                        .collect::<Result<_, Error>>()?,
                })
            })
            .collect::<Result<_, Error>>()?,
    })
}

fn listener_status(
    view: &View<'_>,
    reconciler: &Reconciler,
    instance: &Instance,
    listener: &Listener,
) -> Result<ListenerStatus, Error> {
    let mut counts = Counts::default();
    let (mut refused, mut would_refuse) = (BTreeMap::new(), BTreeMap::new());
    let mut slots = HashMap::new();
    for (id, service) in &reconciler.services {
        let own = service.instance == instance.name
            && service.protocol == listener.protocol
            && service.port == listener.port;
        if !own {
            continue;
        }
        add_counters(&mut counts, reconciler.kernel().service_counters(*id)?);
        let by_reason = reconciler.kernel().refused(*id)?;
        add_reasons(&mut refused, by_reason.refused);
        add_reasons(&mut would_refuse, by_reason.shadow);
        for (slot, backend) in reconciler.applied.slots(*id) {
            let gauges = gauges(reconciler, slot);
            counts.active_connections += gauges.active;
            counts.inactive_connections += gauges.inactive();
            slots.insert(backend.endpoint, slot);
        }
    }
    let mut backends = Vec::new();
    for backend in &listener.backends {
        let slot = slots.remove(&backend.endpoint());
        let key = TargetKey {
            instance: instance.name.clone(),
            protocol: listener.protocol,
            port: listener.port,
            backend: backend.endpoint(),
        };
        let (health, health_reason) = health_of(view, &key);
        let admin = match () {
            () if !instance.enabled || !listener.enabled => Admin::Stopped,
            () if backend.weight == 0 => Admin::Drained,
            () => Admin::Active,
        };
        backends.push(BackendStatus {
            address: backend.address,
            port: backend.port,
            weight: backend.weight,
            role: backend.role,
            health,
            health_reason,
            admin,
            drain_left_s: slot.and_then(|slot| drain_left(view, slot)),
            counts: slot_counts(reconciler, slot)?,
        });
    }
    backends.extend(leaving(view, reconciler, slots)?);
    Ok(ListenerStatus {
        protocol: listener.protocol,
        port: Ports { first: listener.port, last: listener.last_port },
        mode: listener.mode,
        scheduler: listener.scheduler,
        enabled: listener.enabled,
        counts,
        refused,
        would_refuse,
        backends,
    })
}

/// Adds what was refused for each reason, by the name of its verdict.
fn add_reasons(sum: &mut BTreeMap<String, u64>, counted: [u64; Reason::COUNT]) {
    for (reason, count) in Reason::ALL.iter().zip(counted).filter(|(_, count)| *count > 0) {
        *sum.entry(reason.verdict().label().to_owned()).or_default() += count;
    }
}

/// Backends that are no longer configured but still have connections.
fn leaving(
    view: &View<'_>,
    reconciler: &Reconciler,
    slots: HashMap<SocketAddr, u32>,
) -> Result<Vec<BackendStatus>, Error> {
    let mut left: Vec<_> =
        slots.into_iter().filter(|(_, slot)| !idle(gauges(reconciler, *slot))).collect();
    left.sort();
    left.into_iter()
        .map(|(endpoint, slot)| {
            Ok(BackendStatus {
                address: endpoint.ip(),
                port: endpoint.port(),
                weight: 0,
                role: crate::config::model::Role::Primary,
                health: ApiHealth::Unchecked,
                health_reason: "being removed".to_owned(),
                admin: Admin::Draining,
                drain_left_s: drain_left(view, slot),
                counts: slot_counts(reconciler, Some(slot))?,
            })
        })
        .collect()
}

/// Whole seconds that a slot may still drain, if that has an end.
fn drain_left(view: &View<'_>, slot: u32) -> Option<u64> {
    view.drains.get(&slot).map(|left| left.as_secs_f64().ceil() as u64)
}

fn health_of(view: &View<'_>, key: &TargetKey) -> (ApiHealth, String) {
    let observed = view.health.get(key);
    let health = match observed.map_or(Health::Checking, |observed| observed.health) {
        Health::Healthy => ApiHealth::Healthy,
        Health::Unhealthy => ApiHealth::Unhealthy,
        Health::Checking => ApiHealth::Checking,
        Health::Unchecked => ApiHealth::Unchecked,
    };
    let reason = observed.map(|observed| observed.reason.clone()).unwrap_or_default();
    match view.unreachable.get(&key.backend.ip()) {
        Some(why) if reason.is_empty() => (health, why.clone()),
        Some(why) => (health, format!("{reason}; {why}")),
        None => (health, reason),
    }
}

fn slot_counts(reconciler: &Reconciler, slot: Option<u32>) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    if let Some(slot) = slot {
        let gauges = gauges(reconciler, slot);
        counts.active_connections = gauges.active;
        counts.inactive_connections = gauges.inactive();
        add_counters(&mut counts, reconciler.kernel().backend_counters(slot)?);
    }
    Ok(counts)
}

fn gauges(reconciler: &Reconciler, slot: u32) -> Gauges {
    not_below_zero(reconciler.kernel().gauges(slot))
}

/// Gauges as they are shown. A processor may lower one before another has raised it: for a
/// moment it is below zero.
const fn not_below_zero(gauges: Gauges) -> Gauges {
    const fn shown(gauge: u64) -> u64 {
        if gauge >> 63 == 0 { gauge } else { 0 }
    }
    let Gauges { active, opening, closing, reserved } = gauges;
    Gauges { active: shown(active), opening: shown(opening), closing: shown(closing), reserved }
}

const fn add_counters(counts: &mut Counts, counted: Counted) {
    let counted = counted.0;
    counts.connections_total += counted.connections;
    counts.packets_in += counted.packets_in;
    counts.bytes_in += counted.bytes_in;
    counts.packets_out += counted.packets_out;
    counts.bytes_out += counted.bytes_out;
}

/// Counters of all verdicts and answers.
///
/// # Errors
/// They cannot be read.
pub fn verdicts(reconciler: &Reconciler) -> Result<VerdictList, Error> {
    let verdicts = Verdict::ALL
        .iter()
        .map(|verdict| {
            Ok(VerdictCount::new(*verdict, reconciler.kernel().verdict(verdict.index())?))
        })
        .collect::<Result<_, Error>>()?;
    let answers = Answer::ALL
        .iter()
        .map(|answer| Ok(AnswerCount::new(*answer, reconciler.kernel().answer(answer.index())?)))
        .collect::<Result<_, Error>>()?;
    Ok(VerdictList { verdicts, answers })
}

/// Entries of the connection tables that a filter lets through.
pub fn connections(reconciler: &Reconciler, filter: &ConnectionFilter) -> ConnectionList {
    let mut list = ConnectionList::default();
    let now = tick();
    let names = reconciler.services.iter();
    let names: HashMap<u16, (&str, u16)> =
        names.map(|(id, service)| (*id, (service.instance.as_str(), service.port))).collect();
    for family in [Family::V4, Family::V6] {
        for line in reconciler.kernel().table.lines(family) {
            let (Some(protocol), Some(state)) =
                (protocol(line.protocol), ConnectionState::from_number(line.control.state()))
            else {
                continue;
            };
            let (backend, local) = (backend_of(reconciler, &line), local(reconciler, &line));
            let Line { client, vip, .. } = line;
            let flow = Flow { protocol, client, vip, backend, local, state };
            if !filter.matches(&flow) {
                continue;
            }
            list.matching += 1;
            if list.connections.len() < filter.shown_at_most() {
                let idle = u64::from(now.saturating_sub(line.seen.tick())) << TICK_SHIFT;
                list.connections.push(ConnectionEntry {
                    flow,
                    idle_s: idle / 1_000_000_000,
                    instance: names.get(&line.service).map_or("(removed)", |one| one.0).to_owned(),
                    listener_port: names.get(&line.service).map_or(line.vip.port(), |one| one.1),
                });
            }
        }
    }
    list
}

/// The local endpoint of an entry of full NAT.
fn local(reconciler: &Reconciler, line: &Line) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(line.ties.local_port());
    (port != 0).then(|| SocketAddr::new(reconciler.kernel().local(line.ties.local_address()), port))
}

/// The backend of an entry. In dr and tunnel the entry does not name it: it has the VIP there, as
/// which the backend answers.
fn backend_of(reconciler: &Reconciler, line: &Line) -> SocketAddr {
    let slot = reconciler.applied.backends.get(&line.seen.slot());
    match slot.filter(|slot| slot.backend.generation == line.seen.generation()) {
        Some(slot) if mode::one_sided(line.translation.mode()) => {
            SocketAddr::new(slot.endpoint.ip(), line.vip.port())
        }
        _ => line.backend,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_below_zero_for_a_moment_is_shown_as_zero() {
        let gauges = Gauges { active: 0_u64.wrapping_sub(1), opening: 7, ..Gauges::default() };
        assert_eq!(not_below_zero(gauges), Gauges { opening: 7, ..Gauges::default() });
    }
}

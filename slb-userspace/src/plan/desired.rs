//! What the kernel should hold: configuration, overlay, health and next hops put together.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use slb_common::{
    connection::ticks,
    next_hop::NextHop,
    service::{self, Limits, Timeouts},
};

use super::{
    admission::{self, Admission},
    one_packet,
    persistence::DesiredPersistence,
    refusal, segments,
    slow_start::WHOLE,
};
use crate::{
    config::model::{
        Backend, Config, Family, ForwardingMode, Instance, Listener, Protocol, Role, Scheduler,
    },
    health::{Health, TargetKey},
};

/// One listener for one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredService {
    /// Whose listener it is.
    pub instance: String,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Port, host byte order; the first one of a range.
    pub port: u16,
    /// Last port of a range; the same as `port` if it is none.
    pub last_port: u16,
    /// Family of its VIPs and connections; in tunnel mode backends may be of the other.
    pub family: Family,
    /// VIPs that lead to it.
    pub vips: BTreeSet<IpAddr>,
    /// How it draws.
    pub scheduler: Scheduler,
    /// How long a backend ramps; 0: not at all.
    pub slow_start: Duration,
    /// Idle times in ticks.
    pub timeouts: Timeouts,
    /// One of [`service::mode`].
    pub mode: u8,
    /// Greatest MSS that SYNs may announce; 0: any.
    pub mss: u16,
    /// Whether a client keeps its backend.
    pub persistence: Option<DesiredPersistence>,
    /// Bits `SERVICE_*` besides `SERVICE_PRESENT`.
    pub flags: u32,
    /// Whom it lets in.
    pub admission: Admission,
    /// Its backends.
    pub backends: Vec<DesiredBackend>,
}

/// A backend of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DesiredBackend {
    /// Address and port; the first one of a range.
    pub endpoint: SocketAddr,
    /// True if a range of ports is mapped one to one.
    pub maps_ports: bool,
    /// 0–100.
    pub weight: u16,
    /// Thousandths of it that slow start leaves it now.
    pub share: u16,
    /// What QUIC connection IDs call it, if it answers: also at weight 0 or while others are
    /// used, for its connections go on.
    pub server_id: Option<u16>,
    /// True if new connections may go there now.
    pub usable: bool,
    /// What is known of its health, kept in the kernel for the next daemon.
    pub health: Health,
    /// Where frames to it go, if that is known.
    pub hop: Option<NextHop>,
    /// How many connections it takes.
    pub limits: Limits,
}

impl DesiredService {
    /// What health checks call its backends, in their order.
    pub fn targets(&self) -> Vec<TargetKey> {
        let target = |backend: &DesiredBackend| TargetKey {
            instance: self.instance.clone(),
            protocol: self.protocol,
            port: self.port,
            backend: backend.endpoint,
        };
        self.backends.iter().map(target).collect()
    }
}

/// What changes without the configuration.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Health by target; targets that are not there are still being checked.
    pub health: HashMap<TargetKey, Health>,
    /// Next hops by backend address.
    pub hops: HashMap<IpAddr, NextHop>,
    /// Families whose addresses tunnels can come from.
    pub tunnels: HashSet<Family>,
}

/// Puts everything together.
pub fn desired(config: &Config, circumstances: &Circumstances) -> Vec<DesiredService> {
    let mut services = Vec::new();
    for instance in &config.instances {
        for listener in &instance.listeners {
            for family in [Family::V4, Family::V6] {
                services.extend(service_of(instance, listener, family, circumstances));
            }
        }
    }
    services
}

fn service_of(
    instance: &Instance,
    listener: &Listener,
    family: Family,
    circumstances: &Circumstances,
) -> Option<DesiredService> {
    let vips: BTreeSet<IpAddr> =
        instance.vips.iter().copied().filter(|vip| Family::of(*vip) == family).collect();
    if vips.is_empty() {
        return None;
    }
    let fits = |backend: &&Backend| {
        listener.mode.crosses_families() || Family::of(backend.address) == family
    };
    let own = || listener.backends.iter().filter(fits);
    let answers = |backend: &&Backend| answers(instance, listener, backend, circumstances);
    let able = |backend: &&Backend| backend.weight > 0 && answers(backend);
    // Backups take over only when no primary is left.
    let primaries = own().any(|backend| backend.role == Role::Primary && able(&backend));
    let role = if primaries { Role::Primary } else { Role::Backup };
    let backends: Vec<DesiredBackend> = own()
        .map(|backend| DesiredBackend {
            endpoint: backend.endpoint(),
            maps_ports: backend.maps_ports,
            weight: backend.weight,
            share: WHOLE,
            server_id: backend.server_id.filter(|_| answers(&backend)),
            usable: backend.role == role && able(&backend),
            health: health(instance, listener, backend, circumstances),
            hop: circumstances.hops.get(&backend.address).copied(),
            limits: admission::of_backend(backend),
        })
        .collect();
    let stopped = !instance.enabled || !listener.enabled;
    Some(DesiredService {
        instance: instance.name.clone(),
        protocol: listener.protocol,
        port: listener.port,
        last_port: listener.last_port,
        family,
        vips,
        scheduler: listener.scheduler,
        slow_start: listener.slow_start.unwrap_or_default(),
        timeouts: Timeouts::new(
            ticks(listener.timeouts.established.as_secs()),
            ticks(listener.timeouts.syn.as_secs()),
            ticks(listener.timeouts.fin.as_secs()),
            ticks(listener.timeouts.time_wait.as_secs()),
        ),
        persistence: listener
            .persistence
            .as_ref()
            .map(|persistence| DesiredPersistence::of(persistence, family)),
        mode: segments::mode(listener.mode),
        mss: segments::mss(listener, family, &backends),
        flags: segments::flags(listener)
            | one_packet::flags(listener)
            | if stopped { service::SERVICE_STOPPED } else { 0 }
            | refusal::flags(listener),
        admission: admission::of(instance, listener, family),
        backends,
    })
}

/// True if a backend is healthy, and packets find the way to it.
fn answers(
    instance: &Instance,
    listener: &Listener,
    backend: &Backend,
    circumstances: &Circumstances,
) -> bool {
    let health = health(instance, listener, backend, circumstances);
    matches!(health, Health::Healthy | Health::Unchecked)
        && circumstances.hops.contains_key(&backend.address)
        && (listener.mode != ForwardingMode::Tunnel
            || circumstances.tunnels.contains(&Family::of(backend.address)))
}

fn health(
    instance: &Instance,
    listener: &Listener,
    backend: &Backend,
    circumstances: &Circumstances,
) -> Health {
    let key = TargetKey {
        instance: instance.name.clone(),
        protocol: listener.protocol,
        port: listener.port,
        backend: backend.endpoint(),
    };
    circumstances.health.get(&key).copied().unwrap_or(Health::Checking)
}

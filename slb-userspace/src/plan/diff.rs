//! The writes that bring the kernel from what it holds to what it should hold, in an order in
//! which a packet may come between any two: things exist before anything leads to them, and
//! nothing leads to them before they go.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use slb_common::service::{
    BACKEND_PRESENT, Backend, Gauges, Ring, SERVICE_PRESENT, SERVICE_STOPPED, Service,
};

use super::{
    applied::{Applied, idle},
    arena::Arena,
    desired::{DesiredBackend, DesiredService},
    rings::{self, Candidate, Places},
};
use crate::{
    config::model::{Family, Scheduler},
    maps::{
        kernel::{number, same_service, words},
        operation::{Addresses, Operation, Virtual},
    },
};

/// How much the maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Services.
    pub services: u16,
    /// Backend slots.
    pub backends: u32,
    /// Places of the ring arena.
    pub ring_slots: u32,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Too many listeners.
    #[error(
        "{0} virtual services (listeners × address families) are all that fit\nhint: raise \
         dataplane.max_backends; it takes effect after `slbd --detach` and a new start"
    )]
    Services(u16),
    /// Too many backends.
    #[error(
        "{0} backend slots are all that fit, backends that still drain included\nhint: raise \
         dataplane.max_backends; it takes effect after `slbd --detach` and a new start"
    )]
    Backends(u32),
    /// Rings too long.
    #[error(
        "the ring arena of {0} places is full\nhint: raise dataplane.ring_slots, or use weights \
         with common divisors (100, 50) instead of (97, 53)"
    )]
    Rings(u32),
}

/// A list of writes, and what becomes of the services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The writes in their order.
    pub operations: Vec<Operation>,
    /// Id of each desired service, in its order.
    pub services: Vec<u16>,
}

/// Makes the plan. `resting` are stretches of the arena that a program may still be reading.
///
/// # Errors
/// The maps are too small.
pub fn diff(
    applied: &Applied,
    desired: &[DesiredService],
    room: Room,
    resting: &[(u32, u32)],
) -> Result<Plan, NoRoom> {
    let mut planner = Planner::new(applied, room, resting);
    let ids = planner.assign(desired)?;
    for (service, id) in desired.iter().zip(&ids) {
        planner.keep(*id, service)?;
    }
    planner.let_go(&ids);
    planner.addresses(desired, &ids);
    planner.leads(desired, &ids);
    Ok(planner.finish(ids))
}

struct Planner<'a> {
    applied: &'a Applied,
    room: Room,
    arena: Arena,
    /// Slots by service and endpoint.
    slots: HashMap<(u16, SocketAddr), u32>,
    /// No slot below this one is free.
    next_free: u32,
    backends: Vec<Operation>,
    rings: Vec<Operation>,
    services: Vec<Operation>,
    retired: Vec<Operation>,
    unled: Vec<Operation>,
    led: Vec<Operation>,
    addresses: Vec<Operation>,
}

impl<'a> Planner<'a> {
    fn new(applied: &'a Applied, room: Room, resting: &[(u32, u32)]) -> Self {
        let rings = applied.services.values().map(|applied| {
            let ring = applied.service.ring;
            (ring.offset(), ring.length())
        });
        Self {
            applied,
            room,
            arena: Arena::new(room.ring_slots, rings.chain(resting.iter().copied())),
            slots: slots(applied),
            next_free: 0,
            backends: Vec::new(),
            rings: Vec::new(),
            services: Vec::new(),
            retired: Vec::new(),
            unled: Vec::new(),
            led: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// Finds each desired service's id: the one that its VIPs lead to already, or a free one.
    fn assign(&self, desired: &[DesiredService]) -> Result<Vec<u16>, NoRoom> {
        let mut given = BTreeSet::new();
        let mut ids: Vec<Option<u16>> = Vec::new();
        for service in desired {
            let known = virtuals(service)
                .filter_map(|from| self.applied.leads.get(&from).copied())
                .find(|id| self.applied.services.contains_key(id) && !given.contains(id));
            given.extend(known);
            ids.push(known);
        }
        let mut free = (0..self.room.services)
            .filter(|id| !given.contains(id) && !self.applied.services.contains_key(id));
        ids.into_iter()
            .map(|id| id.or_else(|| free.next()).ok_or(NoRoom::Services(self.room.services)))
            .collect()
    }

    /// Brings one service and its backends to what they should be.
    fn keep(&mut self, id: u16, service: &DesiredService) -> Result<(), NoRoom> {
        let mut candidates = Vec::new();
        for backend in &service.backends {
            let slot = self.backend(id, service, backend)?;
            if backend.usable {
                let weight = backend.weight;
                candidates.push(Candidate { slot, endpoint: backend.endpoint, weight });
            }
        }
        let ring = self.ring(id, rings::build(service.scheduler, &candidates))?;
        let value = Service {
            ring,
            flags: SERVICE_PRESENT | service.flags,
            port: service.port,
            protocol: number(service.protocol),
            family: family_number(service.family),
            configured_scheduler: 0,
            reserved: 0,
            timeouts: service.timeouts,
        };
        let before = self.applied.services.get(&id);
        if before.is_none_or(|before| !same_service(&before.service, &value)) {
            self.services.push(Operation::SetService { service: id, to: value });
        }
        Ok(())
    }

    /// The slot of a backend: its own if it has one, also one that was draining, or a free one.
    fn backend(
        &mut self,
        id: u16,
        service: &DesiredService,
        backend: &DesiredBackend,
    ) -> Result<u32, NoRoom> {
        let known = self.slots.get(&(id, backend.endpoint)).copied();
        let own = known.map(|slot| self.applied.backends[&slot]);
        let slot = match known {
            Some(slot) => slot,
            None => self.free_slot()?,
        };
        let generation = match own {
            Some(applied) => applied.backend.generation,
            None => self.applied.generations.get(&slot).map_or(0, |last| last.wrapping_add(1)),
        };
        // What was known of the way there stays until something better is.
        let hop = backend.hop.or(own.map(|applied| applied.backend.hop)).unwrap_or_default();
        let value = Backend {
            address: words(backend.endpoint.ip()),
            hop,
            port: backend.endpoint.port().to_be_bytes(),
            flags: BACKEND_PRESENT,
            weight: if service.scheduler == Scheduler::Lc {
                backend.weight.min(1)
            } else {
                backend.weight
            },
            service: id,
            generation,
            reserved: [0; 15],
        };
        if own.is_none_or(|applied| applied.backend != value) {
            self.backends.push(Operation::SetBackend { slot, backend: value });
        }
        Ok(slot)
    }

    fn free_slot(&mut self) -> Result<u32, NoRoom> {
        let slot = (self.next_free..self.room.backends)
            .find(|slot| !self.applied.backends.contains_key(slot))
            .ok_or(NoRoom::Backends(self.room.backends))?;
        self.next_free = slot + 1;
        Ok(slot)
    }

    /// The ring of a service: the one it has, if that is the same, or a new one elsewhere.
    fn ring(&mut self, id: u16, places: Places) -> Result<Ring, NoRoom> {
        if let Some(before) = self.applied.services.get(&id)
            && before.service.ring.scheduler() == places.scheduler
            && before.service.ring.length() as usize == before.places.len()
            && before.places == places.slots
        {
            return Ok(before.service.ring);
        }
        let length = u32::try_from(places.slots.len())
            .ok()
            .filter(|length| *length <= Ring::MAX_LENGTH)
            .ok_or(NoRoom::Rings(self.room.ring_slots))?;
        let offset = self.arena.take(length).ok_or(NoRoom::Rings(self.room.ring_slots))?;
        if length > 0 {
            self.rings.push(Operation::FillRing { offset, places: places.slots });
        }
        Ok(Ring::new(offset, length, places.scheduler))
    }

    /// Services that nobody wants any more take no new connections; their entries go on.
    fn let_go(&mut self, kept: &[u16]) {
        for (id, before) in &self.applied.services {
            let stopped = before.service.flags & SERVICE_STOPPED != 0;
            if !kept.contains(id) && (before.service.ring != Ring::EMPTY || !stopped) {
                let to = Service {
                    ring: Ring::EMPTY,
                    flags: before.service.flags | SERVICE_STOPPED,
                    ..before.service
                };
                self.retired.push(Operation::SetService { service: *id, to });
            }
        }
    }

    /// Bits for every VIP and backend that packets may still belong to.
    fn addresses(&mut self, desired: &[DesiredService], ids: &[u16]) {
        let vips = desired.iter().flat_map(|service| service.vips.iter().copied());
        let leaving = self
            .applied
            .leads
            .iter()
            .filter(|(_, id)| !ids.contains(id) && self.applied.services.contains_key(id));
        let before = self.applied.addresses.clone().unwrap_or_default();
        // VIPs of services that still drain have no lead any more: their bits stay as they are.
        let draining = self.applied.services.keys().any(|id| !ids.contains(id));
        let kept = before.0.into_iter().filter(|_| draining);
        let vips: BTreeSet<IpAddr> =
            vips.chain(leaving.map(|(from, _)| from.vip)).chain(kept).collect();
        let wanted = desired.iter().flat_map(|service| &service.backends);
        let backends: BTreeSet<IpAddr> = wanted
            .map(|backend| backend.endpoint.ip())
            .chain(self.applied.backends.values().map(|applied| applied.endpoint.ip()))
            .collect();
        let before = self.applied.addresses.as_ref();
        if before.is_none_or(|(before, _)| *before != vips) {
            let addresses = vips.into_iter().collect();
            self.addresses.push(Operation::SetAddresses { which: Addresses::Vips, addresses });
        }
        if before.is_none_or(|(_, before)| *before != backends) {
            let addresses = backends.into_iter().collect();
            self.addresses.push(Operation::SetAddresses { which: Addresses::Backends, addresses });
        }
    }

    fn leads(&mut self, desired: &[DesiredService], ids: &[u16]) {
        let wanted: BTreeMap<Virtual, u16> = desired
            .iter()
            .zip(ids)
            .flat_map(|(service, id)| virtuals(service).map(|from| (from, *id)))
            .collect();
        for from in self.applied.leads.keys().filter(|from| !wanted.contains_key(from)) {
            self.unled.push(Operation::Unlead { from: *from });
        }
        for (from, service) in wanted {
            if self.applied.leads.get(&from) != Some(&service) {
                self.led.push(Operation::Lead { from, service });
            }
        }
    }

    fn finish(self, services: Vec<u16>) -> Plan {
        let operations = [
            self.unled,
            self.backends,
            self.rings,
            self.services,
            self.retired,
            self.addresses,
            self.led,
        ]
        .into_iter()
        .flatten()
        .collect();
        Plan { operations, services }
    }
}

/// Frees slots and services that nobody wants and no entry names any more.
pub fn reclaim(
    applied: &Applied,
    desired: &[DesiredService],
    ids: &[u16],
    gauges: impl Fn(u32) -> Gauges,
) -> Vec<Operation> {
    let wanted: HashSet<(u16, SocketAddr)> = ids
        .iter()
        .zip(desired)
        .flat_map(|(id, service)| service.backends.iter().map(|backend| (*id, backend.endpoint)))
        .collect();
    let mut operations = Vec::new();
    let mut freed = BTreeSet::new();
    for (slot, backend) in &applied.backends {
        let name = (backend.backend.service, backend.endpoint);
        if !wanted.contains(&name) && idle(gauges(*slot)) {
            let empty = Backend { flags: 0, weight: 0, ..backend.backend };
            operations.push(Operation::SetBackend { slot: *slot, backend: empty });
            freed.insert(*slot);
        }
    }
    for (id, service) in &applied.services {
        if !ids.contains(id) && applied.slots(*id).all(|(slot, _)| freed.contains(&slot)) {
            let to = Service { flags: 0, ring: Ring::EMPTY, ..service.service };
            operations.push(Operation::SetService { service: *id, to });
        }
    }
    operations
}

fn slots(applied: &Applied) -> HashMap<(u16, SocketAddr), u32> {
    let named = |(slot, backend): (&u32, &super::applied::AppliedBackend)| {
        ((backend.backend.service, backend.endpoint), *slot)
    };
    applied.backends.iter().map(named).collect()
}

fn virtuals(service: &DesiredService) -> impl Iterator<Item = Virtual> {
    let (port, protocol) = (service.port, service.protocol);
    service.vips.iter().map(move |vip| Virtual { vip: *vip, port, protocol })
}

const fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => 4,
        Family::V6 => 6,
    }
}

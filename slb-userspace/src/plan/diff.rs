//! The writes that bring the kernel from what it holds to what it should hold, in an order in
//! which a packet may come between any two: things exist before anything leads to them, and
//! nothing leads to them before they go.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use slb_common::{
    next_hop::NextHop,
    service::{
        BACKEND_PRESENT, BACKEND_USABLE, Backend, Persistence, Ring, SERVICE_PRESENT,
        SERVICE_STOPPED, Service,
    },
};

use super::{
    admission::answers_until,
    applied::Applied,
    arena::Arena,
    desired::{DesiredBackend, DesiredService},
    entrances::{Bits, Leads, Silence, backends, overlapping, vips, virtuals},
    instances::Instances,
    lists::Lists,
    numbers::{failed, health_number, same_port, units},
    persistence,
    rings::{self, Candidate, Places},
};
use crate::{
    config::model::Family,
    maps::{
        operation::Operation,
        words::{number, words},
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
    /// Ports of VIPs, in each family.
    pub leads: u32,
    /// VIPs.
    pub vips: u32,
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
    /// Too many ports of VIPs.
    #[error(
        "{0} ports of VIPs (VIPs × listeners) in one address family are all that fit\nhint: raise \
         dataplane.max_backends; it takes effect after `slbd --detach` and a new start"
    )]
    Leads(u32),
    /// Too many blocks of port ranges.
    #[error(
        "{0} blocks of ports are all that fit for port ranges; a range such as 8000-8100 takes a \
         few on each VIP, those that go included until they have gone\nhint: begin and end ranges \
         at multiples of powers of two (8192-8447), or raise dataplane.max_backends; it takes \
         effect after `slbd --detach` and a new start"
    )]
    Ranges(u32),
    /// Too many VIPs.
    #[error(
        "{0} VIPs are all that fit, those that go included until they have gone\nhint: raise \
         dataplane.max_backends; it takes effect after `slbd --detach` and a new start"
    )]
    Vips(u32),
}

/// A list of writes, and what becomes of the services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The writes in their order.
    pub operations: Vec<Operation>,
    /// Id of each desired service, in its order.
    pub services: Vec<u16>,
}

/// Makes the plan. `hops` are the known next hops by backend address, `resting` stretches of the
/// arena that a program may still be reading, `now` is the tick.
///
/// # Errors
/// The maps are too small.
pub fn diff(
    applied: &Applied,
    desired: &[DesiredService],
    hops: &HashMap<IpAddr, NextHop>,
    room: Room,
    resting: &[(u32, u32)],
    now: u32,
) -> Result<Plan, NoRoom> {
    let mut planner = Planner::new(applied, room, resting);
    let instances = Instances::of(applied, desired, room.services)?;
    let mut lists = Lists::new(&applied.lists);
    let ids = planner.assign(desired, &instances)?;
    let groups = persistence::groups(applied, desired, &ids);
    for ((service, id), persistence) in desired.iter().zip(&ids).zip(groups) {
        let admission = &service.admission;
        let (acl, exempt) =
            (lists.number(admission.acl.as_ref()), lists.number(admission.exempt.as_ref()));
        let before = applied.services.get(id).map(|before| &before.service);
        planner.keep(*id, service, persistence, |value| {
            admission.fill(value, acl, exempt, instances.place(service));
            value.answers_until = answers_until(before, value.flags, now);
        })?;
    }
    planner.needed = instances.changed().into_iter().chain(lists.filled()).collect();
    planner.let_go(&ids);
    planner.follow(hops);
    let leads = Leads::of(applied, desired, &ids, room.leads)?;
    let vips = vips(applied, desired, &ids, room.vips)?;
    let backends = backends(applied, desired);
    let silence = Silence::of(applied, desired);
    Ok(planner.finish(ids, vips, backends, leads, silence))
}

struct Planner<'a> {
    applied: &'a Applied,
    room: Room,
    arena: Arena,
    /// Slots by service and endpoint.
    slots: HashMap<(u16, SocketAddr), u32>,
    /// Slots that a desired backend has.
    kept: HashSet<u32>,
    /// Free slots in the order of their use, once one has been asked for.
    free: Option<std::vec::IntoIter<u32>>,
    /// What services lead to besides.
    needed: Vec<Operation>,
    backends: Vec<Operation>,
    rings: Vec<Operation>,
    services: Vec<Operation>,
    retired: Vec<Operation>,
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
            kept: HashSet::new(),
            free: None,
            needed: Vec::new(),
            backends: Vec::new(),
            rings: Vec::new(),
            services: Vec::new(),
            retired: Vec::new(),
        }
    }

    /// Finds each desired service's id: the one that its VIPs lead to already, if only by some of
    /// its ports, or a free one.
    fn assign(
        &self,
        desired: &[DesiredService],
        instances: &Instances,
    ) -> Result<Vec<u16>, NoRoom> {
        let mut given = BTreeSet::new();
        let mut ids: Vec<Option<u16>> = Vec::new();
        for service in desired {
            let place = instances.place(service);
            let there = |id: &u16| {
                let known = self.applied.services.get(id);
                known.is_some_and(|known| known.service.instance == place) && !given.contains(id)
            };
            let known = virtuals(service)
                .filter_map(|from| self.applied.leads.get(&from).copied())
                .find(there)
                .or_else(|| overlapping(self.applied, service).find(there));
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
    fn keep(
        &mut self,
        id: u16,
        service: &DesiredService,
        persistence: Persistence,
        admit: impl FnOnce(&mut Service),
    ) -> Result<(), NoRoom> {
        let (mut candidates, mut named) = (Vec::new(), Vec::new());
        for backend in &service.backends {
            let slot = self.backend(id, service, backend)?;
            named.extend(backend.server_id.map(|id| (id, slot)));
            if backend.usable {
                let DesiredBackend { endpoint, weight, share, .. } = *backend;
                candidates.push(Candidate { slot, endpoint, weight, share });
            }
        }
        let ring = self.ring(id, rings::build(service.scheduler, &candidates, &named))?;
        let mut value = Service {
            ring,
            flags: SERVICE_PRESENT | service.flags,
            port: service.port,
            last_port: service.last_port,
            protocol: number(service.protocol),
            family: service.family.number(),
            mode: service.mode,
            mss: service.mss,
            persistence,
            timeouts: service.timeouts,
            ..Service::default()
        };
        admit(&mut value);
        let before = self.applied.services.get(&id);
        if before.is_none_or(|before| before.service != value) {
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
            None => self.applied.freed.get(&slot).map_or(0, |freed| freed.generation),
        };
        // What was known of the way there stays until something better is.
        let hop = backend.hop.or(own.map(|applied| applied.backend.hop)).unwrap_or_default();
        let value = Backend {
            address: words(backend.endpoint.ip()),
            hop,
            port: backend.endpoint.port().to_be_bytes(),
            flags: BACKEND_PRESENT
                | failed(backend.health)
                | same_port(backend)
                | persistence::usable(backend),
            weight: units(service.scheduler, backend),
            service: id,
            generation,
            health: health_number(backend.health),
            family: Family::of(backend.endpoint.ip()).number(),
            limits: backend.limits,
            ..Backend::default()
        };
        self.kept.insert(slot);
        if own.is_none_or(|applied| applied.backend != value) {
            self.backends.push(Operation::SetBackend { slot, backend: value });
        }
        Ok(slot)
    }

    /// Slots never used come first, then those that were freed the longest ago: a packet that is
    /// late meets nobody new.
    fn free_slot(&mut self) -> Result<u32, NoRoom> {
        let applied = self.applied;
        let free = self.free.get_or_insert_with(|| {
            let mut free: Vec<u32> = (0..self.room.backends)
                .filter(|slot| !applied.backends.contains_key(slot))
                .collect();
            free.sort_by_key(|slot| applied.freed.get(slot).map_or(0, |freed| freed.turn + 1));
            free.into_iter()
        });
        free.next().ok_or(NoRoom::Backends(self.room.backends))
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

    /// Backends that still drain follow their next hops as well; no template leads there any more.
    fn follow(&mut self, hops: &HashMap<IpAddr, NextHop>) {
        for (slot, left) in &self.applied.backends {
            if self.kept.contains(slot) {
                continue;
            }
            let hop = hops.get(&left.endpoint.ip()).copied().unwrap_or(left.backend.hop);
            let flags = left.backend.flags & !BACKEND_USABLE;
            let backend = Backend { hop, flags, ..left.backend };
            if backend != left.backend {
                self.backends.push(Operation::SetBackend { slot: *slot, backend });
            }
        }
    }

    /// A bit is set before anything needs it, and cleared when nothing does any more.
    fn finish(
        self,
        services: Vec<u16>,
        vips: Bits,
        backends: Bits,
        leads: Leads,
        silence: Silence,
    ) -> Plan {
        let operations = [
            silence.ended,
            leads.removed,
            vips.widened.into_iter().chain(backends.widened).collect(),
            self.needed,
            self.backends,
            self.rings,
            self.services,
            self.retired,
            leads.added,
            leads.replaced,
            silence.begun,
            vips.narrowed.into_iter().chain(backends.narrowed).collect(),
        ];
        Plan { operations: operations.into_iter().flatten().collect(), services }
    }
}

/// The writes of what is to exist, and those that lead there, from the first on.
pub fn split(operations: &[Operation]) -> (&[Operation], &[Operation]) {
    let leads = |operation: &Operation| {
        matches!(operation, Operation::SetService { .. } | Operation::Lead { .. })
    };
    operations.split_at(operations.iter().position(leads).unwrap_or(operations.len()))
}

fn slots(applied: &Applied) -> HashMap<(u16, SocketAddr), u32> {
    let named = |(slot, backend): (&u32, &super::applied::AppliedBackend)| {
        ((backend.backend.service, backend.endpoint), *slot)
    };
    applied.backends.iter().map(named).collect()
}

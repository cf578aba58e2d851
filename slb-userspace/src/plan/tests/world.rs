//! A kernel of ordinary memory with everything that belongs to it, which is looked at between any
//! two writes as a packet would.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use slb_common::{
    next_hop::{HOP_VALID, NextHop},
    service::{
        BACKEND_PRESENT, Backend, Gauges, INSTANCE_PRESENT, Instance, Limits, NO_SLOT,
        SERVICE_PRESENT, SERVICE_STOPPED, Service, Timeouts, scheduler,
    },
};

use super::super::{
    admission::Admission,
    applied::{Applied, AppliedService},
    desired::{DesiredBackend, DesiredService},
    diff::{Plan, Room, diff},
    entrances::entrances,
    reclaim::Unused,
    slow_start::WHOLE,
};
use crate::{
    config::model::{AccessList, Family, Protocol, Scheduler},
    health::Health,
    maps::{
        operation::{Addresses, Operation, Virtual},
        words::address,
    },
};

const ROOM: Room = Room { services: 64, backends: 512, ring_slots: 65_536, leads: 256, vips: 256 };
pub(in crate::plan) const SMALL: Room =
    Room { services: 8, backends: 64, ring_slots: 4096, leads: 32, vips: 16 };
/// From one sweep to the next.
const SWEEP: Duration = Duration::from_secs(2);
pub(in crate::plan) const HOP: NextHop = NextHop {
    destination: [2; 6],
    vlan: 0,
    source: [4; 6],
    mtu: 0,
    interface: 7,
    state: HOP_VALID,
};

/// What the maps would hold.
#[derive(Default)]
pub(in crate::plan) struct Memory {
    pub(in crate::plan) services: BTreeMap<u16, Service>,
    pub(in crate::plan) backends: BTreeMap<u32, Backend>,
    arena: BTreeMap<u32, u32>,
    leads: BTreeMap<Virtual, u16>,
    pub(in crate::plan) vips: BTreeSet<IpAddr>,
    pub(in crate::plan) backend_addresses: BTreeSet<IpAddr>,
    pub(in crate::plan) stopped_vips: BTreeSet<IpAddr>,
    pub(in crate::plan) instances: BTreeMap<u16, Instance>,
    pub(in crate::plan) lists: BTreeMap<u32, AccessList>,
}

impl Memory {
    fn apply(&mut self, operation: &Operation) {
        match operation.clone() {
            Operation::SetBackend { slot, backend } => {
                self.backends.insert(slot, backend);
            }
            Operation::FillRing { offset, places } => {
                self.arena.extend((offset..).zip(places));
            }
            Operation::SetService { service, to } => {
                self.services.insert(service, to);
            }
            Operation::SetInstance { place, to } => {
                self.instances.insert(place, to);
            }
            Operation::FillList { number, list } => {
                let before = self.lists.insert(number, list);
                assert_eq!(before, None, "a list is written whole, and once");
            }
            Operation::DropList { number, .. } => {
                self.lists.remove(&number);
            }
            Operation::SetAddresses { which: Addresses::Vips, addresses } => {
                self.vips = addresses.into_iter().collect();
                // A VIP that is taken in anew begins anew.
                self.stopped_vips.retain(|vip| self.vips.contains(vip));
            }
            Operation::SetAddresses { which: Addresses::Backends, addresses } => {
                self.backend_addresses = addresses.into_iter().collect();
            }
            Operation::Lead { from, service } => {
                self.leads.insert(from, service);
            }
            Operation::Unlead { from } => {
                self.leads.remove(&from);
            }
            Operation::StopVip { vip } => {
                self.stopped_vips.insert(vip);
            }
            Operation::StartVip { vip } => {
                self.stopped_vips.remove(&vip);
            }
        }
    }

    fn places(&self, service: &Service) -> Vec<u32> {
        let offset = service.ring.offset();
        (offset..offset + service.ring.length()).map(|place| self.arena[&place]).collect()
    }

    fn slots(&self, service: &Service) -> impl Iterator<Item = u32> {
        self.places(service).into_iter().filter(|slot| *slot != NO_SLOT)
    }

    /// What must hold whenever a packet may come.
    fn check(&self) {
        for (from, id) in &self.leads {
            let service = &self.services[id];
            assert!(service.flags & SERVICE_PRESENT != 0, "{from:?} leads to no service");
            let silent = self.stopped_vips.contains(&from.vip);
            let stopped = service.flags & SERVICE_STOPPED != 0;
            assert!(!silent || stopped, "{from:?} leads, but nothing is answered");
            // A block may hold ports that a range has lost or not yet got.
            let (first, last) = (service.port, service.last_port);
            assert!(from.port <= last && first <= from.last_port, "{from:?} of {first}-{last}");
            assert!(self.vips.contains(&from.vip), "{from:?} leads, but its bit is not set");
        }
        for (id, service) in &self.services {
            for number in [service.acl, service.exempt] {
                let known = number == 0 || self.lists.contains_key(&number);
                assert!(known || service.flags & SERVICE_PRESENT == 0, "service {id}: no list");
            }
            let instance = self.instances.get(&service.instance);
            let present = instance.is_some_and(|one| one.flags & INSTANCE_PRESENT != 0);
            assert!(present || service.flags & SERVICE_PRESENT == 0, "service {id}: no instance");
            for slot in self.slots(service) {
                let backend = &self.backends[&slot];
                assert!(backend.flags & BACKEND_PRESENT != 0, "service {id} draws a free slot");
                assert_eq!(backend.service, *id, "service {id} draws another's backend");
                assert!(backend.hop.usable(), "service {id} draws a backend out of reach");
                let family = if backend.family == 6 { Family::V6 } else { Family::V4 };
                let address = address(family, backend.address);
                let marked = self.backend_addresses.contains(&address);
                assert!(marked, "service {id} draws {address}, but its bit is not set");
            }
        }
    }

    /// What the plan promised, once it has been carried out.
    fn check_holds(&self, desired: &[DesiredService], ids: &[u16]) {
        for (wanted, id) in desired.iter().zip(ids) {
            let service = &self.services[id];
            let admission = &wanted.admission;
            assert_eq!(service.flags, SERVICE_PRESENT | wanted.flags | admission.flags);
            assert_eq!(self.lists.get(&service.acl), admission.acl.as_ref());
            assert_eq!(self.lists.get(&service.exempt), admission.exempt.as_ref());
            let instance = self.instances[&service.instance];
            assert_eq!(instance.limits, admission.instance_limits);
            for vip in &wanted.vips {
                for from in entrances(*vip, (wanted.port, wanted.last_port), wanted.protocol) {
                    assert_eq!(self.leads[&from], *id);
                }
            }
            if service.ring.scheduler() == scheduler::QUIC {
                // It also leads to backends that take no new connections: `quic`'s tests.
                continue;
            }
            let drawn: BTreeSet<[u8; 2]> =
                self.slots(service).map(|slot| self.backends[&slot].port).collect();
            let usable: BTreeSet<[u8; 2]> = wanted
                .backends
                .iter()
                .filter(|backend| backend.usable)
                .map(|backend| backend.endpoint.port().to_be_bytes())
                .collect();
            assert_eq!(drawn, usable);
            for backend in &wanted.backends {
                assert!(self.backend_addresses.contains(&backend.endpoint.ip()));
            }
        }
        let vips: BTreeSet<IpAddr> =
            desired.iter().flat_map(|service| service.vips.iter().copied()).collect();
        for vip in vips {
            let mut own = desired.iter().filter(|service| service.vips.contains(&vip));
            let stopped = own.all(|service| service.flags & SERVICE_STOPPED != 0);
            assert_eq!(self.stopped_vips.contains(&vip), stopped, "{vip}");
        }
        let wanted = desired.iter().flat_map(|service| {
            let ports = (service.port, service.last_port);
            service.vips.iter().flat_map(move |vip| entrances(*vip, ports, service.protocol))
        });
        assert_eq!(self.leads.len(), wanted.count());
    }

    /// Ports of a VIP that lead to a service.
    fn open_ports(&self, vip: IpAddr) -> BTreeSet<u16> {
        let own = self.leads.keys().filter(|from| from.vip == vip);
        own.flat_map(|from| from.port..=from.last_port).collect()
    }
}

/// A kernel with everything that belongs to it.
pub(in crate::plan) struct World {
    pub(in crate::plan) memory: Memory,
    pub(in crate::plan) applied: Applied,
    resting: Vec<(u32, u32)>,
    pub(in crate::plan) services: Vec<(u16, DesiredService)>,
    unused: Unused,
    now: Instant,
    pub(super) tick: u32,
    pub(in crate::plan) hops: HashMap<IpAddr, NextHop>,
    room: Room,
    /// A VIP, and its ports that led somewhere after each write.
    pub(super) watched: Option<(IpAddr, Vec<BTreeSet<u16>>)>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            memory: Memory::default(),
            applied: Applied::default(),
            resting: Vec::new(),
            services: Vec::new(),
            unused: Unused::default(),
            now: Instant::now(),
            tick: 0,
            hops: HashMap::new(),
            room: ROOM,
            watched: None,
        }
    }
}

impl World {
    /// One with room for a Maglev table.
    pub(super) fn with_room() -> Self {
        Self { room: Room { ring_slots: 262_144, ..ROOM }, ..Self::default() }
    }

    pub(super) fn with_backends(backends: u32) -> Self {
        Self { room: Room { backends, ..ROOM }, ..Self::default() }
    }

    pub(in crate::plan) fn carry_out(&mut self, desired: &[DesiredService]) -> Plan {
        let plan = diff(&self.applied, desired, &self.hops, self.room, &self.resting, self.tick)
            .expect("room enough");
        self.services = plan.services.iter().copied().zip(desired.iter().cloned()).collect();
        self.unused.retain_unwanted(&self.applied, &self.services);
        self.resting.clear();
        for operation in &plan.operations {
            if let Operation::SetService { service, .. } = operation
                && let Some(before) = self.applied.services.get(service)
            {
                let ring = before.service.ring;
                self.resting.push((ring.offset(), ring.length()));
            }
            self.write(operation);
        }
        self.memory.check_holds(desired, &plan.services);
        plan
    }

    /// Looks for what is free; returns what was freed.
    pub(in crate::plan) fn sweep(&mut self, busy: &[u32]) -> Vec<Operation> {
        self.now += SWEEP;
        let gauges = |slot| Gauges { active: u64::from(busy.contains(&slot)), ..Gauges::default() };
        let freed = self.unused.reclaim(&self.applied, &self.services, self.now, gauges);
        freed.iter().for_each(|operation| self.write(operation));
        freed
    }

    /// Another daemon, which knows only what lies in the maps.
    pub(in crate::plan) fn restart(&mut self) {
        let memory = &self.memory;
        let services = services_present(&memory.services).map(|(id, service)| {
            (*id, AppliedService { service: *service, places: memory.places(service) })
        });
        let slots = memory.backends.clone();
        self.applied = Applied::adopted(services.collect(), slots, memory.leads.clone());
        self.applied.instances = memory.instances.clone();
        self.applied.instances.retain(|_, one| one.flags & INSTANCE_PRESENT != 0);
        // An empty list leaves nothing to be read.
        let present = services_present(&self.memory.services);
        let named: BTreeSet<u32> =
            present.flat_map(|(_, service)| [service.acl, service.exempt]).collect();
        self.memory.lists.retain(|number, list| !list.is_empty() || named.contains(number));
        let memory = &self.memory;
        let mut lists = memory.lists.clone();
        lists.retain(|_, list| !list.is_empty());
        self.applied.adopt_lists(lists);
        self.applied.vips.clone_from(&memory.vips);
        self.applied.backend_addresses.clone_from(&memory.backend_addresses);
        self.applied.stopped_vips.clone_from(&memory.stopped_vips);
        (self.resting, self.services) = (Vec::new(), Vec::new());
        self.unused = Unused::default();
    }

    fn write(&mut self, operation: &Operation) {
        self.memory.apply(operation);
        self.applied.note(operation);
        self.memory.check();
        if let Some((vip, seen)) = &mut self.watched {
            seen.push(self.memory.open_ports(*vip));
        }
    }
}

/// A service on 10.0.0.`number`, port 80, with backends that differ in their ports.
pub(in crate::plan) fn service(
    number: u8,
    scheduler: Scheduler,
    backends: &[(u16, u16, bool)],
) -> DesiredService {
    DesiredService {
        instance: format!("instance{number}"),
        protocol: Protocol::Tcp,
        port: 80,
        last_port: 80,
        family: Family::V4,
        vips: [IpAddr::from([10, 0, 0, number])].into(),
        scheduler,
        slow_start: Duration::ZERO,
        timeouts: Timeouts::new(3000, 100, 200, 200),
        mode: 0,
        mss: 0,
        persistence: None,
        flags: 0,
        admission: Admission::default(),
        backends: backends
            .iter()
            .map(|(port, weight, usable)| DesiredBackend {
                endpoint: SocketAddr::from(([10, 0, 1, number], *port)),
                maps_ports: false,
                weight: *weight,
                share: WHOLE,
                server_id: None,
                usable: *usable && *weight > 0,
                health: if *usable { Health::Healthy } else { Health::Unhealthy },
                hop: Some(HOP),
                limits: Limits::default(),
            })
            .collect(),
    }
}

fn services_present(services: &BTreeMap<u16, Service>) -> impl Iterator<Item = (&u16, &Service)> {
    services.iter().filter(|(_, one)| one.flags & SERVICE_PRESENT != 0)
}

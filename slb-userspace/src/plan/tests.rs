//! Plans carried out write by write on a kernel of ordinary memory, which is looked at between any
//! two writes as a packet would.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use proptest::prelude::*;
use slb_common::{
    next_hop::{HOP_VALID, NextHop},
    service::{
        BACKEND_PRESENT, Backend, Gauges, SERVICE_PRESENT, SERVICE_STOPPED, Service, Timeouts,
    },
};

use super::{
    applied::Applied,
    desired::{DesiredBackend, DesiredService},
    diff::{NoRoom, Plan, Room, diff, reclaim},
};
use crate::{
    config::model::{Family, Protocol, Scheduler},
    maps::operation::{Addresses, Operation, Virtual},
};

const ROOM: Room = Room { services: 64, backends: 512, ring_slots: 65_536 };
const SMALL: Room = Room { services: 8, backends: 64, ring_slots: 4096 };
const HOP: NextHop = NextHop {
    destination: [2; 6],
    vlan: 0,
    source: [4; 6],
    reserved: 0,
    interface: 7,
    state: HOP_VALID,
};

/// What the maps would hold.
#[derive(Default)]
struct Memory {
    services: BTreeMap<u16, Service>,
    backends: BTreeMap<u32, Backend>,
    arena: BTreeMap<u32, u32>,
    leads: BTreeMap<Virtual, u16>,
    vips: BTreeSet<IpAddr>,
    backend_addresses: BTreeSet<IpAddr>,
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
            Operation::SetAddresses { which: Addresses::Vips, addresses } => {
                self.vips = addresses.into_iter().collect();
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
        }
    }

    fn places(&self, service: &Service) -> Vec<u32> {
        let offset = service.ring.offset();
        (offset..offset + service.ring.length()).map(|place| self.arena[&place]).collect()
    }

    /// What must hold whenever a packet may come.
    fn check(&self) {
        for (from, id) in &self.leads {
            let service = &self.services[id];
            assert!(service.flags & SERVICE_PRESENT != 0, "{from:?} leads to no service");
            assert_eq!(service.port, from.port);
            assert!(self.vips.contains(&from.vip), "{from:?} leads, but its bit is not set");
        }
        for (id, service) in &self.services {
            for slot in self.places(service) {
                let backend = &self.backends[&slot];
                assert!(backend.flags & BACKEND_PRESENT != 0, "service {id} draws a free slot");
                assert_eq!(backend.service, *id, "service {id} draws another's backend");
                assert!(backend.hop.usable(), "service {id} draws a backend out of reach");
            }
        }
    }

    /// What the plan promised, once it has been carried out.
    fn check_holds(&self, desired: &[DesiredService], ids: &[u16]) {
        for (wanted, id) in desired.iter().zip(ids) {
            let service = &self.services[id];
            assert_eq!(service.flags, SERVICE_PRESENT | wanted.flags);
            for vip in &wanted.vips {
                let from = Virtual { vip: *vip, port: wanted.port, protocol: wanted.protocol };
                assert_eq!(self.leads[&from], *id);
            }
            let drawn: BTreeSet<[u8; 2]> =
                self.places(service).iter().map(|slot| self.backends[slot].port).collect();
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
        assert_eq!(
            self.leads.len(),
            desired.iter().map(|service| service.vips.len()).sum::<usize>()
        );
    }
}

/// A kernel with everything that belongs to it.
#[derive(Default)]
struct World {
    memory: Memory,
    applied: Applied,
    resting: Vec<(u32, u32)>,
}

impl World {
    fn carry_out(&mut self, desired: &[DesiredService]) -> Plan {
        let plan = diff(&self.applied, desired, ROOM, &self.resting).expect("room enough");
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

    fn write(&mut self, operation: &Operation) {
        self.memory.apply(operation);
        self.applied.note(operation);
        self.memory.check();
    }
}

/// A service on 10.0.0.`number`, port 80, with backends that differ in their ports.
fn service(number: u8, scheduler: Scheduler, backends: &[(u16, u16, bool)]) -> DesiredService {
    DesiredService {
        instance: format!("instance{number}"),
        protocol: Protocol::Tcp,
        port: 80,
        family: Family::V4,
        vips: [IpAddr::from([10, 0, 0, number])].into(),
        scheduler,
        timeouts: Timeouts::new(3000, 100, 200, 200),
        flags: 0,
        backends: backends
            .iter()
            .map(|(port, weight, usable)| DesiredBackend {
                endpoint: SocketAddr::from(([10, 0, 1, number], *port)),
                weight: *weight,
                usable: *usable && *weight > 0,
                hop: Some(HOP),
            })
            .collect(),
    }
}

#[test]
fn the_same_wish_again_writes_nothing() {
    let mut world = World::default();
    let desired = [service(1, Scheduler::Wrr, &[(1, 3, true), (2, 2, true)])];
    assert!(!world.carry_out(&desired).operations.is_empty());
    assert_eq!(world.carry_out(&desired).operations, []);
}

#[test]
fn a_health_change_writes_one_ring_and_one_service() {
    let mut world = World::default();
    let backends = |usable| [(1, 3, true), (2, 2, usable)];
    world.carry_out(&[
        service(1, Scheduler::Wrr, &backends(true)),
        service(2, Scheduler::Wlc, &backends(true)),
    ]);
    let plan = world.carry_out(&[
        service(1, Scheduler::Wrr, &backends(false)),
        service(2, Scheduler::Wlc, &backends(true)),
    ]);
    assert!(matches!(
        plan.operations.as_slice(),
        [Operation::FillRing { .. }, Operation::SetService { service: 0, .. }]
    ));
}

#[test]
fn a_removed_backend_keeps_its_slot_until_its_entries_are_gone() {
    let mut world = World::default();
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true), (2, 1, true)])]);
    let desired = [service(1, Scheduler::Wrr, &[(1, 1, true)])];
    let ids = world.carry_out(&desired).services;
    let busy = |slot| Gauges { active: u64::from(slot == 1), inactive: 0 };
    assert_eq!(reclaim(&world.applied, &desired, &ids, busy), []);
    let freed = reclaim(&world.applied, &desired, &ids, |_| Gauges::default());
    assert_eq!(freed.len(), 1);
    freed.iter().for_each(|operation| world.write(operation));
    // The next user of the slot is another generation.
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true), (3, 1, true)])]);
    assert_eq!(world.memory.backends[&1].generation, 1);
}

#[test]
fn a_backend_that_comes_back_while_it_drains_gets_its_own_slot_again() {
    let mut world = World::default();
    let both = [service(1, Scheduler::Wrr, &[(1, 1, true), (2, 1, true)])];
    world.carry_out(&both);
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true)])]);
    world.carry_out(&both);
    assert_eq!(world.memory.backends.len(), 2);
    assert_eq!(world.memory.backends[&1].generation, 0);
}

#[test]
fn a_removed_listener_takes_nothing_new_and_goes_when_its_entries_are_gone() {
    let mut world = World::default();
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true)])]);
    let ids = world.carry_out(&[]).services;
    let left = world.memory.services[&0];
    assert_eq!(left.ring.length(), 0);
    assert_eq!(left.flags, SERVICE_PRESENT | SERVICE_STOPPED);
    assert!(world.memory.vips.contains(&IpAddr::from([10, 0, 0, 1])), "its entries still match");
    let freed = reclaim(&world.applied, &[], &ids, |_| Gauges::default());
    freed.iter().for_each(|operation| world.write(operation));
    assert_eq!(world.memory.services[&0].flags, 0);
    assert_eq!(world.applied.services.len(), 0);
}

#[test]
fn a_listener_keeps_its_service_when_its_vips_change() {
    let mut world = World::default();
    let mut desired = service(1, Scheduler::Wrr, &[(1, 1, true)]);
    desired.vips.insert(IpAddr::from([10, 0, 0, 9]));
    world.carry_out(&[service(2, Scheduler::Wrr, &[(1, 1, true)]), desired.clone()]);
    desired.vips.remove(&IpAddr::from([10, 0, 0, 1]));
    let plan = world.carry_out(&[desired]);
    assert_eq!(plan.services, [1]);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let applied = Applied::default();
    let many: Vec<_> = (0..9).map(|n| service(n, Scheduler::Rr, &[])).collect();
    assert_eq!(diff(&applied, &many, SMALL, &[]), Err(NoRoom::Services(8)));
    let backends: Vec<_> = (1..=65).map(|port| (port, 1, true)).collect();
    let wide = [service(1, Scheduler::Rr, &backends)];
    assert_eq!(diff(&applied, &wide, SMALL, &[]), Err(NoRoom::Backends(64)));
    let long = [service(1, Scheduler::Mh, &[(1, 1, true)])];
    assert_eq!(diff(&applied, &long, SMALL, &[]), Err(NoRoom::Rings(4096)));
}

fn any_services() -> impl Strategy<Value = Vec<DesiredService>> {
    let scheduler = prop::sample::select(vec![
        Scheduler::Wrr,
        Scheduler::Rr,
        Scheduler::Wlc,
        Scheduler::Lc,
        Scheduler::Sh,
    ]);
    let backends = prop::collection::btree_map(1_u16..6, (0_u16..=4, any::<bool>()), 0..5);
    let services = prop::collection::btree_map(1_u8..5, (scheduler, backends), 0..4);
    services.prop_map(|services| {
        let service_of =
            |(number, (scheduler, backends)): (u8, (_, BTreeMap<u16, (u16, bool)>))| {
                let backends: Vec<_> = backends
                    .into_iter()
                    .map(|(port, (weight, usable))| (port, weight, usable))
                    .collect();
                service(number, scheduler, &backends)
            };
        services.into_iter().map(service_of).collect()
    })
}

proptest! {
    #[test]
    fn a_packet_between_any_two_writes_meets_a_whole_world(
        wishes in prop::collection::vec((any_services(), any::<bool>()), 1..12),
    ) {
        let mut world = World::default();
        for (desired, drained) in wishes {
            let plan = world.carry_out(&desired);
            if drained {
                let gauges = |_| Gauges::default();
                for operation in reclaim(&world.applied, &desired, &plan.services, gauges) {
                    world.write(&operation);
                }
            }
        }
    }
}

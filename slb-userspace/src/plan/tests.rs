//! Plans carried out write by write on a kernel of ordinary memory (`world`).

mod admission;
mod quic;
pub(super) mod world;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use proptest::prelude::*;
use slb_common::{
    next_hop::NextHop,
    service::{
        self, BACKEND_PRESENT, BACKEND_SAME_PORT, BACKEND_USABLE, Backend, SERVICE_PRESENT,
        SERVICE_STOPPED,
    },
};

use self::world::{HOP, SMALL, World, service};
use super::{
    applied::Applied,
    desired::{DesiredBackend, DesiredService},
    diff::{NoRoom, diff, split},
};
use crate::{config::model::Scheduler, maps::operation::Operation};

#[test]
fn the_same_wish_again_writes_nothing() {
    let mut world = World::default();
    let desired = [service(1, Scheduler::Wrr, &[(1, 3, true), (2, 2, true)])];
    assert!(!world.carry_out(&desired).operations.is_empty());
    assert_eq!(world.carry_out(&desired).operations, []);
}

#[test]
fn a_health_change_writes_one_backend_one_ring_and_one_service() {
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
        [
            Operation::SetBackend { slot: 1, .. },
            Operation::FillRing { .. },
            Operation::SetService { service: 0, .. }
        ]
    ));
    let health = |slot| world.memory.backends[&slot].health;
    assert_eq!((health(0), health(1)), (service::health::HEALTHY, service::health::UNHEALTHY));
}

#[test]
fn a_removed_backend_keeps_its_slot_until_it_was_idle_in_two_sweeps_in_a_row() {
    let mut world = World::default();
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true), (2, 1, true)])]);
    world.sweep(&[]);
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true)])]);
    for busy in [&[1][..], &[], &[1], &[]] {
        assert_eq!(world.sweep(busy), []);
    }
    assert_eq!(world.sweep(&[]).len(), 1);
    assert_eq!(world.memory.backends[&1].flags, 0);
}

#[test]
fn a_backend_that_was_wanted_between_two_sweeps_keeps_its_slot() {
    let mut world = World::default();
    let both = [service(1, Scheduler::Wrr, &[(1, 1, true), (2, 1, true)])];
    let one = [service(1, Scheduler::Wrr, &[(1, 1, true)])];
    world.carry_out(&both);
    world.carry_out(&one);
    world.sweep(&[]);
    world.carry_out(&both);
    world.carry_out(&one);
    assert_eq!(world.sweep(&[]), []);
}

#[test]
fn the_next_user_of_a_slot_is_another_generation_also_after_a_restart() {
    let mut world = World::with_backends(2);
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true), (2, 1, true)])]);
    let address = world.memory.backends[&1].address;
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true)])]);
    world.sweep(&[]);
    world.sweep(&[]);
    assert_eq!(world.memory.backends[&1].generation, 1);
    assert_eq!(world.memory.backends[&1].address, address, "templates still lead to it");
    world.restart();
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true), (3, 1, true)])]);
    let backend = world.memory.backends[&1];
    assert_eq!((backend.port, backend.generation), (3_u16.to_be_bytes(), 1));
}

#[test]
fn slots_that_rested_the_longest_are_used_first() {
    let mut world = World::with_backends(3);
    let wish = |ports: &[u16]| {
        let backends: Vec<_> = ports.iter().map(|port| (*port, 1, true)).collect();
        [service(1, Scheduler::Wrr, &backends)]
    };
    let slot = |world: &World, port: u16| {
        let of_port = |(_, backend): &(&u32, &Backend)| {
            backend.port == port.to_be_bytes() && backend.flags & BACKEND_PRESENT != 0
        };
        world.memory.backends.iter().find(of_port).map(|(slot, _)| *slot)
    };
    world.carry_out(&wish(&[1, 2]));
    for left in [&[1][..], &[]] {
        world.carry_out(&wish(left));
        world.sweep(&[]);
        world.sweep(&[]);
    }
    // Slot 1 was freed first, then slot 0; slot 2 was never used.
    world.carry_out(&wish(&[3]));
    world.carry_out(&wish(&[3, 4]));
    assert_eq!((slot(&world, 3), slot(&world, 4)), (Some(2), Some(1)));
}

#[test]
fn a_backend_that_drains_follows_its_next_hop() {
    let mut world = World::default();
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true)])]);
    let moved = NextHop { destination: [9; 6], ..HOP };
    world.hops.insert(IpAddr::from([10, 0, 1, 1]), moved);
    world.carry_out(&[]);
    assert_eq!(world.memory.backends[&0].hop, moved);
    // What is not known any more stays as it was.
    world.hops.clear();
    assert_eq!(world.carry_out(&[]).operations, []);
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
    world.carry_out(&[]);
    let left = world.memory.services[&0];
    assert_eq!(left.ring.length(), 0);
    assert_eq!(left.flags, SERVICE_PRESENT | SERVICE_STOPPED);
    assert!(world.memory.vips.contains(&IpAddr::from([10, 0, 0, 1])), "its entries still match");
    world.sweep(&[]);
    world.sweep(&[]);
    assert_eq!(world.memory.services[&0].flags, 0);
    assert_eq!(world.applied.services.len(), 0);
    // With its last entry go the bits of its addresses.
    world.carry_out(&[]);
    assert!(world.memory.vips.is_empty() && world.memory.backend_addresses.is_empty());
}

#[test]
fn a_removed_listener_keeps_its_vip_across_a_restart_while_it_drains() {
    let mut world = World::default();
    world.carry_out(&[service(1, Scheduler::Wrr, &[(1, 1, true)])]);
    world.carry_out(&[service(2, Scheduler::Wrr, &[(1, 1, true)])]);
    world.restart();
    let desired = [service(2, Scheduler::Wrr, &[(1, 1, true)])];
    assert_eq!(world.carry_out(&desired).operations, []);
    assert!(world.memory.vips.contains(&IpAddr::from([10, 0, 0, 1])), "its entries still match");
    assert!(world.memory.backend_addresses.contains(&IpAddr::from([10, 0, 1, 1])));
}

#[test]
fn a_restart_writes_nothing_where_the_wish_is_the_same() {
    let mut world = World::default();
    let desired = [service(1, Scheduler::Wrr, &[(1, 3, true), (2, 2, false)])];
    world.carry_out(&desired);
    world.restart();
    assert_eq!(world.carry_out(&desired).operations, []);
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
    assert_eq!(diff(&applied, &many, &HashMap::new(), SMALL, &[], 0), Err(NoRoom::Services(8)));
    let backends: Vec<_> = (1..=65).map(|port| (port, 1, true)).collect();
    let wide = [service(1, Scheduler::Rr, &backends)];
    assert_eq!(diff(&applied, &wide, &HashMap::new(), SMALL, &[], 0), Err(NoRoom::Backends(64)));
    let long = [service(1, Scheduler::Mh, &[(1, 1, true)])];
    assert_eq!(diff(&applied, &long, &HashMap::new(), SMALL, &[], 0), Err(NoRoom::Rings(4096)));
    let mut listeners = service(1, Scheduler::Rr, &[]);
    listeners.vips.extend((0..16).map(|n| IpAddr::from([10, 0, 9, n])));
    let crowd = [listeners];
    assert_eq!(diff(&applied, &crowd, &HashMap::new(), SMALL, &[], 0), Err(NoRoom::Vips(16)));
    let two = [1, 2].map(|port| DesiredService { port, last_port: port, ..crowd[0].clone() });
    assert_eq!(diff(&applied, &two, &HashMap::new(), SMALL, &[], 0), Err(NoRoom::Leads(32)));
    let blocks = [range(1, 1, 65_534), range(2, 1, 65_534)];
    assert_eq!(diff(&applied, &blocks, &HashMap::new(), SMALL, &[], 0), Err(NoRoom::Ranges(32)));
}

/// A service on a range of ports.
fn range(number: u8, port: u16, last_port: u16) -> DesiredService {
    DesiredService { port, last_port, ..service(number, Scheduler::Wrr, &[(1, 1, true)]) }
}

#[test]
fn a_range_that_grows_or_shrinks_keeps_its_service_and_the_ports_that_stay_lead_somewhere() {
    let mut world = World::default();
    let mut before: BTreeSet<u16> = BTreeSet::new();
    for (port, last_port) in [(8000, 8100), (8000, 8200), (8010, 8200), (8010, 8012), (8000, 8100)]
    {
        world.watched = Some((IpAddr::from([10, 0, 0, 1]), Vec::new()));
        let plan = world.carry_out(&[range(1, port, last_port)]);
        assert_eq!(plan.services, [0], "{port}-{last_port}");
        let after: BTreeSet<u16> = (port..=last_port).collect();
        let stay: BTreeSet<u16> = &before & &after;
        let (_, seen) = world.watched.take().unwrap();
        for open in &seen {
            assert!(stay.is_subset(open), "{port}-{last_port}: lost {:?}", &stay - open);
        }
        assert_eq!(seen.last(), Some(&after));
        before = after;
    }
}

#[test]
fn mode_family_and_mapping_of_ports_reach_the_maps() {
    let mut world = World::default();
    let mut desired = range(1, 8000, 8100);
    desired.mode = service::mode::TUNNEL;
    desired.backends[0].maps_ports = true;
    desired.backends.push(DesiredBackend {
        endpoint: "[fd01::11]:8000".parse().unwrap(),
        ..desired.backends[0]
    });
    world.carry_out(&[desired.clone()]);
    let written = world.memory.services[&0];
    assert_eq!((written.mode, written.family), (service::mode::TUNNEL, 4));
    assert_eq!((written.port, written.last_port), (8000, 8100));
    let backends: Vec<_> =
        world.memory.backends.values().map(|one| (one.family, one.flags)).collect();
    let flags = BACKEND_PRESENT | BACKEND_USABLE | BACKEND_SAME_PORT;
    assert_eq!(backends, [(4, flags), (6, flags)]);
    // What is read back is what was wanted: nothing is left to write.
    world.restart();
    assert_eq!(world.carry_out(&[desired]).operations, []);
}

fn any_services() -> impl Strategy<Value = Vec<DesiredService>> {
    let scheduler = prop::sample::select(vec![
        Scheduler::Wrr,
        Scheduler::Rr,
        Scheduler::Wlc,
        Scheduler::Lc,
        Scheduler::Sh,
        Scheduler::Sed,
        Scheduler::Nq,
    ]);
    let backends = prop::collection::btree_map(1_u16..6, (0_u16..=4, any::<bool>()), 0..5);
    let services =
        prop::collection::btree_map(1_u8..5, (scheduler, backends, admission::any()), 0..4);
    services.prop_map(|services| {
        let mut desired = Vec::new();
        for (number, (scheduler, backends, admission)) in services {
            let backends: Vec<_> = backends
                .into_iter()
                .map(|(port, (weight, usable))| (port, weight, usable))
                .collect();
            desired.push(DesiredService { admission, ..service(number, scheduler, &backends) });
        }
        desired
    })
}

/// What happens after a plan has been carried out.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Busy,
    Drained,
    Restarted,
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop::sample::select(vec![Fate::Busy, Fate::Drained, Fate::Restarted])
}

proptest! {
    #[test]
    fn a_packet_between_any_two_writes_meets_a_whole_world(
        wishes in prop::collection::vec((any_services(), any_fate()), 1..12),
    ) {
        let mut world = World::default();
        for (desired, fate) in wishes {
            let plan = world.carry_out(&desired);
            // In between, the reconciler tells whose replies are whose.
            let (existing, leading) = split(&plan.operations);
            let leads = |one: &Operation| {
                matches!(one, Operation::SetService { .. } | Operation::Lead { .. })
            };
            let makes = |one: &Operation| matches!(one, Operation::SetBackend { .. });
            prop_assert!(!existing.iter().any(leads) && !leading.iter().any(makes));
            match fate {
                Fate::Drained => {
                    world.sweep(&[]);
                    world.sweep(&[]);
                }
                Fate::Restarted => world.restart(),
                Fate::Busy => {}
            }
        }
    }
}

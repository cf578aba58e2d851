//! Lists, limits and instances in plans.

use proptest::prelude::*;
use slb_common::{
    connection::ticks,
    cookie::EPOCH_S,
    service::{Limits, SERVICE_COOKIES_ALWAYS, SERVICE_COOKIES_AUTO},
};

use super::world::{World, service};
use crate::{
    config::model::{AccessList, Scheduler},
    maps::operation::Operation,
    plan::{admission::Admission, desired::DesiredService},
};

fn list(number: u8) -> AccessList {
    (0..number).map(|last| ipnet::IpNet::from(std::net::IpAddr::from([10, 9, 0, last]))).collect()
}

/// Some lists, some limits.
pub(super) fn any() -> impl Strategy<Value = Admission> {
    let lists = prop::option::of((0_u8..4).prop_map(list));
    (lists.clone(), lists, 0_u32..3).prop_map(|(acl, exempt, connections)| Admission {
        acl,
        exempt,
        instance_limits: Limits { connections, rate: 0 },
        ..Admission::default()
    })
}

fn with(acl: Option<AccessList>) -> DesiredService {
    let admission = Admission { acl, ..Admission::default() };
    DesiredService { admission, ..service(1, Scheduler::Wrr, &[(1, 1, true)]) }
}

/// Names of the writes, without what they write.
fn kinds(operations: &[Operation]) -> Vec<&'static str> {
    let kind = |operation: &Operation| match operation {
        Operation::SetService { .. } => "service",
        Operation::FillList { .. } => "fill",
        Operation::DropList { .. } => "drop",
        Operation::SetInstance { .. } => "instance",
        _ => "other",
    };
    operations.iter().map(kind).collect()
}

#[test]
fn a_list_is_filled_before_its_service_turns_to_it_and_goes_when_it_has_rested() {
    let mut world = World::default();
    world.carry_out(&[with(Some(list(2)))]);
    assert_eq!(kinds(&world.carry_out(&[with(Some(list(2)))]).operations), [""; 0]);
    let plan = world.carry_out(&[with(Some(list(3)))]);
    assert_eq!(kinds(&plan.operations), ["fill", "service"]);
    assert_eq!(world.sweep(&[]), [], "a packet may be looking it up");
    assert_eq!(kinds(&world.sweep(&[])), ["drop"]);
    assert_eq!(world.memory.lists.len(), 1);
    // The number of a list that has gone is not that of the next.
    world.carry_out(&[with(Some(list(1)))]);
    assert_eq!(world.memory.lists.keys().copied().collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_restart_writes_no_list_anew_an_empty_one_neither() {
    for entries in [3, 0] {
        let mut world = World::default();
        world.carry_out(&[with(Some(list(entries)))]);
        world.restart();
        assert_eq!(world.carry_out(&[with(Some(list(entries)))]).operations, [], "{entries}");
    }
}

#[test]
fn answers_to_cookies_count_for_two_epochs_after_their_defence_was_changed() {
    const OFF: u32 = 0;
    let mut world = World::default();
    let mut change = |tick, flags| {
        let mut wish = with(None);
        wish.admission.flags = flags;
        world.tick = tick;
        let id = world.carry_out(&[wish]).services[0];
        world.restart();
        world.memory.services[&id].answers_until
    };
    let epochs = ticks(2 * EPOCH_S);
    assert_eq!(change(1000, SERVICE_COOKIES_ALWAYS), 0, "there was no other before");
    assert_eq!(change(2000, OFF), 2000 + epochs);
    assert_eq!(change(2100, OFF), 2000 + epochs, "the same once more changes nothing");
    assert_eq!(change(2200, SERVICE_COOKIES_AUTO), 2000 + epochs, "none was given meanwhile");
    assert_eq!(change(2300, SERVICE_COOKIES_ALWAYS), 2300 + epochs);
    assert_eq!(change(2400, SERVICE_COOKIES_AUTO), 2400 + epochs, "the VIP may be calm");
    assert_eq!(change(2500, OFF), 2500 + epochs);
}

#[test]
fn a_changed_specification_is_one_write_and_a_renamed_instance_leaves_its_service_to_drain() {
    let mut world = World::default();
    let mut wish = with(None);
    world.carry_out(std::slice::from_ref(&wish));
    wish.admission.instance_limits = Limits { connections: 5000, rate: 3000 };
    let plan = world.carry_out(std::slice::from_ref(&wish));
    assert_eq!(kinds(&plan.operations), ["instance"]);
    // Gauges of two instances must not count one service's entries.
    wish.instance = "another".to_owned();
    let before = plan.services[0];
    let after = world.carry_out(std::slice::from_ref(&wish)).services[0];
    assert_ne!(before, after);
    let places = [before, after].map(|id| world.memory.services[&id].instance);
    assert_ne!(places[0], places[1]);
    // With its last entry the former service goes, and with that the instance.
    world.sweep(&[]);
    world.sweep(&[]);
    world.sweep(&[]);
    assert_eq!(world.applied.instances.len(), 1);
    assert_eq!(world.applied.services.len(), 1);
}

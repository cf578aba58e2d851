//! Persistence as it stands in a service: above all the number of its group, by which its templates
//! are found. A number is kept as long as the service lives, over restarts, too: it is read back
//! from the maps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use slb_common::{
    connection::ticks,
    service::{BACKEND_USABLE, Persistence},
    template::SharedBackend,
};

use super::{
    applied::Applied,
    desired::{DesiredBackend, DesiredService},
};
use crate::config::model::{self, Family};

/// Persistence of one listener for one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredPersistence {
    /// Ticks that a template outlives its last connection.
    pub timeout: u32,
    /// Leading bits of the client's address that count.
    pub prefix: u8,
    /// Listeners of the instance with the same name share templates.
    pub shared: Option<String>,
}

impl DesiredPersistence {
    /// What a listener wants for a family.
    pub fn of(persistence: &model::Persistence, family: Family) -> Self {
        Self {
            timeout: ticks(persistence.timeout.as_secs()),
            prefix: match family {
                Family::V4 => persistence.netmask,
                Family::V6 => persistence.netmask6,
            },
            shared: persistence.shared.clone(),
        }
    }
}

/// Flags of a backend that a template may name.
pub(super) const fn usable(backend: &DesiredBackend) -> u16 {
    if backend.usable { BACKEND_USABLE } else { 0 }
}

/// Persistence of each desired service, in their order. The group of a service is its own id; of
/// services that share, a number from the other end.
pub(super) fn groups(
    applied: &Applied,
    desired: &[DesiredService],
    ids: &[u16],
) -> Vec<Persistence> {
    let mut shared: BTreeMap<(&str, &str), Vec<u16>> = BTreeMap::new();
    for (service, id) in desired.iter().zip(ids) {
        if let Some(name) = name_of(service) {
            shared.entry((&service.instance, name)).or_default().push(*id);
        }
    }
    // Numbers that may stand in keys of templates: of all services that are there.
    let mut taken: BTreeSet<u16> = applied.services.keys().chain(ids).copied().collect();
    taken.extend(applied.services.keys().filter_map(|id| group(applied, *id)));
    let mut given = BTreeSet::new();
    let mut numbers = HashMap::new();
    for (name, members) in &shared {
        let known = members.iter().filter_map(|id| group(applied, *id).filter(|own| own != id));
        let number = known.into_iter().find(|number| !given.contains(number));
        let number = number
            .or_else(|| (0..=u16::MAX).rev().find(|number| !taken.contains(number)))
            // All numbers are taken: that of one of its services is nobody else's.
            .unwrap_or(members[0]);
        given.insert(number);
        taken.insert(number);
        numbers.insert(*name, number);
    }
    let one = |(service, id): (&DesiredService, &u16)| {
        let Some(persistence) = &service.persistence else { return Persistence::default() };
        let shared = name_of(service).map(|name| numbers[&(service.instance.as_str(), name)]);
        Persistence {
            timeout: persistence.timeout,
            group: shared.unwrap_or(*id),
            prefix: persistence.prefix,
            reserved: 0,
        }
    };
    desired.iter().zip(ids).map(one).collect()
}

/// The slots by which services that share templates know a backend's address.
pub fn shared_backends(
    applied: &Applied,
    services: &[(u16, DesiredService)],
) -> BTreeMap<SharedBackend, u32> {
    let sharing = services.iter().filter(|(_, service)| name_of(service).is_some());
    sharing
        .flat_map(|(id, service)| {
            let wanted = |endpoint| service.backends.iter().any(|one| one.endpoint == endpoint);
            applied.slots(*id).filter(move |(_, slot)| wanted(slot.endpoint)).map(
                |(slot, backend)| {
                    let address = backend.backend.address;
                    (SharedBackend { address, service: u64::from(*id) }, slot)
                },
            )
        })
        .collect()
}

fn name_of(service: &DesiredService) -> Option<&str> {
    service.persistence.as_ref()?.shared.as_deref()
}

/// The group that a service has in the kernel.
fn group(applied: &Applied, id: u16) -> Option<u16> {
    let persistence = applied.services.get(&id)?.service.persistence;
    (persistence.prefix != 0).then_some(persistence.group)
}

#[cfg(test)]
mod tests {
    use slb_common::service::Service;

    use super::*;
    use crate::{
        config::model::Scheduler,
        plan::{applied::AppliedService, tests::world::service},
    };

    fn sharing(number: u8, name: Option<&str>) -> DesiredService {
        let persistence =
            DesiredPersistence { timeout: 9, prefix: 24, shared: name.map(str::to_owned) };
        DesiredService {
            instance: "shop".to_owned(),
            persistence: Some(persistence),
            ..service(number, Scheduler::Wrr, &[(1, 1, true)])
        }
    }

    fn numbers(applied: &Applied, desired: &[DesiredService], ids: &[u16]) -> Vec<u16> {
        groups(applied, desired, ids).iter().map(|one| one.group).collect()
    }

    /// What the kernel holds after that.
    fn carried_out(desired: &[DesiredService], ids: &[u16], before: &Applied) -> Applied {
        let mut applied = Applied::default();
        for (id, persistence) in ids.iter().zip(groups(before, desired, ids)) {
            let service = Service { persistence, ..Service::default() };
            applied.services.insert(*id, AppliedService { service, places: Vec::new() });
        }
        applied
    }

    #[test]
    fn a_service_by_itself_is_its_own_group_and_those_that_share_are_one() {
        let desired = [sharing(1, None), sharing(2, Some("web")), sharing(3, Some("web"))];
        let groups = groups(&Applied::default(), &desired, &[0, 1, 2]);
        assert_eq!(groups[0], Persistence { timeout: 9, group: 0, prefix: 24, reserved: 0 });
        assert_eq!((groups[1].group, groups[2].group), (0xffff, 0xffff));
    }

    #[test]
    fn two_instances_may_have_the_same_name_for_different_groups() {
        let other = DesiredService { instance: "blog".to_owned(), ..sharing(1, Some("web")) };
        let numbers = numbers(&Applied::default(), &[other, sharing(2, Some("web"))], &[0, 1]);
        assert_ne!(numbers[0], numbers[1]);
    }

    #[test]
    fn a_service_without_persistence_has_no_prefix() {
        let none = service(1, Scheduler::Wrr, &[]);
        assert_eq!(groups(&Applied::default(), &[none], &[5]), [Persistence::default()]);
    }

    #[test]
    fn a_shared_group_keeps_its_number_when_others_come_and_members_go() {
        let first = [sharing(1, Some("b")), sharing(2, Some("b"))];
        let applied = carried_out(&first, &[0, 1], &Applied::default());
        // A group that sorts before it comes, and the member that it was read back from goes.
        let desired = [sharing(3, Some("a")), sharing(4, Some("a")), sharing(2, Some("b"))];
        assert_eq!(numbers(&applied, &desired, &[2, 3, 1]), [0xfffe, 0xfffe, 0xffff]);
    }

    #[test]
    fn members_that_part_do_not_go_on_with_one_number() {
        let first = [sharing(1, Some("a")), sharing(2, Some("a"))];
        let applied = carried_out(&first, &[0, 1], &Applied::default());
        let parted = [sharing(1, Some("a")), sharing(2, Some("b"))];
        let numbers = numbers(&applied, &parted, &[0, 1]);
        assert_eq!(numbers, [0xffff, 0xfffe]);
    }

    #[test]
    fn a_number_that_a_leaving_service_still_has_is_given_to_nobody_else() {
        let applied = carried_out(&[sharing(1, Some("a"))], &[0], &Applied::default());
        assert_eq!(numbers(&applied, &[sharing(2, Some("b"))], &[1]), [0xfffe]);
    }
}

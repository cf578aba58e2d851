//! What becomes free. A slot that nobody wants and no entry names rests first: a packet that drew
//! it just before may only now be writing its entry.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use slb_common::service::{Backend, Gauges, Instance, Ring, Service};

use super::{
    applied::{Applied, AppliedBackend, idle},
    desired::DesiredService,
};
use crate::maps::operation::Operation;

/// How long something rests that a program may still be using.
pub const REST: Duration = Duration::from_secs(1);

/// Slots that nobody wants and no entry names, with the time since when that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    since: BTreeMap<u32, Instant>,
    /// The same of access lists.
    lists: BTreeMap<u32, Instant>,
}

impl Unused {
    /// Forgets slots that are wanted again.
    pub fn retain_unwanted(&mut self, applied: &Applied, services: &[(u16, DesiredService)]) {
        let wanted = Wanted::of(services);
        self.since.retain(|slot, _| {
            applied.backends.get(slot).is_some_and(|backend| !wanted.backend(backend))
        });
    }

    /// Looks once more, and frees what was unused at every look since [`REST`] ago or longer;
    /// with the last slot of a service that nobody wants goes the service.
    pub fn reclaim(
        &mut self,
        applied: &Applied,
        services: &[(u16, DesiredService)],
        now: Instant,
        gauges: impl Fn(u32) -> Gauges,
    ) -> Vec<Operation> {
        let wanted = Wanted::of(services);
        let before = std::mem::take(&mut self.since);
        let mut operations = Vec::new();
        let mut freed = BTreeSet::new();
        for (slot, backend) in &applied.backends {
            if wanted.backend(backend) || !idle(gauges(*slot)) {
                continue;
            }
            let since = before.get(slot).copied().unwrap_or(now);
            if now.duration_since(since) < REST {
                self.since.insert(*slot, since);
                continue;
            }
            // The address stays: templates that name the slot lead other listeners of their group to
            // it. The generation is raised now and not at its next use: so it is in the map, whoever uses it next.
            let generation = backend.backend.generation.wrapping_add(1);
            let empty = Backend { flags: 0, weight: 0, generation, ..backend.backend };
            operations.push(Operation::SetBackend { slot: *slot, backend: empty });
            freed.insert(*slot);
        }
        for (id, service) in &applied.services {
            let all_free = || applied.slots(*id).all(|(slot, _)| freed.contains(&slot));
            if !wanted.services.contains(id) && all_free() {
                let to = Service { flags: 0, ring: Ring::EMPTY, ..service.service };
                operations.push(Operation::SetService { service: *id, to });
            }
        }
        operations.extend(self.reclaim_lists(applied, now));
        let used: HashSet<u16> =
            applied.services.values().map(|service| service.service.instance).collect();
        let idle = applied.instances.iter().filter(|(place, _)| !used.contains(place));
        operations.extend(idle.map(|(place, instance)| {
            let to = Instance { flags: 0, ..*instance };
            Operation::SetInstance { place: *place, to }
        }));
        operations
    }

    /// Lists that no service names rest as slots do: a packet may be looking one up.
    fn reclaim_lists(&mut self, applied: &Applied, now: Instant) -> Vec<Operation> {
        let named = applied.services.values().flat_map(|one| [one.service.acl, one.service.exempt]);
        let named: HashSet<u32> = named.collect();
        let before = std::mem::take(&mut self.lists);
        let mut operations = Vec::new();
        for (number, list) in applied.lists.iter().filter(|(number, _)| !named.contains(number)) {
            let since = before.get(number).copied().unwrap_or(now);
            if now.duration_since(since) < REST {
                self.lists.insert(*number, since);
            } else {
                let (number, list) = (*number, list.clone());
                operations.push(Operation::DropList { number, list });
            }
        }
        operations
    }
}

/// What somebody wants.
struct Wanted {
    services: HashSet<u16>,
    backends: HashSet<(u16, SocketAddr)>,
}

impl Wanted {
    fn of(services: &[(u16, DesiredService)]) -> Self {
        let backends = services.iter().flat_map(|(id, service)| {
            service.backends.iter().map(move |backend| (*id, backend.endpoint))
        });
        Self {
            services: services.iter().map(|(id, _)| *id).collect(),
            backends: backends.collect(),
        }
    }

    fn backend(&self, backend: &AppliedBackend) -> bool {
        self.backends.contains(&(backend.backend.service, backend.endpoint))
    }
}

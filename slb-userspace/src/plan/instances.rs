//! Places of instances. An instance keeps its place by the hash of its name, whichever daemon
//! looks; a service never moves from one to another, since the gauges of both count its entries.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use slb_common::service::Instance;

use super::{applied::Applied, desired::DesiredService, diff::NoRoom};
use crate::maps::operation::Operation;

/// The places that desired services' instances have.
pub(super) struct Instances {
    places: HashMap<String, u16>,
    changed: Vec<Operation>,
}

impl Instances {
    /// Finds each instance's place, or a free one of `room`.
    pub(super) fn of(
        applied: &Applied,
        desired: &[DesiredService],
        room: u16,
    ) -> Result<Self, NoRoom> {
        let (mut places, mut changed) = (HashMap::new(), Vec::new());
        let mut hashes = BTreeSet::new();
        let known: BTreeMap<u32, u16> =
            applied.instances.iter().map(|(place, one)| (one.name, *place)).collect();
        let used: BTreeSet<u16> =
            applied.services.values().map(|service| service.service.instance).collect();
        let mut free = (0..room)
            .filter(|place| !applied.instances.contains_key(place) && !used.contains(place));
        for service in desired {
            if places.contains_key(&service.instance) {
                continue;
            }
            let mut name = hash(&service.instance);
            while !hashes.insert(name) {
                name = name.wrapping_add(1);
            }
            let place = match known.get(&name) {
                Some(place) => *place,
                None => free.next().ok_or(NoRoom::Services(room))?,
            };
            let to: Instance = service.admission.instance(name);
            if applied.instances.get(&place) != Some(&to) {
                changed.push(Operation::SetInstance { place, to });
            }
            places.insert(service.instance.clone(), place);
        }
        Ok(Self { places, changed })
    }

    /// The place of a service's instance.
    pub(super) fn place(&self, service: &DesiredService) -> u16 {
        self.places.get(&service.instance).copied().unwrap_or_default()
    }

    /// The writes, before any service needs them.
    pub(super) fn changed(self) -> Vec<Operation> {
        self.changed
    }
}

/// FNV-1a of a name.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

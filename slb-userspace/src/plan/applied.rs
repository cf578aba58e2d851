//! What the kernel holds. It can be put together from the maps alone, so that a new daemon knows
//! what the one before it did, whenever that was stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use slb_common::service::{
    BACKEND_PRESENT, Backend, Gauges, INSTANCE_PRESENT, Instance, SERVICE_PRESENT, Service,
};

use crate::{
    config::model::{AccessList, Family},
    maps::{
        operation::{Addresses, Operation, Virtual},
        words::address,
    },
};

/// The services and backends in the kernel's maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Services in use, by id.
    pub services: BTreeMap<u16, AppliedService>,
    /// Backend slots in use.
    pub backends: BTreeMap<u32, AppliedBackend>,
    /// What leads to which service.
    pub leads: BTreeMap<Virtual, u16>,
    /// Free slots that have been in use.
    pub freed: BTreeMap<u32, Freed>,
    /// VIPs whose bits are set.
    pub vips: BTreeSet<IpAddr>,
    /// VIPs for which nothing is answered.
    pub stopped_vips: BTreeSet<IpAddr>,
    /// Backend addresses whose bits are set.
    pub backend_addresses: BTreeSet<IpAddr>,
    /// Instances in use, by place.
    pub instances: BTreeMap<u16, Instance>,
    /// Access lists, by number.
    pub lists: BTreeMap<u32, AccessList>,
    /// Slots freed so far.
    turns: u64,
    /// Places that have been filled, by offset, until a service draws from them.
    filled: BTreeMap<u32, Vec<u32>>,
}

/// A free slot that has been in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freed {
    /// Generation that its next user gets.
    pub generation: u8,
    /// When it was freed, counted in freed slots.
    pub turn: u64,
}

/// A service in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedService {
    /// Its value.
    pub service: Service,
    /// The places of its ring.
    pub places: Vec<u32>,
}

/// A backend slot in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedBackend {
    /// Its value.
    pub backend: Backend,
    /// Address and port.
    pub endpoint: SocketAddr,
}

impl Applied {
    /// What was read back from the maps: services, every slot in use or not, and what leads where.
    pub fn adopted(
        services: BTreeMap<u16, AppliedService>,
        slots: impl IntoIterator<Item = (u32, Backend)>,
        leads: BTreeMap<Virtual, u16>,
    ) -> Self {
        let mut applied = Self { services, leads, ..Self::default() };
        for (slot, backend) in slots {
            if backend.flags & BACKEND_PRESENT != 0 {
                let endpoint = endpoint(&backend);
                applied.backends.insert(slot, AppliedBackend { backend, endpoint });
            } else if backend.generation != 0 {
                let freed = Freed { generation: backend.generation, turn: 0 };
                applied.freed.insert(slot, freed);
            }
        }
        applied
    }

    /// Family of a service, which is its connections'; of one that is gone, it does not matter.
    pub fn family(&self, service: u16) -> Family {
        self.services.get(&service).map_or(Family::V4, |applied| family(applied.service.family))
    }

    /// Notes an operation that has been done.
    pub fn note(&mut self, operation: &Operation) {
        match operation {
            Operation::SetBackend { slot, backend } if backend.flags & BACKEND_PRESENT != 0 => {
                let endpoint = endpoint(backend);
                self.backends.insert(*slot, AppliedBackend { backend: *backend, endpoint });
                self.freed.remove(slot);
            }
            Operation::SetBackend { slot, backend } => {
                self.backends.remove(slot);
                self.turns += 1;
                let freed = Freed { generation: backend.generation, turn: self.turns };
                self.freed.insert(*slot, freed);
            }
            Operation::FillRing { offset, places } => {
                self.filled.insert(*offset, places.clone());
            }
            Operation::SetService { service, to } if to.flags & SERVICE_PRESENT != 0 => {
                let before = self.services.remove(service);
                let places = match before {
                    Some(before) if before.service.ring == to.ring => before.places,
                    _ => self.filled.remove(&to.ring.offset()).unwrap_or_default(),
                };
                self.services.insert(*service, AppliedService { service: *to, places });
            }
            Operation::SetService { service, .. } => {
                self.services.remove(service);
            }
            Operation::SetInstance { place, to } if to.flags & INSTANCE_PRESENT != 0 => {
                self.instances.insert(*place, *to);
            }
            Operation::SetInstance { place, .. } => {
                self.instances.remove(place);
            }
            Operation::FillList { number, list } => {
                self.lists.insert(*number, list.clone());
            }
            Operation::DropList { number, .. } => {
                self.lists.remove(number);
            }
            Operation::SetAddresses { which, addresses } => {
                let addresses: BTreeSet<IpAddr> = addresses.iter().copied().collect();
                match which {
                    Addresses::Vips => {
                        self.stopped_vips.retain(|vip| addresses.contains(vip));
                        self.vips = addresses;
                    }
                    Addresses::Backends => self.backend_addresses = addresses,
                }
            }
            Operation::Lead { from, service } => {
                self.leads.insert(*from, *service);
            }
            Operation::Unlead { from } => {
                self.leads.remove(from);
            }
            Operation::StopVip { vip } => {
                self.stopped_vips.insert(*vip);
            }
            Operation::StartVip { vip } => {
                self.stopped_vips.remove(vip);
            }
        }
    }

    /// Takes over lists that were read back. Nothing is left of one without entries but its number.
    pub fn adopt_lists(&mut self, lists: BTreeMap<u32, AccessList>) {
        self.lists = lists;
        let named = self.services.values().flat_map(|one| [one.service.acl, one.service.exempt]);
        for number in named.filter(|number| *number != 0) {
            self.lists.entry(number).or_insert_with(|| [].into());
        }
    }

    /// Slots of a service.
    pub fn slots(&self, service: u16) -> impl Iterator<Item = (u32, &AppliedBackend)> {
        self.backends
            .iter()
            .filter(move |(_, applied)| applied.backend.service == service)
            .map(|(slot, applied)| (*slot, applied))
    }
}

fn endpoint(backend: &Backend) -> SocketAddr {
    let address = address(family(backend.family), backend.address);
    SocketAddr::new(address, u16::from_be_bytes(backend.port))
}

/// The family with a number.
const fn family(number: u8) -> Family {
    if number == 6 { Family::V6 } else { Family::V4 }
}

/// True if no entry is left.
pub const fn idle(gauges: Gauges) -> bool {
    gauges.active == 0 && gauges.opening == 0 && gauges.closing == 0
}

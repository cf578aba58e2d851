//! What the kernel holds. Read back from the maps themselves, so that a new daemon knows what the
//! one before it did, whenever that was stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use slb_common::service::{BACKEND_PRESENT, Backend, Gauges, SERVICE_PRESENT, Service};

use crate::{
    config::model::Family,
    maps::{
        Kernel,
        operation::{Addresses, Operation, Virtual},
        table::address,
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
    /// Generation that a free slot had last.
    pub generations: BTreeMap<u32, u8>,
    /// Places that have been filled, by offset, until a service draws from them.
    filled: BTreeMap<u32, Vec<u32>>,
    /// Addresses whose bits are set; `None` where that is not known any more.
    pub addresses: Option<(BTreeSet<IpAddr>, BTreeSet<IpAddr>)>,
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
    /// Reads the maps.
    pub fn read(kernel: &Kernel) -> Self {
        let mut applied = Self { leads: kernel.leads(), ..Self::default() };
        for id in 0..kernel.max_services() {
            let service = kernel.service(id);
            if service.flags & SERVICE_PRESENT != 0 {
                let places = kernel.ring(service.ring);
                applied.services.insert(id, AppliedService { service, places });
            }
        }
        for slot in 0..kernel.max_backends() {
            let backend = kernel.backend(slot);
            if backend.flags & BACKEND_PRESENT != 0 {
                let family = applied.family(backend.service);
                let endpoint = endpoint(family, &backend);
                applied.backends.insert(slot, AppliedBackend { backend, endpoint });
            } else if backend.generation != 0 {
                applied.generations.insert(slot, backend.generation);
            }
        }
        applied
    }

    /// Family of a service; of one that is gone, it does not matter.
    fn family(&self, service: u16) -> Family {
        match self.services.get(&service).map(|applied| applied.service.family) {
            Some(6) => Family::V6,
            _ => Family::V4,
        }
    }

    /// Notes an operation that has been done.
    pub fn note(&mut self, operation: &Operation) {
        match operation {
            Operation::SetBackend { slot, backend } if backend.flags & BACKEND_PRESENT != 0 => {
                let endpoint = endpoint(self.family(backend.service), backend);
                self.backends.insert(*slot, AppliedBackend { backend: *backend, endpoint });
            }
            Operation::SetBackend { slot, backend } => {
                self.backends.remove(slot);
                self.generations.insert(*slot, backend.generation);
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
            Operation::SetAddresses { which, addresses } => {
                let set = self.addresses.get_or_insert_default();
                let addresses = addresses.iter().copied().collect();
                match which {
                    Addresses::Vips => set.0 = addresses,
                    Addresses::Backends => set.1 = addresses,
                }
            }
            Operation::Lead { from, service } => {
                self.leads.insert(*from, *service);
            }
            Operation::Unlead { from } => {
                self.leads.remove(from);
            }
        }
    }

    /// VIPs that lead to a service.
    pub fn vips(&self, service: u16) -> impl Iterator<Item = &Virtual> {
        self.leads.iter().filter(move |(_, to)| **to == service).map(|(from, _)| from)
    }

    /// Slots of a service.
    pub fn slots(&self, service: u16) -> impl Iterator<Item = (u32, &AppliedBackend)> {
        self.backends
            .iter()
            .filter(move |(_, applied)| applied.backend.service == service)
            .map(|(slot, applied)| (*slot, applied))
    }
}

fn endpoint(family: Family, backend: &Backend) -> SocketAddr {
    SocketAddr::new(address(family, backend.address), u16::from_be_bytes(backend.port))
}

/// True if no entry is left.
pub const fn idle(gauges: Gauges) -> bool {
    gauges.active == 0 && gauges.inactive == 0
}

//! One write to the kernel's maps. A plan is a list of these; their order is its safety argument,
//! as a packet may come between any two.

use std::net::IpAddr;

use slb_common::service::{Backend, Service};

use crate::config::model::Protocol;

/// What leads to a service: one VIP's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Virtual {
    /// The VIP.
    pub vip: IpAddr,
    /// Port, host byte order.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// Addresses that a bitmap stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// VIPs.
    Vips,
    /// Backends.
    Backends,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Write a backend slot.
    SetBackend {
        /// Slot.
        slot: u32,
        /// What it becomes.
        backend: Backend,
    },
    /// Fill a stretch of the ring arena that no service uses.
    FillRing {
        /// First place.
        offset: u32,
        /// Slots.
        places: Vec<u32>,
    },
    /// Write a service, its ring included.
    SetService {
        /// Id.
        service: u16,
        /// What it becomes.
        to: Service,
    },
    /// Make a bitmap stand for exactly these addresses.
    SetAddresses {
        /// Which bitmap.
        which: Addresses,
        /// Whose bits are set.
        addresses: Vec<IpAddr>,
    },
    /// Lead a VIP's port to a service.
    Lead {
        /// From.
        from: Virtual,
        /// To.
        service: u16,
    },
    /// Lead a VIP's port nowhere.
    Unlead {
        /// From.
        from: Virtual,
    },
    /// Answer nothing for a VIP: all its listeners are stopped.
    StopVip {
        /// The VIP.
        vip: IpAddr,
    },
    /// Answer for it again.
    StartVip {
        /// The VIP.
        vip: IpAddr,
    },
}

//! One write to the kernel's maps. A plan is a list of these; their order is its safety argument,
//! as a packet may come between any two.

use std::net::IpAddr;

use slb_common::service::{Backend, Instance, Service};

use crate::config::model::{AccessList, Protocol};

/// What leads to a service: one VIP's port, or a block of its ports. A block has a power of two of
/// them and begins at a multiple of that, so that they are those with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Virtual {
    /// The VIP.
    pub vip: IpAddr,
    /// Port, host byte order; the first one of a block.
    pub port: u16,
    /// Last port of a block; the same as `port` if it is none.
    pub last_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// One port is looked up by itself, the ports of a listener's range by their block: also if a
    /// block has only one.
    pub of_range: bool,
}

impl Virtual {
    /// A single port.
    pub const fn port(vip: IpAddr, port: u16, protocol: Protocol) -> Self {
        Self { vip, port, last_port: port, protocol, of_range: false }
    }

    /// The blocks of a range of ports: at most 30.
    pub fn range(
        vip: IpAddr,
        first: u16,
        last: u16,
        protocol: Protocol,
    ) -> impl Iterator<Item = Self> {
        let mut next = u32::from(first);
        std::iter::from_fn(move || {
            let left = (u32::from(last) + 1).checked_sub(next).filter(|left| *left > 0)?;
            // The largest power of two that fits both the beginning and what is left.
            let fitting = 1 << left.ilog2();
            let size = if next == 0 { fitting } else { fitting.min(1 << next.trailing_zeros()) };
            let (port, last_port) = (next as u16, (next + size - 1) as u16);
            next += size;
            Some(Self { vip, port, last_port, protocol, of_range: true })
        })
    }

    /// Bits of the port that its ports share.
    pub const fn shared_bits(&self) -> u32 {
        (self.port ^ self.last_port).leading_zeros()
    }

    /// True if a packet could come in by either.
    pub fn overlaps(&self, other: &Self) -> bool {
        (self.vip, self.protocol) == (other.vip, other.protocol)
            && self.port <= other.last_port
            && other.port <= self.last_port
    }
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
    /// Write the place of an instance.
    SetInstance {
        /// Place.
        place: u16,
        /// What it becomes.
        to: Instance,
    },
    /// Write an access list that no service uses.
    FillList {
        /// Its number.
        number: u32,
        /// Its entries.
        list: AccessList,
    },
    /// Remove an access list that no service uses any more.
    DropList {
        /// Its number.
        number: u32,
        /// Its entries.
        list: AccessList,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(first: u16, last: u16) -> Vec<(u16, u16)> {
        let vip = IpAddr::from([203, 0, 113, 1]);
        let blocks = Virtual::range(vip, first, last, Protocol::Tcp);
        blocks.map(|block| (block.port, block.last_port)).collect()
    }

    #[test]
    fn a_range_is_cut_where_its_ports_stop_to_share_bits() {
        assert_eq!(blocks(8000, 8100), [(8000, 8063), (8064, 8095), (8096, 8099), (8100, 8100)]);
        assert_eq!(blocks(1, 65_535).len(), 16);
        assert_eq!(blocks(1, 65_534).len(), 30);
        assert_eq!(blocks(65_535, 65_535), [(65_535, 65_535)]);
    }

    proptest! {
        #[test]
        fn blocks_hold_every_port_of_the_range_once_and_no_other(
            ends in (1_u16.., 1_u16..).prop_map(|(a, b)| (a.min(b), a.max(b))),
        ) {
            let mut next = u32::from(ends.0);
            for (first, last) in blocks(ends.0, ends.1) {
                prop_assert_eq!(u32::from(first), next);
                let size = u32::from(last) - u32::from(first) + 1;
                prop_assert!(size.is_power_of_two() && u32::from(first) % size == 0);
                next = u32::from(last) + 1;
            }
            prop_assert_eq!(next, u32::from(ends.1) + 1);
        }
    }
}

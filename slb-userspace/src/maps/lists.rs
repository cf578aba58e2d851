//! Access lists in the kernel: two tries, in which a list's entries begin with its number.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use aya::maps::{
    MapData, MapError,
    lpm_trie::{Key, LpmTrie},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use slb_common::admission::{AclKey4, AclKey6, LIST_BITS};
use zerocopy::transmute;

/// The tries of both families.
pub(super) struct Lists {
    pub(super) v4: LpmTrie<MapData, [u8; 8], u32>,
    pub(super) v6: LpmTrie<MapData, [u8; 20], u32>,
}

impl Lists {
    /// Writes the entries of a list.
    pub(super) fn fill(&mut self, list: u32, networks: &[IpNet]) -> Result<(), MapError> {
        for network in networks {
            match network {
                IpNet::V4(network) => self.v4.insert(&key_v4(list, *network), 1, 0)?,
                IpNet::V6(network) => self.v6.insert(&key_v6(list, *network), 1, 0)?,
            }
        }
        Ok(())
    }

    /// Removes the entries of a list; those that are not there are no error.
    pub(super) fn remove(&mut self, list: u32, networks: &[IpNet]) -> Result<(), MapError> {
        for network in networks {
            let removed = match network {
                IpNet::V4(network) => self.v4.remove(&key_v4(list, *network)),
                IpNet::V6(network) => self.v6.remove(&key_v6(list, *network)),
            };
            match removed {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(MapError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// All lists, the entries of each in their order.
    pub(super) fn all(&self) -> BTreeMap<u32, Vec<IpNet>> {
        let mut lists: BTreeMap<u32, Vec<IpNet>> = BTreeMap::new();
        for key in self.v4.keys().filter_map(Result::ok) {
            let AclKey4 { list, address } = transmute!(key.data());
            let length = key.prefix_len().saturating_sub(LIST_BITS);
            if let Ok(network) = Ipv4Net::new(Ipv4Addr::from(address), length as u8) {
                lists.entry(list).or_default().push(IpNet::V4(network));
            }
        }
        for key in self.v6.keys().filter_map(Result::ok) {
            let AclKey6 { list, address } = transmute!(key.data());
            let length = key.prefix_len().saturating_sub(LIST_BITS);
            if let Ok(network) = Ipv6Net::new(Ipv6Addr::from(address), length as u8) {
                lists.entry(list).or_default().push(IpNet::V6(network));
            }
        }
        lists.values_mut().for_each(|networks| networks.sort_unstable());
        lists
    }
}

fn key_v4(list: u32, network: Ipv4Net) -> Key<[u8; 8]> {
    let key = AclKey4 { list, address: network.addr().octets() };
    Key::new(LIST_BITS + u32::from(network.prefix_len()), transmute!(key))
}

fn key_v6(list: u32, network: Ipv6Net) -> Key<[u8; 20]> {
    let key = AclKey6 { list, address: network.addr().octets() };
    Key::new(LIST_BITS + u32::from(network.prefix_len()), transmute!(key))
}

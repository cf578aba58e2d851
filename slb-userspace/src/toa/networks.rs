//! Whose options are believed: networks of balancers, as an operator writes them and as the
//! program looks them up.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use aya::maps::{LpmTrie, MapData, MapError, lpm_trie::Key};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Serialize, Serializer};
use slb_common::toa::{BELIEVED, NOT_BELIEVED};

/// Bits of an IPv4-mapped address before the IPv4 address.
const MAPPED_BITS: u8 = 96;
/// `::ffff:0:0`
const MAPPED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);

/// A network, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network(IpNet);

/// What balancers send from by custom (RFC 6598): nobody else's addresses come from there.
pub fn default_networks() -> Vec<Network> {
    vec![Network(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10)))]
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let network = address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
            "not a network; write it as an address and the bits of its prefix, e.g. \
             100.64.0.0/10 or fd64::/64"
                .to_owned()
        })?;
        Ok(Self(network.trunc()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Network {
    /// Prefix and address as IPv6.
    fn mapped(self) -> (u8, Ipv6Addr) {
        match self.0 {
            IpNet::V4(net) => (MAPPED_BITS + net.prefix_len(), net.network().to_ipv6_mapped()),
            IpNet::V6(net) => (net.prefix_len(), net.network()),
        }
    }

    fn of_mapped(bits: u8, address: Ipv6Addr) -> Option<Self> {
        let network = match (address.to_ipv4_mapped(), bits.checked_sub(MAPPED_BITS)) {
            (Some(v4), Some(bits)) => Ipv4Net::new(v4, bits).map(IpNet::V4),
            _ => Ipv6Net::new(address, bits).map(IpNet::V6),
        };
        network.ok().map(Self)
    }
}

/// What the map should hold.
fn entries(networks: &[Network]) -> BTreeMap<(u8, Ipv6Addr), u32> {
    // Or `::/0` would also stand for all of IPv4.
    let all_of_ipv4 = ((MAPPED_BITS, MAPPED), NOT_BELIEVED);
    let believed = networks.iter().map(|network| (network.mapped(), BELIEVED));
    std::iter::once(all_of_ipv4).chain(believed).collect()
}

/// The program's map of networks.
pub(super) struct Networks(LpmTrie<MapData, [u8; 16], u32>);

impl Networks {
    pub(super) const fn new(map: LpmTrie<MapData, [u8; 16], u32>) -> Self {
        Self(map)
    }

    /// Makes the map hold these; what stays is believed all the time.
    pub(super) fn set(&mut self, networks: &[Network]) -> Result<(), MapError> {
        let wanted = entries(networks);
        for (&(bits, address), value) in &wanted {
            self.0.insert(&Key::new(bits.into(), address.octets()), value, 0)?;
        }
        let there = self.0.keys().collect::<Result<Vec<_>, _>>()?;
        for key in there {
            let bits = u8::try_from(key.prefix_len()).unwrap_or(u8::MAX);
            if !wanted.contains_key(&(bits, key.data().into())) {
                self.0.remove(&key)?;
            }
        }
        Ok(())
    }

    /// What is believed, in order.
    pub(super) fn get(&self) -> Result<Vec<Network>, MapError> {
        let mut networks = Vec::new();
        for entry in self.0.iter() {
            let (key, value) = entry?;
            let bits = u8::try_from(key.prefix_len()).unwrap_or(u8::MAX);
            if value == BELIEVED {
                networks.extend(Network::of_mapped(bits, key.data().into()));
            }
        }
        networks.sort();
        Ok(networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn networks_and_single_addresses_are_understood_and_shown_as_networks() {
        for (written, shown) in [
            ("100.64.0.0/10", "100.64.0.0/10"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("fd64::/64", "fd64::/64"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(written).to_string(), shown);
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "all", "fd64::/129"] {
            let error = wrong.parse::<Network>().unwrap_err();
            assert!(error.contains("e.g. 100.64.0.0/10"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_network_is_the_same_after_its_way_through_the_map() {
        for text in ["0.0.0.0/0", "100.64.0.0/10", "10.1.2.3/32", "::/0", "fd64::/64"] {
            let (bits, address) = network(text).mapped();
            assert_eq!(Network::of_mapped(bits, address), Some(network(text)));
        }
    }

    #[test]
    fn all_of_ipv6_is_not_all_of_ipv4() {
        let ipv4 = (96, "::ffff:0:0".parse().unwrap());
        assert_eq!(entries(&[network("::/0")])[&ipv4], NOT_BELIEVED);
        assert_eq!(entries(&[network("::/0"), network("0.0.0.0/0")])[&ipv4], BELIEVED);
        assert_eq!(default_networks(), [network("100.64.0.0/10")]);
    }
}

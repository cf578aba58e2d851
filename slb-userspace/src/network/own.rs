//! The host's own addresses on its interfaces: by these the balancer speaks of itself, when a packet
//! ends here.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

use slb_common::vip::{InterfaceAddresses, interface_key};

use super::{
    Error,
    links::LinkTable,
    vips::{self, Present},
};
use crate::maps::words::words;

/// The first address of each family on every interface that frames come by, VIPs left out, by the
/// key under which the program looks for it.
///
/// # Errors
/// The kernel's refusal.
pub async fn addresses(
    links: &LinkTable,
    vips: &HashSet<IpAddr>,
) -> Result<BTreeMap<u64, InterfaceAddresses>, Error> {
    Ok(by_interface(links, vips, &vips::present(&super::connect()?).await?))
}

fn by_interface(
    links: &LinkTable,
    vips: &HashSet<IpAddr>,
    present: &[Present],
) -> BTreeMap<u64, InterfaceAddresses> {
    let mut own: BTreeMap<u64, InterfaceAddresses> = BTreeMap::new();
    let speaking = present
        .iter()
        .filter(|there| !there.ours && !vips.contains(&there.address) && speaks(there.address));
    for there in speaking {
        let Ok(egress) = links.egress(there.interface) else { continue };
        let own = own.entry(interface_key(egress.interface, egress.vlan)).or_default();
        let place = if there.address.is_ipv4() { &mut own.v4 } else { &mut own.v6 };
        if *place == [0, 0] {
            *place = words(there.address);
        }
    }
    own
}

/// True for addresses that mean something beyond their link.
const fn speaks(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::links::{Link, LinkKind, LinkState, VlanTag};

    fn link(index: u32, kind: LinkKind) -> Link {
        let (name, mac, xdp) = (format!("eth{index}"), Some([2; 6]), Vec::new());
        Link { index, name, mac, mtu: 1500, state: LinkState::Up, kind, xdp }
    }

    fn there(interface: u32, address: &str, ours: bool) -> Present {
        let address = address.parse().expect("an address");
        Present { address, prefix_length: 24, interface, ours }
    }

    #[test]
    fn an_interface_speaks_by_its_first_address_that_is_no_vip_and_no_link_local_one() {
        let vlan = LinkKind::Vlan { parent: Some(2), id: 7, tag: VlanTag::Customer };
        let links = [link(2, LinkKind::Device), link(3, vlan)].into_iter().collect();
        let present = [
            there(2, "192.0.2.10", true),
            there(2, "192.0.2.11", false),
            there(2, "192.0.2.1", false),
            there(2, "192.0.2.2", false),
            there(2, "fe80::1", false),
            there(2, "fd00::2", false),
            there(3, "198.51.100.1", false),
            there(9, "203.0.113.1", false),
        ];
        let vips = ["192.0.2.11".parse().expect("an address")].into();
        let own = by_interface(&links, &vips, &present);
        let of = |v4: &str, v6: &str| InterfaceAddresses {
            v4: words(v4.parse().expect("an address")),
            v6: words(v6.parse().expect("an address")),
        };
        let tagged = InterfaceAddresses { v6: [0, 0], ..of("198.51.100.1", "::") };
        assert_eq!(
            own,
            [(interface_key(2, 0), of("192.0.2.1", "fd00::2")), (interface_key(2, 7), tagged)]
                .into()
        );
    }
}

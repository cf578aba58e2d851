//! From a route, the interfaces and the neighbours to a next hop, or to the reason why not.

use std::{fmt, net::IpAddr};

use netlink_packet_route::neighbour::NeighbourState;
use slb_common::next_hop::{HOP_VALID, NextHop};

use super::{
    links::{LinkTable, NoEgress},
    neighbours::{Key, NeighbourTable},
    routes::Route,
};

/// Why an address has no next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The kernel knows no route to it.
    NoRoute,
    /// The kernel did not say.
    RouteLookup(String),
    /// It is an address of this host, to which nothing can be redirected.
    OwnAddress,
    /// XDP cannot send out of the interface of its route.
    NoEgress(NoEgress),
    /// The neighbour was asked and may still answer.
    Asking {
        /// Who is asked: the address itself or its gateway.
        neighbour: IpAddr,
        /// Name of the interface.
        interface: String,
    },
    /// The neighbour was asked and did not answer.
    NoAnswer {
        /// Who was asked: the address itself or its gateway.
        neighbour: IpAddr,
        /// Name of the interface.
        interface: String,
    },
}

/// The neighbour that packets to an address are handed to.
pub(super) fn neighbour_of(route: &Route, address: IpAddr) -> Key {
    Key { interface: route.interface, address: route.gateway.unwrap_or(address) }
}

/// The next hop to an address whose route is known.
pub(super) fn next_hop(
    route: &Route,
    address: IpAddr,
    links: &LinkTable,
    neighbours: &NeighbourTable,
) -> Result<NextHop, Unresolved> {
    let egress = links.egress(route.interface).map_err(Unresolved::NoEgress)?;
    let key = neighbour_of(route, address);
    let neighbour = neighbours.get(&key);
    let Some(destination) = neighbour.and_then(|neighbour| neighbour.usable()) else {
        let (neighbour_state, interface) =
            (neighbour.map(|neighbour| neighbour.state), links.name(route.interface));
        let neighbour = key.address;
        return Err(match neighbour_state {
            Some(NeighbourState::Failed) => Unresolved::NoAnswer { neighbour, interface },
            _ => Unresolved::Asking { neighbour, interface },
        });
    };
    Ok(NextHop {
        destination,
        vlan: egress.vlan,
        source: egress.source,
        mtu: mtu(route, links),
        interface: egress.interface,
        state: HOP_VALID,
    })
}

/// Longest packet that goes this way: by the interface that routing names, which may be a VLAN of
/// the one that frames leave by, and by the route. 0: longer than any packet.
fn mtu(route: &Route, links: &LinkTable) -> u16 {
    let of_link = links.get(route.interface).map(|link| link.mtu).filter(|mtu| *mtu > 0);
    let least = of_link.into_iter().chain(route.mtu).min();
    least.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(0)
}

impl Unresolved {
    /// The reason to show after `self` was the last one: a neighbour that failed and is being
    /// asked again has still not answered.
    pub(super) fn then(&self, next: Self) -> Self {
        match (self, next) {
            (Self::NoAnswer { neighbour: before, .. }, Self::Asking { neighbour, interface })
                if *before == neighbour =>
            {
                Self::NoAnswer { neighbour, interface }
            }
            (_, next) => next,
        }
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoute => write!(f, "no route to host"),
            Self::RouteLookup(error) => write!(f, "the route could not be asked for: {error}"),
            Self::OwnAddress => write!(f, "it is an address of this host"),
            Self::NoEgress(reason) => write!(f, "{reason}"),
            Self::Asking { neighbour, interface } => {
                write!(f, "asking for neighbour {neighbour} on {interface}")
            }
            Self::NoAnswer { neighbour, interface } => {
                write!(f, "no neighbour answer from {neighbour} on {interface}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{
        links::{Link, LinkKind, LinkState, VlanTag},
        neighbours::Neighbour,
    };

    const BACKEND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
    const ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn link(index: u32, name: &str, kind: LinkKind) -> Link {
        let mac = Some([index as u8; 6]);
        let (name, state) = (name.to_string(), LinkState::Up);
        Link { index, name, mac, mtu: 1500, state, kind, xdp: vec![] }
    }

    fn links() -> LinkTable {
        let vlan = LinkKind::Vlan { parent: Some(2), id: 42, tag: VlanTag::Customer };
        [link(2, "eth0", LinkKind::Device), link(7, "eth0.42", vlan)].into_iter().collect()
    }

    fn knowing(key: Key, state: NeighbourState) -> NeighbourTable {
        let mut table = NeighbourTable::default();
        let mac = Some([9; 6]);
        table.apply(key, Some(Neighbour { mac, state, managed: true, ours: true }));
        table
    }

    #[test]
    fn a_backend_behind_a_router_gets_the_routers_mac() {
        let route = Route { interface: 2, gateway: Some(ROUTER), mtu: None };
        let router = knowing(Key { interface: 2, address: ROUTER }, NeighbourState::Reachable);
        let hop = next_hop(&route, BACKEND, &links(), &router).unwrap();
        assert_eq!((hop.destination, hop.source), ([9; 6], [2; 6]));
        assert_eq!((hop.interface, hop.vlan), (2, 0));
        assert!(hop.usable());

        let backend = knowing(Key { interface: 2, address: BACKEND }, NeighbourState::Reachable);
        assert!(next_hop(&route, BACKEND, &links(), &backend).is_err());
    }

    #[test]
    fn a_backend_in_a_vlan_leaves_by_the_parent_with_the_vlans_own_mac() {
        let route = Route { interface: 7, gateway: None, mtu: None };
        let table = knowing(Key { interface: 7, address: BACKEND }, NeighbourState::Stale);
        let hop = next_hop(&route, BACKEND, &links(), &table).unwrap();
        assert_eq!((hop.interface, hop.vlan, hop.source), (2, 42, [7; 6]));
    }

    #[test]
    fn the_longest_packet_is_the_interfaces_unless_the_route_says_less() {
        let table = knowing(Key { interface: 2, address: BACKEND }, NeighbourState::Reachable);
        for (of_route, expected) in [(None, 1500), (Some(1400), 1400), (Some(9000), 1500)] {
            let route = Route { interface: 2, gateway: None, mtu: of_route };
            assert_eq!(next_hop(&route, BACKEND, &links(), &table).unwrap().mtu, expected);
        }
        let route = Route { interface: 2, gateway: None, mtu: None };
        let endless = [Link { mtu: 65_536, ..link(2, "eth0", LinkKind::Device) }];
        let endless = endless.into_iter().collect();
        assert_eq!(next_hop(&route, BACKEND, &endless, &table).unwrap().mtu, 0);
    }

    #[test]
    fn a_neighbour_is_asked_before_it_is_given_up() {
        let route = Route { interface: 2, gateway: None, mtu: None };
        let key = Key { interface: 2, address: BACKEND };
        let why = |table| next_hop(&route, BACKEND, &links(), &table).unwrap_err();
        let asking = why(NeighbourTable::default());
        let failed = why(knowing(key, NeighbourState::Failed));
        assert_eq!(asking.to_string(), "asking for neighbour 10.0.0.2 on eth0");
        assert_eq!(failed.to_string(), "no neighbour answer from 10.0.0.2 on eth0");
        assert_eq!(failed.then(asking.clone()), failed);
        assert_eq!(asking.then(failed.clone()), failed);
        assert_eq!(failed.then(Unresolved::NoRoute), Unresolved::NoRoute);
    }
}

//! The kernel's answer to "where does a packet to this address go?".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::resolve::Unresolved;

/// A route to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Index of the interface that it leaves by.
    pub(super) interface: u32,
    /// The router to send to; absent: the address itself is on the link.
    pub(super) gateway: Option<IpAddr>,
    /// Longest packet by the route, or as the kernel has learnt of the path; absent: the
    /// interface's.
    pub(super) mtu: Option<u32>,
}

/// Asks the kernel for the route to an address.
pub(super) async fn lookup(handle: &Handle, address: IpAddr) -> Result<Route, Unresolved> {
    let question = match address {
        IpAddr::V4(address) => {
            RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).build()
        }
        IpAddr::V6(address) => {
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, 128).build()
        }
    };
    match handle.route().get(question).execute().try_next().await {
        Ok(Some(answer)) => decide(&answer),
        Ok(None) => Err(Unresolved::NoRoute),
        Err(rtnetlink::Error::NetlinkError(refusal)) if no_route(refusal.raw_code()) => {
            Err(Unresolved::NoRoute)
        }
        Err(error) => Err(Unresolved::RouteLookup(error.to_string())),
    }
}

/// True for the errors by which the kernel says that no usable route exists: none at all, or one
/// of type unreachable, prohibit (EACCES) or blackhole (EINVAL).
fn no_route(code: i32) -> bool {
    [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL].contains(&-code)
}

fn decide(answer: &RouteMessage) -> Result<Route, Unresolved> {
    match answer.header.kind {
        RouteType::Unicast => {}
        RouteType::Local => return Err(Unresolved::OwnAddress),
        _ => return Err(Unresolved::NoRoute),
    }
    let (mut interface, mut gateway, mut mtu) = (None, None, None);
    for attribute in &answer.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => {
                gateway = Some(IpAddr::V4(*address));
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(address))
            // An IPv4 route by an IPv6 router (RFC 5549).
            | RouteAttribute::Via(RouteVia::Inet6(address)) => {
                gateway = Some(IpAddr::V6(*address));
            }
            RouteAttribute::Metrics(metrics) => {
                mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some(IpAddr::V4(*address)),
            _ => {}
        }
    }
    interface.map(|interface| Route { interface, gateway, mtu }).ok_or(Unresolved::NoRoute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.kind = kind;
        message.attributes = attributes;
        message
    }

    #[test]
    fn a_gateway_may_be_of_the_other_family() {
        let router = "fe80::1".parse().unwrap();
        let attributes = vec![RouteAttribute::Oif(3), RouteAttribute::Via(RouteVia::Inet6(router))];
        assert_eq!(
            decide(&answer(RouteType::Unicast, attributes)),
            Ok(Route { interface: 3, gateway: Some(IpAddr::V6(router)), mtu: None })
        );
    }

    #[test]
    fn the_mtu_of_the_route_is_told() {
        let metrics =
            RouteAttribute::Metrics(vec![RouteMetric::Hoplimit(9), RouteMetric::Mtu(1400)]);
        let attributes = vec![RouteAttribute::Oif(3), metrics];
        assert_eq!(decide(&answer(RouteType::Unicast, attributes)).unwrap().mtu, Some(1400));
    }

    #[test]
    fn only_a_unicast_route_is_one() {
        let by = || vec![RouteAttribute::Oif(3)];
        assert_eq!(decide(&answer(RouteType::Local, by())), Err(Unresolved::OwnAddress));
        assert_eq!(decide(&answer(RouteType::Broadcast, by())), Err(Unresolved::NoRoute));
        assert_eq!(decide(&answer(RouteType::Unicast, vec![])), Err(Unresolved::NoRoute));
        assert_eq!(
            decide(&answer(RouteType::Unicast, by())),
            Ok(Route { interface: 3, gateway: None, mtu: None })
        );
    }
}

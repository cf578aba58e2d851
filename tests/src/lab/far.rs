//! A host that is far away: behind two routers, between which packets must be shorter.
//!
//! ```text
//!  [balancer] ── a host of the lab ── narrow link ── router ── far host
//! ```

use anyhow::Result;

use super::{
    Host, Lab, Namespace,
    links::{End, wire},
};

/// Puts a host behind a host of the lab, which becomes a router. `number` tells several of one lab
/// apart; the link between the two routers takes packets of `mtu` bytes.
pub fn behind(lab: &Lab, near: &Host, number: u8, mtu: u16) -> Result<Host> {
    let name = format!("far{number}");
    let router = Namespace::create(&format!("{}-router{number}", lab.name))?;
    let host = Namespace::create(&format!("{}-{name}", lab.name))?;
    for router in [&near.namespace, &router] {
        router.sysctl(&[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            // Probes come faster than one in a second.
            ("net/ipv4/icmp_ratelimit", "0"),
            ("net/ipv6/icmp/ratelimit", "0"),
        ])?;
    }
    let narrow = format!("narrow{number}");
    let (outside, inside) = (End { namespace: &near.namespace, interface: &narrow }, "near");
    wire(&outside, &End { namespace: &router, interface: inside }, mtu)?;
    let here = End { namespace: &router, interface: "far" };
    wire(&here, &End { namespace: &host, interface: "eth0" }, 1500)?;
    let (link, net) = (number, 10 + number);
    near.namespace.ip_batch(&format!(
        "addr add 10.9.{link}.1/30 dev {narrow}\naddr add fd09:{link}::1/64 dev {narrow} nodad\n\
         route add 10.9.{net}.0/24 via 10.9.{link}.2\nroute add fd09:{net}::/64 via fd09:{link}::2"
    ))?;
    router.ip_batch(&format!(
        "addr add 10.9.{link}.2/30 dev {inside}\naddr add fd09:{link}::2/64 dev {inside} nodad\n\
         addr add 10.9.{net}.1/24 dev far\naddr add fd09:{net}::1/64 dev far nodad\n\
         route add default via 10.9.{link}.1\nroute add ::/0 via fd09:{link}::1"
    ))?;
    host.ip_batch(&format!(
        "addr add 10.9.{net}.2/24 dev eth0\naddr add fd09:{net}::2/64 dev eth0 nodad\n\
         route add default via 10.9.{net}.1\nroute add ::/0 via fd09:{net}::1"
    ))?;
    lab.balancer.ip_batch(&format!(
        "route add 10.9.{net}.0/24 via {}\nroute add fd09:{net}::/64 via {}\n\
         route add 10.9.{link}.0/30 via {}\nroute add fd09:{link}::/64 via {}",
        near.v4, near.v6, near.v4, near.v6
    ))?;
    let v4 = std::net::Ipv4Addr::new(10, 9, net, 2);
    let v6 = std::net::Ipv6Addr::new(0xfd09, hexadecimal(net), 0, 0, 0, 0, 0, 2);
    Ok(Host { name, namespace: host, v4, v6 })
}

/// The group of an IPv6 address that shows the digits of a number below 100.
const fn hexadecimal(number: u8) -> u16 {
    (number as u16 / 10) * 0x10 + number as u16 % 10
}

//! What the forwarding modes need beside a listener: local addresses, outer sources, ports that stay.

use std::net::{IpAddr, SocketAddr};

use slb_common::vip::TunnelSource;
use slb_userspace::{config::model::Family, maps::words::words};

use super::{balancer::Balancer, cases::Case, listener::Listener};

/// A listener of dr or tunnel with so many backends on its own port.
pub fn one_sided(case: Case, mode: u8, backends: u8) -> Listener {
    let backends: Vec<_> = (1..=backends)
        .map(|number| SocketAddr::new(case.backend(number).ip(), case.vip().port()))
        .collect();
    Listener { mode, ..Listener::new(case.vip(), case.protocol, &backends) }
}

/// Where outer headers come from.
pub fn source(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([10, 0, 1, 254]),
        Family::V6 => IpAddr::from([0xfd01, 0, 0, 0, 0, 0, 0, 0xfe]),
    }
}

/// Sets one source for each family.
pub fn set_sources(balancer: &mut Balancer) {
    let single = |family| TunnelSource { address: words(source(family)), spread: [0; 2] };
    balancer.kernel.set_tunnel_sources([single(Family::V4), single(Family::V6)]);
}

/// The `number`-th local address of a family.
pub fn local(case: Case, number: u8) -> IpAddr {
    match case.family {
        Family::V4 => [100, 64, 0, number].into(),
        Family::V6 => [0xfd64, 0, 0, 0, 0, 0, 0, u16::from(number)].into(),
    }
}

/// Gives the program so many local addresses.
pub fn set_locals(balancer: &mut Balancer, case: Case, locals: u8) {
    let locals: Vec<IpAddr> = (1..=locals).map(|number| local(case, number)).collect();
    balancer.kernel.set_locals(&locals);
}

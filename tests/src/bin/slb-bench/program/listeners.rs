//! Listeners to measure, with nothing but a scheduler or with every feature of layer 4 on.

use ipnet::IpNet;
use slb_common::{
    connection::ticks,
    service::{
        INSTANCE_PRESENT, Instance, Limits, Persistence, SERVICE_COOKIES_AUTO, SERVICE_PRESENT,
        Service, Timeouts, mode,
    },
};
use slb_tests::program::{
    balancer::{Balancer, INTERFACE},
    cases::Case,
    listener::{Installed, Listener},
    modes,
};
use slb_userspace::{
    bpf::FullNat,
    config::model::{AccessList, Family},
    maps::Operation,
};

/// Backends of every listener.
const BACKENDS: u8 = 8;
/// Local addresses: so many that ports are not scarce.
const LOCALS: u8 = 16;
/// Limits that are counted and never reached.
const NEVER: Limits = Limits { connections: 1 << 30, rate: 1 << 30 };

/// What a listener has beside its scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Entries of its access list, none of which is met.
    pub(crate) acl: u32,
    /// Limits of its own, of its instance's, of its backends' and of client prefixes, none reached.
    pub(crate) limits: bool,
    /// Leading bits of a client's address that choose its backend.
    pub(crate) persistence: Option<u8>,
    /// Bits that say how it defends itself against floods of SYNs.
    pub(crate) syn_defence: u32,
}

impl Features {
    /// Every feature of layer 4 that a listener may have.
    pub(crate) const fn all(family: Family) -> Self {
        Self {
            acl: 1000,
            limits: true,
            persistence: Some(group(family)),
            syn_defence: SERVICE_COOKIES_AUTO,
        }
    }
}

/// Bits of the prefixes in which clients are counted and persist: 256 or 65 536 clients in each.
const fn group(family: Family) -> u8 {
    match family {
        Family::V4 => 24,
        Family::V6 => 112,
    }
}

/// Whether a table is to have room for local ports.
pub(crate) const fn full_nat(mode: u8) -> FullNat {
    if mode == mode::FULL_NAT { FullNat::On } else { FullNat::Off }
}

/// A listener of a mode, one-armed: packets leave where they came, as the floor's do.
pub(crate) fn listener(case: Case, mode: u8) -> Listener {
    let mut listener = match mode::one_sided(mode) {
        true => modes::one_sided(case, mode, BACKENDS),
        false => Listener { mode, ..case.listener(BACKENDS) },
    };
    let long = ticks(24 * 3600);
    listener.timeouts = Timeouts::new(long, long, long, long);
    listener.backends.iter_mut().for_each(|backend| backend.interface = INTERFACE);
    listener
}

/// Sets up a listener with features; its list has the number of its service, and its instance too.
pub(crate) fn install(
    balancer: &mut Balancer,
    case: Case,
    mut listener: Listener,
    features: Features,
) -> Installed {
    if listener.mode == mode::FULL_NAT {
        modes::set_locals(balancer, case, LOCALS);
    }
    modes::set_sources(balancer);
    let (number, list) = (1 + features.acl, list(case.family, features.acl));
    if features.acl > 0 {
        balancer.apply(Operation::FillList { number, list });
    }
    let limits = if features.limits { NEVER } else { listener.more.limits };
    let of_others = if features.limits { NEVER } else { Limits::default() };
    let to = Instance { limits: of_others, flags: INSTANCE_PRESENT, ..Instance::default() };
    // Its own place, so that listeners without limits stay without.
    let place = u16::from(features.limits);
    balancer.apply(Operation::SetInstance { place, to });
    listener.backends.iter_mut().for_each(|backend| backend.limits = of_others);
    listener.flags = SERVICE_PRESENT | features.syn_defence;
    if let Some(prefix) = features.persistence {
        listener.persistence =
            Persistence { timeout: ticks(300), group: number as u16, prefix, reserved: 0 };
    }
    listener.more = Service {
        acl: if features.acl > 0 { number } else { 0 },
        instance: place,
        limits,
        client_limits: of_others,
        client_prefix: if features.limits { group(case.family) } else { 0 },
        cookie_threshold: u32::MAX,
        ..listener.more
    };
    balancer.listen(&listener)
}

/// Networks that none of the clients is in.
fn list(family: Family, entries: u32) -> AccessList {
    (0..entries)
        .map(|entry| match family {
            Family::V4 => IpNet::new((0xac10_0000_u32 + entry * 16).to_be_bytes().into(), 28),
            Family::V6 => {
                IpNet::new((0xfd99_u128 << 112 | u128::from(entry) << 16).to_be_bytes().into(), 112)
            }
        })
        .map(|network| network.expect("a prefix that the family has"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_as_many_networks_as_it_should_and_none_holds_a_client() {
        for family in [Family::V4, Family::V6] {
            let list = list(family, 50_000);
            let distinct: std::collections::HashSet<_> = list.iter().collect();
            assert_eq!(distinct.len(), 50_000);
            let clients = ["10.0.0.1", "10.255.255.255", "2001:db8:c::1"];
            for client in clients.map(|client| client.parse::<std::net::IpAddr>().unwrap()) {
                assert!(!list.iter().any(|network| network.contains(&client)));
            }
        }
    }
}

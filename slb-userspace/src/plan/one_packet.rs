//! One-packet scheduling: which listeners, and whose replies are whose.

use std::collections::BTreeMap;

use slb_common::{
    one_packet::{Reply, ReplyKey},
    service::{BACKEND_SAME_PORT, SERVICE_ONE_PACKET, mode},
};

use super::{applied::Applied, desired::DesiredService};
use crate::{config::model::Listener, maps::words::words};

/// Bits of whether every datagram is scheduled.
pub(super) const fn flags(listener: &Listener) -> u32 {
    if listener.one_packet { SERVICE_ONE_PACKET } else { 0 }
}

/// To which VIP the replies of each backend belong that datagrams are scheduled to one by one. In
/// the other modes backends answer by themselves. Backends on their way out still answer.
pub fn replies(applied: &Applied, services: &[(u16, DesiredService)]) -> BTreeMap<ReplyKey, Reply> {
    let wanted = services.iter().filter(|(_, service)| {
        service.flags & SERVICE_ONE_PACKET != 0 && service.mode == mode::NAT
    });
    wanted
        .flat_map(|(id, service)| {
            // The configuration allows one VIP of each family here.
            let vip = service.vips.first().copied();
            applied.slots(*id).filter_map(move |(slot, one)| {
                let same = one.backend.flags & BACKEND_SAME_PORT != 0;
                let port = if same { [0; 2] } else { one.backend.port };
                let key = ReplyKey {
                    address: one.backend.address,
                    port: u64::from(u16::from_ne_bytes(port)),
                };
                let port = if same { [0; 2] } else { service.port.to_be_bytes() };
                Some((key, Reply { vip: words(vip?), slot, port, reserved: [0; 2] }))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use slb_common::service::{BACKEND_PRESENT, Backend, Service};

    use super::*;
    use crate::plan::{applied::AppliedService, tests::world::service};

    fn applied(flags: u16) -> Applied {
        let backend = Backend {
            address: words([10, 0, 1, 11].into()),
            port: 5353_u16.to_be_bytes(),
            service: 7,
            family: 4,
            flags: BACKEND_PRESENT | flags,
            ..Backend::default()
        };
        let services = [(7, AppliedService { service: Service::default(), places: Vec::new() })];
        Applied::adopted(services.into(), [(3, backend)], BTreeMap::new())
    }

    #[test]
    fn replies_are_known_of_one_packet_listeners_in_nat_alone() {
        let plain = service(1, crate::config::model::Scheduler::Wrr, &[]);
        let one_packet = DesiredService { flags: SERVICE_ONE_PACKET, port: 53, ..plain.clone() };
        let direct = DesiredService { mode: mode::DIRECT, ..one_packet.clone() };
        assert_eq!(replies(&applied(0), &[(7, plain)]), BTreeMap::new());
        assert_eq!(replies(&applied(0), &[(7, direct)]), BTreeMap::new());
        let vip = words(*one_packet.vips.first().unwrap());
        for (flags, key_port, port) in
            [(0, 5353_u16.to_be_bytes(), 53_u16.to_be_bytes()), (BACKEND_SAME_PORT, [0; 2], [0; 2])]
        {
            let key = ReplyKey {
                address: words([10, 0, 1, 11].into()),
                port: u64::from(u16::from_ne_bytes(key_port)),
            };
            let reply = Reply { vip, slot: 3, port, reserved: [0; 2] };
            assert_eq!(replies(&applied(flags), &[(7, one_packet.clone())]), [(key, reply)].into());
        }
    }
}

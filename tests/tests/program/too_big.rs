//! Packets that do not fit the way to their backend.

use std::net::{IpAddr, SocketAddr};

use aya::maps::{MapData, PerCpuArray};
use slb_common::{Verdict, service::mode};
use slb_tests::packets::{Packet, flags::SYN};
use slb_userspace::config::model::Family;

use super::{
    balancer::Balancer,
    cases::{CASES, Case},
    listener::{Listener, Target},
    tunnel::set_sources,
};

/// Words of `slb_common::stage::Handover`, of which the third number is the MTU.
const HANDOVER_WORDS: usize = 8;

/// Modes with the families of their backends and what these take of the MTU.
fn ways(case: Case) -> [(u8, Family, u16); 4] {
    [
        (mode::NAT, case.family, 0),
        (mode::DIRECT, case.family, 0),
        (mode::TUNNEL, Family::V4, 20),
        (mode::TUNNEL, Family::V6, 40),
    ]
}

#[test]
fn a_packet_that_does_not_fit_the_way_to_its_backend_is_refused_with_the_mtu_that_it_should_have() {
    for case in CASES {
        for (mode, family, overhead) in ways(case) {
            let backend: IpAddr = Case { family, ..case }.backend(1).ip();
            let backend = SocketAddr::new(backend, case.vip().port());
            let target = Target { mtu: 1500, ..Target::new(backend) };
            let listener = Listener {
                mode,
                backends: vec![target],
                ..Listener::new(case.vip(), case.protocol, &[])
            };
            let (mut balancer, _) = Balancer::with(&listener);
            set_sources(&mut balancer);
            let of_length = |packet: Packet, length: u16| {
                let packet = Packet { payload: Vec::new(), ..packet };
                let headers = packet.network_length();
                let payload = vec![3; usize::from(length) - headers as usize];
                Packet { payload, ..packet }
            };
            for first in [case.first(), case.next()] {
                let fits = of_length(first.clone(), 1500 - overhead);
                // Behind the packet nothing counts.
                for padding in [0, 30] {
                    let ended = balancer.receive(&Packet { padding, ..fits.clone() });
                    assert_eq!(ended.verdict, Verdict::Redirected, "{case:?} {mode} {family}");
                }
                let before = balancer.entry();
                let longer = of_length(first, 1501 - overhead);
                let ended = balancer.receive(&longer);
                assert_eq!(ended.verdict, Verdict::DropTooBig, "{case:?} {mode} {family}");
                assert_eq!(mtus(&balancer), [1500 - u32::from(overhead)]);
                assert_eq!(balancer.entry(), before, "what is dropped has no effect");
            }
            let other = case.to_vip(case.client(2), case.vip(), SYN);
            assert_eq!(balancer.receive(&other).verdict, Verdict::Redirected);
        }
    }
}

/// The MTUs that were handed over, on whatever processor.
fn mtus(balancer: &Balancer) -> Vec<u32> {
    let map = balancer.object.map("HANDOVER").unwrap();
    let map: PerCpuArray<&MapData, [u64; HANDOVER_WORDS]> = map.try_into().unwrap();
    let values = map.get(&0, 0).unwrap();
    let mut mtus: Vec<u32> =
        values.iter().map(|words| words[1] as u32).filter(|mtu| *mtu != 0).collect();
    mtus.sort_unstable();
    mtus.dedup();
    mtus
}

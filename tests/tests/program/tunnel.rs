//! Tunnels: what the outer packet is like, for each family in each, and the inner one in it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use slb_common::{
    Verdict,
    service::mode,
    vip::{Settings, TunnelSource},
};
use slb_tests::packets::{Outer, Packet, flags::SYN};
use slb_userspace::{
    config::model::{Family, Protocol},
    maps::words::words,
};

use super::{
    balancer::{Balancer, ELSEWHERE, OWN_MAC},
    cases::{CASES, Case, assert_sent},
    forwarding::variations,
    listener::{Installed, Listener, Target},
};

pub(crate) use slb_tests::program::modes::{set_sources, source};

/// The packet as it leaves for the first backend, which has this address and stands behind another
/// interface.
pub(crate) fn tunnelled(packet: &Packet, backend: IpAddr) -> Packet {
    let source = source(Family::of(backend));
    Packet {
        macs: (OWN_MAC, [2, 0, 0, 0, 1, 1]),
        tags: Vec::new(),
        ttl: packet.ttl - 1,
        outer: Some(Outer { source, destination: backend, ttl: 64 }),
        ..packet.clone()
    }
}

/// Each case with the family of its backends: 4in4, 4in6, 6in4, 6in6.
pub(crate) fn tunnels() -> impl Iterator<Item = (Case, IpAddr)> {
    let of = |family, case: Case| Case { family, ..case }.backend(1).ip();
    CASES
        .into_iter()
        .flat_map(move |case| [Family::V4, Family::V6].map(|outer| (case, of(outer, case))))
}

/// A program with one backend of this address.
pub(crate) fn balancer(case: Case, backend: IpAddr) -> (Balancer, Installed, Listener) {
    let backend = SocketAddr::new(backend, case.vip().port());
    let listener =
        Listener { mode: mode::TUNNEL, ..Listener::new(case.vip(), case.protocol, &[backend]) };
    let (mut balancer, installed) = Balancer::with(&listener);
    set_sources(&mut balancer);
    (balancer, installed, listener)
}

#[test]
fn a_packet_leaves_in_one_to_its_backend_one_hop_older_and_otherwise_as_it_came() {
    for (case, backend) in tunnels() {
        let (mut balancer, ..) = balancer(case, backend);
        for packet in [vec![case.first()], variations(&case.next())].concat() {
            assert_sent(&balancer.receive(&packet), &tunnelled(&packet, backend), ELSEWHERE);
        }
        assert_eq!(balancer.entries().len(), 1);
        balancer.assert_consistent();
    }
}

#[test]
fn in_a_tunnel_the_tag_is_the_next_hops_whatever_tags_a_packet_came_with() {
    for (case, backend) in tunnels() {
        let (mut balancer, installed, listener) = balancer(case, backend);
        for (vlan, leaving) in [(0, &[][..]), (7, &[7][..])] {
            let target = Target { vlan, ..listener.backends[0] };
            balancer.set_backend(installed.slots[0], installed.service, &target);
            for tags in [&[][..], &[5], &[6, 5], &[0]] {
                for packet in [case.first(), case.next()] {
                    let packet = Packet { tags: tags.to_vec(), ..packet };
                    let expected = tunnelled(&packet, backend);
                    let expected = Packet { tags: leaving.to_vec(), ..expected };
                    assert_sent(&balancer.receive(&packet), &expected, ELSEWHERE);
                }
            }
        }
    }
}

#[test]
fn backends_of_both_families_serve_one_vip() {
    for case in CASES {
        let both: Vec<_> = tunnels()
            .filter(|(other, _)| *other == case)
            .map(|(_, backend)| SocketAddr::new(backend, case.vip().port()))
            .collect();
        let listener =
            Listener { mode: mode::TUNNEL, ..Listener::new(case.vip(), case.protocol, &both) };
        let (mut balancer, _) = Balancer::with(&listener);
        set_sources(&mut balancer);
        let mut taken: Vec<IpAddr> = Vec::new();
        for number in 1..=2 {
            let first = case.to_vip(case.client(number), case.vip(), SYN);
            let ended = balancer.receive(&first);
            let backend = both.iter().map(SocketAddr::ip).find(|backend| {
                let expected = tunnelled(&first, *backend).bytes();
                ended.frame == expected
            });
            taken.extend(backend);
        }
        taken.sort();
        assert_eq!(taken, [both[0].ip(), both[1].ip()], "{case:?}");
    }
}

#[test]
fn a_prefix_of_sources_is_spread_over_by_flow() {
    let spread = |network: &str, mask: &str| TunnelSource {
        address: words(network.parse().unwrap()),
        spread: words(mask.parse().unwrap()),
    };
    let sources = [spread("192.0.2.0", "0.0.0.63"), spread("fd02::", "::ffff:ffff:ffff:ffff")];
    let holds = |source: IpAddr| match source {
        IpAddr::V4(source) => source.to_bits() >> 6 == 0xc000_0200 >> 6,
        IpAddr::V6(source) => source.to_bits() >> 64 == 0xfd02_0000_0000_0000,
    };
    for (case, backend) in tunnels() {
        let (mut balancer, ..) = balancer(case, backend);
        balancer.kernel.set_tunnel_sources(sources);
        let mut seen: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for number in 0..200 {
            let source_of = |balancer: &mut Balancer, tcp| {
                let packet = case.to_vip(case.client(number), case.vip(), tcp);
                let ended = balancer.receive(&packet);
                let source = outer_source(&ended.frame);
                assert!(holds(source), "{source}");
                // Everything else is as it should be.
                let mut expected = tunnelled(&packet, backend);
                expected.outer.as_mut().unwrap().source = source;
                assert_sent(&ended, &expected, ELSEWHERE);
                source
            };
            let first = source_of(&mut balancer, SYN);
            assert_eq!(source_of(&mut balancer, slb_tests::packets::flags::ACK), first);
            *seen.entry(first).or_default() += 1;
        }
        let most = seen.values().max().unwrap();
        assert!(seen.len() > 40 && *most < 15, "200 flows from {seen:?}");
    }
}

/// The source of a frame's first network header.
fn outer_source(frame: &[u8]) -> IpAddr {
    use etherparse::{NetSlice, SlicedPacket};
    match SlicedPacket::from_ethernet(frame).unwrap().net {
        Some(NetSlice::Ipv4(ip)) => ip.header().source_addr().into(),
        Some(NetSlice::Ipv6(ip)) => ip.header().source_addr().into(),
        other => panic!("no IP packet: {other:?}"),
    }
}

#[test]
fn without_a_source_of_the_backends_family_nothing_is_sent() {
    for (case, backend) in tunnels() {
        let (mut balancer, ..) = balancer(case, backend);
        let of = |family| TunnelSource { address: words(source(family)), spread: [0; 2] };
        let other = match Family::of(backend) {
            Family::V4 => [TunnelSource::default(), of(Family::V6)],
            Family::V6 => [of(Family::V4), TunnelSource::default()],
        };
        balancer.kernel.set_tunnel_sources(other);
        assert_eq!(balancer.receive(&case.first()).verdict, Verdict::DropNoTunnelSource);
        set_sources(&mut balancer);
        assert_eq!(balancer.receive(&case.first()).verdict, Verdict::Redirected);
    }
}

#[test]
fn the_rest_of_the_settings_is_left_alone_when_sources_change() {
    let mut balancer = Balancer::new();
    let mapping = balancer.object.mapping::<Settings>("SETTINGS", write()).unwrap();
    mapping.set(0, &Settings { flags: 5, locals_v4: 7, ..Settings::default() });
    set_sources(&mut balancer);
    let settings = mapping.get(0);
    assert_eq!((settings.flags, settings.locals_v4), (5, 7));
    assert_eq!(settings.tunnel_v6.address, words(source(Family::V6)));
}

const fn write() -> slb_userspace::bpf::mapping::Access {
    slb_userspace::bpf::mapping::Access::Write
}

#[test]
fn a_frame_that_has_no_room_for_the_outer_header_is_dropped() {
    // As for a tag.
    const METADATA: [u8; 216] = [0; 216];
    for (case, backend) in tunnels() {
        if case.protocol == Protocol::Udp {
            continue;
        }
        let (mut balancer, ..) = balancer(case, backend);
        let Ok(ended) = balancer.receive_behind(1, &METADATA, &case.first().bytes()) else {
            eprintln!("this kernel takes no {} bytes of metadata", METADATA.len());
            return;
        };
        assert_eq!(ended.verdict, Verdict::DropNoHeadroom);
    }
}

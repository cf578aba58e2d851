//! The bitmaps of VIPs and backends hold a bit for several addresses each. Whoever shares one is
//! not disturbed: neither a stranger, nor a client that waits for replies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use slb_common::{Verdict::*, service::address_bit};
use slb_tests::packets::{Packet, Transport, flags};
use slb_userspace::{
    config::model::{Family, Protocol},
    maps::words::words,
};

use super::{
    balancer::{Action, ELSEWHERE, INTERFACE},
    cases::{CASES, Case, answered, assert_sent, forwarded},
};

/// An address that is not `address` and shares its bit.
fn twin(address: IpAddr) -> IpAddr {
    let bit = address_bit(words(address));
    let candidate = |n: u32| match address {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::from(0x6440_0000 + n)),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::from((0x2001_0db8_u128 << 96) + u128::from(n))),
    };
    (1..4_000_000)
        .map(candidate)
        .find(|twin| *twin != address && address_bit(words(*twin)) == bit)
        .expect("one of 65 536 addresses shares a bit")
}

/// Foreign packets of every kind between two endpoints, sound and broken.
fn foreign(case: Case, source: SocketAddr, destination: SocketAddr) -> Vec<Vec<u8>> {
    let packet = case.to_vip(source, destination, flags::SYN);
    let at = packet.network_at();
    let mut frames = vec![
        packet.bytes(),
        case.to_vip(source, destination, flags::ACK).bytes(),
        Packet { fragment: Some((0, true)), ..packet.clone() }.bytes(),
        Packet { fragment: Some((185, false)), ..packet.clone() }.bytes(),
        Packet { ttl: 1, ..packet.clone() }.bytes(),
        Packet { tags: vec![6, 5], ..packet.clone() }.bytes(),
        Packet { transport: Transport::Other(47), payload: vec![1; 9], ..packet.clone() }.bytes(),
        packet.bytes()[..packet.transport_at()].to_vec(),
    ];
    let mut version = packet.bytes();
    version[at] = 0x44;
    frames.push(version);
    if case.family == Family::V4 {
        let mut checksum = packet.bytes();
        checksum[at + 10] ^= 1;
        frames.push(checksum);
    } else {
        frames.push(Packet { extras: vec![(60, vec![0; 6]); 8], ..packet.clone() }.bytes());
    }
    if case.protocol == Protocol::Tcp {
        frames.push(case.to_vip(source, destination, flags::SYN | flags::FIN).bytes());
    }
    frames
}

#[test]
fn foreign_packets_that_share_a_bit_pass_untouched() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        let vip_twin = SocketAddr::new(twin(case.vip().ip()), 80);
        let backend_twin = SocketAddr::new(twin(case.backend(1).ip()), 8080);
        let pairs = [
            (case.client(1), vip_twin),
            (backend_twin, case.client(1)),
            (backend_twin, vip_twin),
            (case.backend(1), vip_twin),
        ];
        for (source, destination) in pairs {
            for frame in foreign(case, source, destination) {
                let ended = balancer.receive_frame(&frame);
                assert_eq!(ended.action, Action::Pass, "{case:?}: {:?}", ended.verdict);
                assert!(ended.frame == frame, "{case:?}: a foreign packet was changed");
            }
        }
        assert!(balancer.entries().is_empty());
    }
}

#[test]
fn a_client_that_shares_a_vips_bit_gets_its_replies() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        let client = SocketAddr::new(twin(case.vip().ip()), 4000);
        let first = case.to_vip(client, case.vip(), flags::SYN);
        assert_sent(&balancer.receive(&first), &forwarded(&first, case.backend(1)), ELSEWHERE);
        let answer = case.reply(case.backend(1), client, flags::SYN | flags::ACK);
        assert_sent(&balancer.receive(&answer), &answered(&answer, case.vip()), INTERFACE);
        // On the VIP's own port, too, where a listener is.
        let client = SocketAddr::new(client.ip(), case.vip().port());
        let first = case.to_vip(client, case.vip(), flags::SYN);
        assert_sent(&balancer.receive(&first), &forwarded(&first, case.backend(1)), ELSEWHERE);
        let answer = case.reply(case.backend(1), client, flags::SYN | flags::ACK);
        assert_sent(&balancer.receive(&answer), &answered(&answer, case.vip()), INTERFACE);
        balancer.assert_consistent();
    }
}

#[test]
fn a_client_that_shares_a_backends_bit_is_balanced() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        let client = SocketAddr::new(twin(case.backend(1).ip()), 4000);
        let first = case.to_vip(client, case.vip(), flags::SYN);
        assert_sent(&balancer.receive(&first), &forwarded(&first, case.backend(1)), ELSEWHERE);
    }
}

#[test]
fn a_backend_may_be_a_client_of_another_listener() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        let mut other = case.listener(0);
        other.vips = vec![case.vip_number(2)];
        other.backends = vec![super::listener::Target::new(case.backend(9))];
        balancer.listen(&other);
        let client = SocketAddr::new(case.backend(1).ip(), 4000);
        let first = case.to_vip(client, case.vip_number(2), flags::SYN);
        let ended = balancer.receive(&first);
        assert_eq!(ended.verdict, Redirected);
        let answer = case.reply(case.backend(9), client, flags::SYN | flags::ACK);
        let ended = balancer.receive(&answer);
        assert_sent(&ended, &answered(&answer, case.vip_number(2)), INTERFACE);
    }
}

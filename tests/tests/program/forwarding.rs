//! What a forwarded packet looks like: destination or source, ports, TTL, MAC addresses and
//! checksums rewritten, every other byte as it came.

use slb_common::Verdict;
use slb_tests::packets::{Checksum, Packet, Transport, flags};
use slb_userspace::config::model::{Family, Protocol};

use super::{
    balancer::{Balancer, ELSEWHERE, INTERFACE, ip},
    cases::{CASES, Case, TCP_CASES, answered, assert_sent, forwarded},
};

/// Packets of an open connection that differ in what the balancer must leave alone.
pub(crate) fn variations(packet: &Packet) -> Vec<Packet> {
    let mut variations: Vec<Packet> = [0, 1, 2, 3, 64, 1001, 1400]
        .map(|length| Packet { payload: (0..length).map(|n| n as u8).collect(), ..packet.clone() })
        .into();
    variations.push(Packet { ttl: 2, ..packet.clone() });
    variations.push(Packet { ttl: 255, ..packet.clone() });
    // Behind the packet, to the least length of an Ethernet frame.
    variations.push(Packet { padding: 18, ..packet.clone() });
    variations.push(Packet { padding: 200, payload: vec![0xff; 33], ..packet.clone() });
    if let Transport::Tcp { flags: now, .. } = packet.transport {
        for options in [vec![2, 4, 5, 0xb4], vec![1; 20], vec![1; 40]] {
            let transport = Transport::Tcp { flags: now, options };
            variations.push(Packet { transport, ..packet.clone() });
        }
        let transport = Transport::Tcp { flags: now | flags::URG, options: vec![] };
        variations.push(Packet { transport, ..packet.clone() });
    }
    variations.extend(network_variations(packet));
    variations
}

/// With IPv4 options, with IPv6 extension headers.
fn network_variations(packet: &Packet) -> Vec<Packet> {
    let with = |extras: &[(u8, usize)], fragment| Packet {
        extras: extras.iter().map(|(protocol, length)| (*protocol, vec![1; *length])).collect(),
        fragment,
        ..packet.clone()
    };
    if packet.source.is_ipv4() {
        return vec![with(&[(0, 4)], None), with(&[(0, 20)], None), with(&[(0, 40)], None)];
    }
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const DESTINATION: u8 = 60;
    // An atomic fragment is a whole packet (RFC 6946).
    let atomic = Some((0, false));
    vec![
        with(&[(HOP_BY_HOP, 6)], None),
        with(&[(DESTINATION, 14)], None),
        with(&[(HOP_BY_HOP, 6), (ROUTING, 22), (DESTINATION, 6)], None),
        with(&[], atomic),
        with(&[(HOP_BY_HOP, 6), (DESTINATION, 30)], atomic),
        with(&[(DESTINATION, 6); 6], None),
    ]
}

#[test]
fn a_clients_packet_leaves_for_its_backend_with_nothing_else_changed() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        for packet in [vec![case.first()], variations(&case.next())].concat() {
            let ended = balancer.receive(&packet);
            assert_sent(&ended, &forwarded(&packet, case.backend(1)), ELSEWHERE);
        }
        balancer.assert_consistent();
    }
}

#[test]
fn a_reply_leaves_for_its_client_with_nothing_else_changed() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        balancer.receive(&case.first());
        let data = case.reply(case.backend(1), case.client(1), flags::ACK);
        for packet in [vec![case.answer()], variations(&data)].concat() {
            let ended = balancer.receive(&packet);
            assert_sent(&ended, &answered(&packet, case.vip()), INTERFACE);
        }
        balancer.assert_consistent();
    }
}

#[test]
fn a_first_packet_may_carry_everything_that_a_later_one_may() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        for (number, packet) in variations(&case.first()).into_iter().enumerate() {
            let packet = Packet { source: case.client(number as u16), ..packet };
            let ended = balancer.receive(&packet);
            assert_sent(&ended, &forwarded(&packet, case.backend(1)), ELSEWHERE);
        }
    }
}

#[test]
fn checksums_are_right_for_any_endpoints_and_payload() {
    let mut random = super::random::Random::new(0x5eed);
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        for number in 0..300 {
            let client = case.client(number);
            let length = random.below(40) as usize;
            let payload: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
            let to =
                Packet { payload: payload.clone(), ..case.to_vip(client, case.vip(), flags::SYN) };
            assert_sent(&balancer.receive(&to), &forwarded(&to, case.backend(1)), ELSEWHERE);
            let from = case.reply(case.backend(1), client, flags::SYN | flags::ACK);
            let from = Packet { payload, ..from };
            assert_sent(&balancer.receive(&from), &answered(&from, case.vip()), INTERFACE);
        }
    }
}

#[test]
fn what_is_damaged_on_the_way_to_the_balancer_stays_damaged_behind_it() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        balancer.receive(&case.first());
        let packet = Packet { payload: vec![7; 20], ..case.next() };
        let (mut damaged, mut expected) =
            (packet.bytes(), forwarded(&packet, case.backend(1)).bytes());
        // Ten bytes before the end lie in the payload.
        for frame in [&mut damaged, &mut expected] {
            let place = frame.len() - 10;
            frame[place] ^= 0x40;
        }
        assert_eq!(balancer.receive_frame(&damaged).frame, expected, "{case:?}");
    }
}

#[test]
fn a_backend_behind_the_same_interface_is_sent_to_by_it() {
    for case in CASES {
        let mut listener = case.listener(1);
        listener.backends[0].interface = INTERFACE;
        let (mut balancer, _) = Balancer::with(&listener);
        let ended = balancer.receive(&case.first());
        assert_eq!(ended.verdict, Verdict::Transmitted);
        assert_sent(&ended, &forwarded(&case.first(), case.backend(1)), INTERFACE);
    }
}

#[test]
fn a_reply_that_comes_by_another_interface_than_the_client_is_redirected() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        ip("link add arm type veth peer name far");
        balancer.receive(&case.first());
        let arm = super::balancer::interface("arm");
        let ended = balancer.receive_by(arm, &case.answer().bytes());
        assert_eq!(ended.verdict, Verdict::Redirected);
        assert_eq!(ended.frame, answered(&case.answer(), case.vip()).bytes());
    }
}

/// UDP cases.
const UDP_CASES: [Case; 2] = [
    Case { family: Family::V4, protocol: Protocol::Udp },
    Case { family: Family::V6, protocol: Protocol::Udp },
];

#[test]
fn a_datagram_without_checksum_gets_none() {
    for case in UDP_CASES {
        let (mut balancer, _) = case.balancer(1);
        let transport = Transport::Udp { checksum: Checksum::None };
        let to = Packet { transport: transport.clone(), ..case.first() };
        assert_sent(&balancer.receive(&to), &forwarded(&to, case.backend(1)), ELSEWHERE);
        let from = Packet { transport, ..case.answer() };
        assert_sent(&balancer.receive(&from), &answered(&from, case.vip()), INTERFACE);
    }
}

#[test]
fn a_checksum_that_comes_out_as_zero_is_sent_as_all_ones() {
    for case in UDP_CASES {
        let (mut balancer, _) = case.balancer(1);
        let expected = |word: u16| {
            let packet = Packet { payload: word.to_be_bytes().to_vec(), ..case.first() };
            let forwarded = forwarded(&packet, case.backend(1));
            (packet, forwarded)
        };
        let (packet, expected) = (0..=u16::MAX)
            .map(expected)
            .find(|(packet, forwarded)| {
                let at = forwarded.transport_at() + 6;
                packet.bytes()[at..at + 2] != [0xff, 0xff]
                    && forwarded.bytes()[at..at + 2] == [0xff, 0xff]
            })
            .expect("one of all words makes the sum 0");
        assert_sent(&balancer.receive(&packet), &expected, ELSEWHERE);
    }
}

#[test]
fn a_segments_checksum_of_zero_stays_zero() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(1);
        balancer.receive(&case.first());
        let packet = (0..=u16::MAX)
            .map(|word| Packet { payload: word.to_be_bytes().to_vec(), ..case.next() })
            .find(|packet| {
                let expected = forwarded(packet, case.backend(1));
                let at = expected.transport_at() + 16;
                expected.bytes()[at..at + 2] == [0, 0]
            })
            .expect("one of all words makes the sum 0");
        assert_sent(&balancer.receive(&packet), &forwarded(&packet, case.backend(1)), ELSEWHERE);
    }
}

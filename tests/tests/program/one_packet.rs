//! One-packet scheduling: every datagram is drawn for by itself and leaves no entry.

use std::collections::BTreeMap;

use slb_common::{
    Verdict,
    one_packet::{Reply, ReplyKey},
    service::{SERVICE_ONE_PACKET, SERVICE_PRESENT, mode},
};
use slb_tests::packets::{Packet, endpoints};
use slb_userspace::{config::model::Protocol, maps::words::words};

use super::{
    balancer::{Action, Balancer, ELSEWHERE, INTERFACE, OWN_MAC},
    cases::{CASES, Case, answered, assert_sent, forwarded},
    direct,
    listener::{Installed, Listener},
};

fn udp_cases() -> impl Iterator<Item = Case> {
    CASES.into_iter().filter(|case| case.protocol == Protocol::Udp)
}

/// A program whose listener schedules every datagram, as the daemon would set it up.
fn balancer(case: Case, mode: u8, backends: u8) -> (Balancer, Installed) {
    let listener = match mode {
        mode::NAT => case.listener(backends),
        _ => direct::listener(case, mode, backends),
    };
    let flags = SERVICE_PRESENT | SERVICE_ONE_PACKET;
    let (mut balancer, installed) = Balancer::with(&Listener { flags, ..listener });
    super::tunnel::set_sources(&mut balancer);
    if mode == mode::NAT {
        let vip = words(case.vip().ip());
        let replies: BTreeMap<_, _> = (1..=backends)
            .zip(&installed.slots)
            .map(|(number, slot)| {
                let backend = case.backend(number);
                let port = u64::from(u16::from_ne_bytes(backend.port().to_be_bytes()));
                let key = ReplyKey { address: words(backend.ip()), port };
                let port = case.vip().port().to_be_bytes();
                (key, Reply { vip, slot: *slot, port, reserved: [0; 2] })
            })
            .collect();
        balancer.kernel.set_replies(&replies).unwrap();
    }
    (balancer, installed)
}

#[test]
fn each_datagram_of_a_flow_is_drawn_for_and_none_leaves_an_entry() {
    for case in udp_cases() {
        let (mut balancer, _) = balancer(case, mode::NAT, 2);
        let mut drawn = Vec::new();
        for _ in 0..6 {
            let ended = balancer.receive(&case.first());
            assert_eq!(ended.verdict, Verdict::Redirected, "{case:?}");
            drawn.push(endpoints(&ended.frame).1);
        }
        let (first, second) = (case.backend(1), case.backend(2));
        for turn in drawn.chunks(2) {
            assert!(turn == [first, second] || turn == [second, first], "{turn:?}");
        }
        assert!(balancer.entries().is_empty());
    }
}

#[test]
fn a_datagram_is_translated_as_in_any_flow_and_so_is_its_reply() {
    for case in udp_cases() {
        let (mut balancer, installed) = balancer(case, mode::NAT, 1);
        let sent = balancer.receive(&case.first());
        assert_sent(&sent, &forwarded(&case.first(), case.backend(1)), ELSEWHERE);
        let sent = balancer.receive(&case.answer());
        assert_sent(&sent, &answered(&case.answer(), case.vip()), INTERFACE);
        assert_eq!(balancer.gauges(installed.slots[0]), (0, 0));
        let counted = balancer.kernel.backend_counters(installed.slots[0]).unwrap();
        assert_eq!(counted.0.connections, 1, "{case:?}: each datagram counts as a connection");
    }
}

#[test]
fn another_port_of_a_backend_is_none_of_our_business() {
    for case in udp_cases() {
        let (mut balancer, _) = balancer(case, mode::NAT, 1);
        balancer.receive(&case.first());
        let mut backend = case.backend(1);
        backend.set_port(backend.port() + 1);
        let reply = case.reply(backend, case.client(1), 0);
        assert_eq!(balancer.receive(&reply).verdict, Verdict::PassNoConnection, "{case:?}");
    }
}

#[test]
fn in_direct_routing_only_the_frame_is_addressed() {
    for case in udp_cases() {
        let (mut balancer, _) = balancer(case, mode::DIRECT, 1);
        let packet = case.first();
        let expected =
            Packet { macs: (OWN_MAC, [2, 0, 0, 0, 1, 1]), ttl: packet.ttl - 1, ..packet.clone() };
        assert_sent(&balancer.receive(&packet), &expected, ELSEWHERE);
        assert!(balancer.entries().is_empty());
    }
}

#[test]
fn in_a_tunnel_each_datagram_is_drawn_for_as_well() {
    for case in udp_cases() {
        let (mut balancer, _) = balancer(case, mode::TUNNEL, 2);
        let packet = case.first();
        let wanted = [1, 2].map(|number| {
            let wanted = super::tunnel::tunnelled(&packet, case.backend(number).ip());
            wanted.bytes()[14..].to_vec()
        });
        for _ in 0..3 {
            let sent = [(); 2].map(|()| balancer.receive(&packet).frame[14..].to_vec());
            let [one, other] = &wanted;
            assert!(sent == [one.clone(), other.clone()] || sent == [other.clone(), one.clone()]);
        }
        assert!(balancer.entries().is_empty());
    }
}

#[test]
fn replies_in_fragments_come_from_the_vip_too() {
    for case in udp_cases() {
        let (mut balancer, _) = balancer(case, mode::NAT, 1);
        balancer.receive(&case.first());
        let reply = Packet { payload: vec![7; 150], ..case.answer() };
        let (pieces, wanted) = (reply.pieces(64), answered(&reply, case.vip()).pieces(64));
        assert_eq!(balancer.receive(&pieces[1]).action, Action::Pass, "{case:?}: no first one");
        for number in [0, 2, 1] {
            assert_sent(&balancer.receive(&pieces[number]), &wanted[number], INTERFACE);
        }
        assert!(balancer.entries().is_empty());
    }
}

#[test]
fn fragments_of_a_datagram_go_where_its_first_one_went() {
    for case in udp_cases() {
        let (mut balancer, _) = balancer(case, mode::NAT, 2);
        for number in 1..=4 {
            let packet = case.to_vip(case.client(number), case.vip(), 0);
            let packet = Packet { payload: vec![7; 150], ..packet };
            let pieces = packet.pieces(64);
            let first = balancer.receive(&pieces[0]);
            assert_eq!(first.verdict, Verdict::Redirected);
            let backend = [1, 2].map(|number| case.backend(number)).into_iter().find(|backend| {
                forwarded(&packet, *backend).pieces(64)[0].bytes()[14..] == first.frame[14..]
            });
            let wanted = forwarded(&packet, backend.expect("one of the two")).pieces(64);
            for (piece, wanted) in pieces.iter().zip(&wanted).skip(1) {
                let sent = balancer.receive(piece);
                assert_eq!(sent.frame[14..], wanted.bytes()[14..], "{case:?}");
            }
        }
    }
}

//! What the sender of a refused packet is told, read by etherparse.

use std::net::IpAddr;

use slb_common::{
    Answer,
    Verdict::{self, *},
    answer::{BURST_PARTS, ICMP_RATE, RESET_RATE},
    service::{SERVICE_ADOPT, SERVICE_PRESENT, SERVICE_SILENT},
    vip::{InterfaceAddresses, interface_key},
};
use slb_tests::{
    icmp::{Trouble, network, segment, told},
    packets::{Packet, Transport, flags},
};
use slb_userspace::{
    config::model::{Family, Protocol},
    maps::words::words,
};

use super::{
    balancer::{Action, Balancer, INTERFACE},
    cases::{CASES, CLIENT_MAC, Case, FRONT_MAC, TCP_CASES},
    listener::Target,
};

/// Sequence and acknowledgement numbers of a segment.
fn numbers(packet: &Packet) -> (u32, u32) {
    let at = packet.transport_at() + 4;
    let number = |at: usize| u32::from_be_bytes(packet.bytes()[at..at + 4].try_into().unwrap());
    (number(at), number(at + 4))
}

/// The two of UDP.
const UDP_CASES: [Case; 2] = [CASES[1], CASES[3]];

#[test]
fn a_syn_without_backend_is_reset_with_the_number_that_it_waits_for() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(0);
        let syn = Packet { payload: b"four".to_vec(), ..case.first() };
        let ended = balancer.receive(&syn);
        assert_eq!((ended.verdict, ended.answer), (DropNoBackend, Some(Answer::Reset)));
        let reset = segment(&ended.frame);
        assert_eq!(reset.macs, (FRONT_MAC, CLIENT_MAC));
        assert_eq!((reset.source, reset.destination), (case.vip(), case.client(1)));
        assert!(reset.header.rst && reset.header.ack && !reset.header.syn, "{case:?}");
        assert_eq!(reset.header.sequence_number, 0);
        assert_eq!(reset.header.acknowledgment_number, numbers(&syn).0 + 5, "SYN and four bytes");
        assert!(balancer.entries().is_empty());
    }
}

#[test]
fn a_segment_of_no_connection_is_reset_at_the_number_that_it_acknowledges() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(1);
        for kind in [flags::ACK, flags::ACK | flags::FIN, flags::SYN | flags::ACK] {
            let packet = Packet {
                payload: b"data".to_vec(),
                ..case.to_vip(case.client(1), case.vip(), kind)
            };
            let ended = balancer.receive(&packet);
            assert_eq!((ended.verdict, ended.answer), (DropNoConnection, Some(Answer::Reset)));
            let reset = segment(&ended.frame);
            assert!(reset.header.rst && !reset.header.ack, "{case:?}");
            assert_eq!(reset.header.sequence_number, numbers(&packet).1);
        }
    }
}

#[test]
fn a_listener_that_adopts_takes_what_the_others_reset() {
    for case in TCP_CASES {
        let mut listener = case.listener(1);
        listener.flags = SERVICE_PRESENT | SERVICE_ADOPT;
        let (mut balancer, _) = Balancer::with(&listener);
        assert_eq!(balancer.receive(&case.next()).verdict, Redirected, "{case:?}");
        assert_eq!(balancer.entries().len(), 1);
    }
}

#[test]
fn a_reset_is_never_answered() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(1);
        for kind in [flags::RST, flags::RST | flags::ACK] {
            let ended = balancer.receive(&case.to_vip(case.client(1), case.vip(), kind));
            assert_eq!((ended.verdict, ended.answer), (DropNoConnection, None), "{case:?}");
            assert_eq!(ended.action, Action::Drop);
        }
    }
}

#[test]
fn a_datagram_without_backend_is_told_that_the_port_is_unreachable() {
    for case in UDP_CASES {
        let (mut balancer, _) = case.balancer(0);
        let packet = case.first();
        let ended = balancer.receive(&packet);
        assert_eq!((ended.verdict, ended.answer), (DropNoBackend, Some(Answer::Unreachable)));
        let told = told(&ended.frame);
        assert_eq!(told.macs, (FRONT_MAC, CLIENT_MAC));
        assert_eq!((told.source, told.destination), (case.vip().ip(), case.client(1).ip()));
        assert_eq!(told.trouble, Some(Trouble::PortUnreachable));
        assert_eq!(told.quoted, network(&packet), "{case:?}");
    }
}

#[test]
fn a_listener_that_is_to_be_silent_drops_without_a_word() {
    for case in CASES {
        let mut listener = case.listener(0);
        listener.flags = SERVICE_PRESENT | SERVICE_SILENT;
        let (mut balancer, _) = Balancer::with(&listener);
        let ended = balancer.receive(&case.first());
        assert_eq!((ended.verdict, ended.answer), (DropNoBackend, None), "{case:?}");
        assert_eq!(ended.action, Action::Drop);
    }
}

/// The balancer's own addresses on the interface that packets come by.
pub(crate) fn own(case: Case) -> IpAddr {
    match case.family {
        Family::V4 => IpAddr::from([192, 0, 2, 77]),
        Family::V6 => "2001:db8:77::1".parse().unwrap(),
    }
}

/// Tells the program these.
pub(crate) fn set_own(balancer: &mut Balancer, interface: u32, vlan: u16) {
    let own = InterfaceAddresses { v4: words(own(CASES[0])), v6: words(own(CASES[2])) };
    let own = [(interface_key(interface, vlan), own)].into();
    balancer.kernel.set_own_addresses(&own).unwrap();
}

#[test]
fn a_packet_whose_ttl_ends_here_is_told_so_in_both_directions() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        case.establish(&mut balancer, case.client(1), case.vip());
        for known in [false, true] {
            if known {
                set_own(&mut balancer, INTERFACE, 0);
            }
            let packet = Packet { ttl: 1, ..case.next() };
            let ended = balancer.receive(&packet);
            assert_eq!((ended.verdict, ended.answer), (DropTtl, Some(Answer::TimeExceeded)));
            let to_client = told(&ended.frame);
            assert_eq!(to_client.macs, (FRONT_MAC, CLIENT_MAC));
            let source = if known { own(case) } else { case.vip().ip() };
            assert_eq!((to_client.source, to_client.destination), (source, case.client(1).ip()));
            assert_eq!(to_client.trouble, Some(Trouble::TimeExceeded));
            assert_eq!(to_client.quoted, network(&packet));
            let packet = Packet { ttl: 1, ..case.answer() };
            let ended = balancer.receive(&packet);
            assert_eq!(ended.verdict, DropTtl);
            // Without an address of its own the balancer has no name toward backends.
            assert_eq!(ended.answer, known.then_some(Answer::TimeExceeded), "{case:?}");
            if known {
                let to_backend = told(&ended.frame);
                assert_eq!(to_backend.macs, (packet.macs.1, packet.macs.0));
                assert_eq!(to_backend.source, own(case));
                assert_eq!(to_backend.destination, case.backend(1).ip());
                assert_eq!(to_backend.quoted, network(&packet));
            }
        }
    }
}

#[test]
fn an_answer_keeps_the_tags_of_the_frame_and_speaks_by_the_address_of_its_vlan() {
    for case in CASES {
        for tags in [vec![5], vec![7, 5]] {
            let (mut balancer, _) = case.balancer(1);
            set_own(&mut balancer, INTERFACE, tags[0]);
            let packet = Packet { tags: tags.clone(), ttl: 1, ..case.first() };
            let ended = balancer.receive(&packet);
            assert_eq!(ended.answer, Some(Answer::TimeExceeded), "{case:?}");
            let link = packet.network_at();
            assert_eq!(ended.frame[12..link], packet.bytes()[12..link], "{tags:?}");
            let told = told(&ended.frame);
            assert_eq!((told.source, told.quoted), (own(case), network(&packet)));
            if case.protocol == Protocol::Tcp {
                let packet = Packet { ttl: 64, ..case.next() };
                let ended = balancer.receive(&Packet { tags: tags.clone(), ..packet });
                assert_eq!(ended.answer, Some(Answer::Reset));
                assert_eq!(
                    ended.frame[12..link],
                    Packet { tags: tags.clone(), ..case.first() }.bytes()[12..link]
                );
                segment(&ended.frame);
            }
        }
    }
}

#[test]
fn a_long_packet_is_quoted_as_far_as_its_family_wants_and_options_are_left_out_of_a_reset() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(0);
        for length in [0, 1, 2, 3, 60, 61, 99, 100, 101, 1181, 1200, 1400] {
            balancer.fill_answer_buckets();
            let packet = Packet { ttl: 1, payload: vec![7; length], ..case.first() };
            let told = told(&balancer.receive(&packet).frame);
            let whole = network(&packet);
            let most = if case.family == Family::V4 { 128 } else { 1232 };
            let expected = whole.len().min(most) / 4 * 4;
            assert!(told.quoted == whole[..expected], "{case:?}, {length}: {}", told.quoted.len());
        }
        let extras = match case.family {
            Family::V4 => vec![(0, vec![1; 8])],
            Family::V6 => vec![(0, vec![1, 4, 0, 0, 0, 0])],
        };
        let packet = Packet { extras, payload: vec![7; 100], ..case.first() };
        let ended = balancer.receive(&packet);
        match case.protocol {
            Protocol::Tcp => {
                let reset = segment(&ended.frame);
                assert_eq!(reset.header.acknowledgment_number, numbers(&packet).0 + 101);
            }
            Protocol::Udp => {
                assert_eq!(told(&ended.frame).trouble, Some(Trouble::PortUnreachable));
            }
        }
    }
}

#[test]
fn frames_to_a_group_and_padding_are_no_reason_to_answer_wrongly() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(0);
        let group = Packet { macs: (CLIENT_MAC, [0xff; 6]), ..case.first() };
        let ended = balancer.receive(&group);
        assert_eq!((ended.verdict, ended.answer), (DropNoBackend, None), "{case:?}");
        let padded = Packet { padding: 11, ..case.first() };
        let ended = balancer.receive(&padded);
        match case.protocol {
            Protocol::Tcp => drop(segment(&ended.frame)),
            Protocol::Udp => {
                let whole = network(&case.first());
                assert_eq!(told(&ended.frame).quoted, whole[..whole.len() / 4 * 4]);
            }
        }
    }
}

#[test]
fn the_answers_of_a_processor_in_a_second_are_limited_and_what_is_held_back_is_counted() {
    for (case, answer, rate) in
        [(CASES[0], Answer::Reset, RESET_RATE), (CASES[1], Answer::Unreachable, ICMP_RATE)]
    {
        let (mut balancer, _) = case.balancer(0);
        let burst = rate / BURST_PARTS;
        let (before, frame) = (balancer.answers(), case.first().bytes());
        let transmitted = (0..burst * 5)
            .filter(|_| balancer.run(INTERFACE, &[], &frame).unwrap().0 == Action::Transmit)
            .count() as u64;
        let counted = |kind: Answer| {
            let kind = kind.index() as usize;
            balancer.answers()[kind] - before[kind]
        };
        assert_eq!(counted(answer), transmitted);
        assert_eq!(counted(Answer::Suppressed), u64::from(burst * 5) - transmitted);
        assert!(transmitted >= burst.into() && counted(Answer::Suppressed) > 0, "{transmitted}");
        // The other bucket is still full.
        let other = if case.protocol == Protocol::Tcp { CASES[1] } else { CASES[0] };
        balancer.listen(&other.listener(0));
        assert!(balancer.receive(&other.first()).answer.unwrap().sent());
    }
}

#[test]
fn every_verdict_that_is_answered_is_among_these() {
    let answered = [DropTtl, DropTooBig, DropNoConnection, DropNoBackend];
    for verdict in Verdict::ALL {
        let refused = verdict.action() == slb_common::Action::Refuse;
        assert_eq!(refused, answered.contains(verdict), "{verdict:?}");
    }
}

#[test]
fn a_connection_whose_listener_is_gone_is_reset_when_its_backend_is() {
    for case in TCP_CASES {
        let (mut balancer, installed) = case.balancer(1);
        case.establish(&mut balancer, case.client(1), case.vip());
        let target = Target { generation: 1, ..Target::new(case.backend(2)) };
        balancer.set_backend(installed.slots[0], installed.service, &target);
        let ended = balancer.receive(&case.next());
        assert_eq!((ended.verdict, ended.answer), (DropNoBackend, Some(Answer::Reset)));
        assert_eq!(segment(&ended.frame).header.sequence_number, numbers(&case.next()).1);
    }
}

#[test]
fn other_transports_than_tcp_and_udp_are_not_answered() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        let (from, to) = (case.client(1), case.vip());
        let other = Packet { ttl: 1, ..Packet::of(from, to, Transport::Other(132)) };
        assert_eq!(balancer.receive(&other).verdict, PassOtherProtocol);
    }
}

//! Traffic that is not the balancer's reaches the kernel as it came, and is counted by reason.

use slb_common::Verdict::{self, *};
use slb_tests::{
    icmp::{Trouble, error, network},
    packets::{Packet, Transport, flags},
};
use slb_userspace::config::model::Protocol;

use super::{
    balancer::{Action, Balancer},
    cases::{CASES, Case},
    listener::Listener,
};

/// The other protocol than the case's.
fn other(case: Case) -> Case {
    let protocol = match case.protocol {
        Protocol::Tcp => Protocol::Udp,
        Protocol::Udp => Protocol::Tcp,
    };
    Case { protocol, ..case }
}

/// Frames that pass, and why.
fn passing(case: Case) -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let mut stranger = case.client(9);
    stranger.set_port(80);
    let mut closed = case.vip();
    closed.set_port(81);
    let to = |destination| case.to_vip(case.client(1), destination, flags::SYN);
    let icmp = |source, destination| Packet {
        payload: vec![8, 0, 0xf7, 0xff, 0, 0, 0, 0],
        ..Packet::of(source, destination, Transport::Other(1))
    };
    let mut arp = vec![0xff; 42];
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let first = case.first();
    let header = if case.vip().is_ipv4() { 20 } else { 40 };
    let mut cut_tag = Packet { tags: vec![5], ..case.first() }.bytes();
    cut_tag.truncate(16);
    vec![
        ("ARP", arp, PassNotIp),
        ("tagged LLDP", [&[2; 12][..], &[0x81, 0, 0, 5, 0x88, 0xcc], &[0; 46]].concat(), PassNotIp),
        ("to nobody of ours", to(stranger).bytes(), PassNotOurs),
        (
            "a fragment to nobody of ours",
            Packet { fragment: Some((8, true)), ..to(stranger) }.bytes(),
            PassNotOurs,
        ),
        ("to a VIP's port without listener", to(closed).bytes(), PassNoListener),
        ("to a listener's port by the other protocol", other(case).first().bytes(), PassNoListener),
        ("ICMP to a VIP", icmp(case.client(1), case.vip()).bytes(), PassOtherProtocol),
        (
            "an ICMP error to a VIP that quotes nothing of ours",
            error(stranger.ip(), case.vip().ip(), Trouble::TimeExceeded, &network(&to(stranger)))
                .bytes(),
            PassIcmpNoConnection,
        ),
        ("from a backend, unasked", case.answer().bytes(), PassNoConnection),
        ("ICMP from a backend", icmp(case.backend(1), case.client(1)).bytes(), PassNoConnection),
        (
            "a fragment from a backend",
            Packet { fragment: Some((8, true)), ..case.answer() }.bytes(),
            PassNoConnection,
        ),
        (
            "a header cut off before its addresses",
            first.bytes()[..14 + header - 1].to_vec(),
            PassShort,
        ),
        ("a tag cut off", cut_tag, PassShort),
        ("nothing but an Ethernet header", first.bytes()[..14].to_vec(), PassShort),
    ]
}

#[test]
fn what_is_not_balanced_passes_untouched_and_leaves_no_entry() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(2);
        for (what, frame, verdict) in passing(case) {
            let ended = balancer.receive_frame(&frame);
            assert_eq!((ended.verdict, ended.action), (verdict, Action::Pass), "{case:?}: {what}");
            assert!(ended.frame == frame, "{case:?}: {what} was changed");
        }
        assert!(balancer.entries().is_empty());
        balancer.assert_consistent();
    }
}

#[test]
fn every_reason_to_pass_is_among_these() {
    let met: Vec<Verdict> = passing(CASES[0]).into_iter().map(|(_, _, verdict)| verdict).collect();
    let to_pass = |verdict: &&Verdict| verdict.action() == slb_common::Action::Pass;
    for verdict in Verdict::ALL.iter().filter(to_pass) {
        assert!(met.contains(verdict), "{verdict:?}");
    }
}

#[test]
fn a_program_without_any_listener_passes_everything() {
    for case in CASES {
        let mut balancer = Balancer::new();
        for packet in [case.first(), case.next(), case.answer()] {
            let ended = balancer.receive(&packet);
            assert_eq!(ended.verdict, PassNotOurs);
            assert_eq!(ended.frame, packet.bytes());
        }
    }
}

#[test]
fn a_listener_of_one_protocol_leaves_the_same_port_of_the_other_alone() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        case.establish(&mut balancer, case.client(1), case.vip());
        assert_eq!(balancer.receive(&other(case).next()).verdict, PassNoListener);
        // The client has a port of the same number in either protocol.
        let both = Listener::new(case.vip(), other(case).protocol, &[case.backend(1)]);
        balancer.listen(&both);
        assert_eq!(balancer.receive(&other(case).first()).verdict, Redirected);
        assert_eq!(balancer.entries().len(), 2);
    }
}

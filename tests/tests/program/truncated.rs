//! Packets cut off at every byte.

use std::fmt::Debug;

use slb_common::{Action::*, Verdict};
use slb_tests::packets::{Packet, flags};

use super::{
    balancer::{Balancer, INTERFACE},
    cases::CASES,
};

/// A test run takes no frame shorter than an Ethernet header.
const SHORTEST: usize = 14;

/// Receives a packet cut off at every byte: no piece is forwarded or changed.
pub(super) fn cut_off_anywhere(balancer: &mut Balancer, packet: &Packet, what: &impl Debug) {
    let frame = packet.bytes();
    for length in SHORTEST..frame.len() {
        let ended = balancer.receive_frame(&frame[..length]);
        assert_ne!(ended.verdict.action(), Forward, "{what:?}: {length} bytes");
        assert_eq!(ended.frame, frame[..length], "{what:?}: {length} bytes");
    }
}

#[test]
fn a_first_packet_cut_off_anywhere_opens_nothing() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        let extras = match case.vip().is_ipv4() {
            true => vec![(0, vec![1; 8])],
            false => vec![(0, vec![1; 6]), (60, vec![1; 14])],
        };
        for tags in [vec![], vec![5], vec![6, 5]] {
            for extras in [vec![], extras.clone()] {
                let packet =
                    Packet { tags: tags.clone(), extras, payload: vec![1; 8], ..case.first() };
                cut_off_anywhere(&mut balancer, &packet, &case);
                assert!(balancer.entries().is_empty(), "{packet:?}");
            }
        }
        balancer.assert_consistent();
    }
}

#[test]
fn a_packet_of_a_connection_cut_off_anywhere_changes_nothing() {
    for case in CASES {
        let (mut balancer, installed) = case.balancer(1);
        case.establish(&mut balancer, case.client(1), case.vip());
        let (entry, counters) =
            (balancer.entry(), balancer.kernel.service_counters(installed.service).unwrap());
        let closing = case.to_vip(case.client(1), case.vip(), flags::FIN | flags::ACK);
        let answer = case.reply(case.backend(1), case.client(1), flags::RST);
        for packet in [closing, answer] {
            let packet = Packet { tags: vec![5], payload: vec![1; 8], ..packet };
            cut_off_anywhere(&mut balancer, &packet, &case);
        }
        assert_eq!(balancer.entry().control, entry.control);
        assert_eq!(balancer.kernel.service_counters(installed.service).unwrap(), counters);
    }
}

#[test]
fn a_frame_shorter_than_an_ethernet_header_passes() {
    // Only behind metadata does a test run take one, and not in every kernel.
    let (mut balancer, _) = CASES[0].balancer(1);
    for length in 0..SHORTEST {
        if let Ok(ended) = balancer.receive_behind(INTERFACE, &[0; 16], &[0; 14][..length]) {
            assert_eq!(ended.verdict, Verdict::PassShort, "{length} bytes");
        }
    }
}

//! Fragments follow their first one, in every mode, there and back.

use std::{net::SocketAddr, time::Duration};

use slb_common::Verdict;
use slb_tests::packets::{
    Packet, Transport, endpoints,
    flags::{ACK, PSH},
};
use slb_userspace::config::model::{Family, Protocol};

use super::{
    balancer::{Action, ELSEWHERE, INTERFACE},
    cases::{CASES, Case, TCP_CASES, assert_sent},
    matrix::{Mode, Row, rows_of},
};

/// A packet of the first client in the middle of its connection that makes three pieces of 64.
fn long(case: Case) -> Packet {
    Packet { payload: (0..150).collect(), ..case.next() }
}

#[test]
fn fragments_follow_their_first_one_in_every_mode_whatever_their_order() {
    for row in rows_of(&Mode::ALL) {
        let (mut balancer, peer) = row.established();
        let packet = long(row.case);
        let (pieces, wanted) = (packet.pieces(64), row.to_backend(&packet, peer).pieces(64));
        assert_eq!(pieces.len(), 3);
        for order in [[0, 1, 2], [0, 2, 1]] {
            for number in order {
                let ended = balancer.receive(&pieces[number]);
                assert_sent(&ended, &wanted[number], ELSEWHERE);
            }
        }
        assert_eq!(balancer.entries().len(), 1, "{row:?}");
        balancer.assert_consistent();
    }
}

#[test]
fn fragments_with_tags_options_and_extension_headers_follow_as_well() {
    for row in rows_of(&Mode::ALL) {
        let extras = match row.case.family {
            Family::V4 => vec![(0, vec![1; 8])],
            Family::V6 => vec![(60, vec![0; 6]), (0, vec![0; 14])],
        };
        let (mut balancer, peer) = row.established();
        let packet = Packet { tags: vec![100, 200], extras: extras.clone(), ..long(row.case) };
        let wanted = row.to_backend(&packet, peer).pieces(64);
        for (piece, wanted) in packet.pieces(64).iter().zip(wanted) {
            assert_sent(&balancer.receive(piece), &wanted, ELSEWHERE);
        }
        if row.two_sided() {
            let (reply, payload) = (row.reply(peer, ACK | PSH), packet.payload);
            let reply = Packet { tags: vec![7, 8], extras, payload, ..reply };
            for (piece, wanted) in reply.pieces(64).iter().zip(row.to_client(&reply).pieces(64)) {
                assert_sent(&balancer.receive(piece), &wanted, INTERFACE);
            }
        }
    }
}

#[test]
fn a_datagrams_first_fragment_opens_its_flow() {
    for row in rows_of(&Mode::ALL).filter(|row| row.case.protocol == Protocol::Udp) {
        let mut balancer = row.balancer(0);
        let packet = Packet { payload: vec![7; 150], ..row.case.first() };
        let pieces = packet.pieces(64);
        let opened = balancer.receive(&pieces[0]);
        let peer = match row.mode {
            Mode::FullNat => {
                let ties = balancer.entry().ties;
                let port = u16::from_be_bytes(ties.local_port());
                SocketAddr::new(balancer.kernel.local(ties.local_address()), port)
            }
            _ => row.case.client(1),
        };
        let wanted = row.to_backend(&packet, peer).pieces(64);
        assert_sent(&opened, &wanted[0], ELSEWHERE);
        for (piece, wanted) in pieces.iter().zip(&wanted).skip(1) {
            assert_sent(&balancer.receive(piece), wanted, ELSEWHERE);
        }
    }
}

#[test]
fn a_fragment_more_than_a_second_behind_its_first_one_is_dropped() {
    let mut ready: Vec<_> = rows_of(&[Mode::Nat]).map(|row| (row, row.established())).collect();
    for (row, (balancer, _)) in &mut ready {
        assert_eq!(balancer.receive(&long(row.case).pieces(64)[0]).verdict, Verdict::Redirected);
    }
    std::thread::sleep(Duration::from_millis(1050));
    for (row, (balancer, peer)) in &mut ready {
        let packet = long(row.case);
        let (pieces, wanted) = (packet.pieces(64), row.to_backend(&packet, *peer).pieces(64));
        let late = balancer.receive(&pieces[1]).verdict;
        assert_eq!(late, Verdict::DropFragmentWithoutFirst, "{row:?}");
        // The next datagram that its sender gives the same number is another one.
        for (piece, wanted) in pieces.iter().zip(&wanted) {
            assert_sent(&balancer.receive(piece), wanted, ELSEWHERE);
        }
    }
}

#[test]
fn replies_in_fragments_come_from_the_vip() {
    for row in rows_of(&[Mode::Nat, Mode::FullNat]) {
        let (mut balancer, peer) = row.established();
        let reply = Packet { payload: (0..150).collect(), ..row.reply(peer, ACK | PSH) };
        for (piece, wanted) in reply.pieces(64).iter().zip(row.to_client(&reply).pieces(64)) {
            assert_sent(&balancer.receive(piece), &wanted, INTERFACE);
        }
    }
}

#[test]
fn a_fragment_without_its_first_one_is_dropped() {
    for row in rows_of(&Mode::ALL) {
        let (mut balancer, peer) = row.established();
        let packet = long(row.case);
        let (pieces, wanted) = (packet.pieces(64), row.to_backend(&packet, peer).pieces(64));
        for piece in [&pieces[1], &pieces[2]] {
            let verdict = balancer.receive(piece).verdict;
            assert_eq!(verdict, Verdict::DropFragmentWithoutFirst, "{row:?}");
        }
        // Somebody else's first one does not help.
        let other = Packet { source: row.case.client(2), ..pieces[0].clone() };
        balancer.receive(&other);
        let verdict = balancer.receive(&pieces[1]).verdict;
        assert_eq!(verdict, Verdict::DropFragmentWithoutFirst, "{row:?}");
        assert_sent(&balancer.receive(&pieces[0]), &wanted[0], ELSEWHERE);
        assert_sent(&balancer.receive(&pieces[1]), &wanted[1], ELSEWHERE);
    }
}

#[test]
fn a_fragment_that_cuts_a_header_is_dropped() {
    for case in TCP_CASES {
        let (mut balancer, _) = Row { mode: Mode::Nat, case }.established();
        let cut = &long(case).pieces(8)[0];
        assert_eq!(balancer.receive(cut).verdict, Verdict::DropTinyFragment, "{case:?}");
        // The first one is whole, but another would overwrite its flags.
        let pieces = long(case).pieces(64);
        assert_eq!(balancer.receive(&pieces[0]).verdict, Verdict::Redirected);
        let over = Packet { fragment: Some((1, true)), ..pieces[1].clone() };
        assert_eq!(balancer.receive(&over).verdict, Verdict::DropTinyFragment, "{case:?}");
    }
}

#[test]
fn a_full_fragment_table_refuses_and_says_so() {
    for case in CASES.into_iter().filter(|case| case.protocol == Protocol::Udp) {
        let (mut balancer, _) = case.balancer(1);
        let full = Verdict::DropFragmentTableFull.index();
        let before = balancer.kernel.verdict(full).unwrap();
        let refused = (1..3000_u16).find(|number| {
            let packet = case.to_vip(case.client(*number), case.vip(), 0);
            let frame = Packet { payload: vec![7; 150], ..packet }.pieces(64)[0].bytes();
            // Its counters are not read each time: places are free again after a second.
            let (action, _) = balancer.run(INTERFACE, &[], &frame).unwrap();
            action != Action::Redirect
        });
        assert_eq!(balancer.kernel.verdict(full).unwrap() - before, 1, "{case:?}");
        // 256 buckets of 4 for each family: half of them fill before the first is refused.
        assert!(refused.is_some_and(|number| number > 512), "{case:?}: {refused:?}");
    }
}

#[test]
fn a_first_fragment_that_is_dropped_takes_no_place() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(1);
        let pieces = long(case).pieces(64);
        assert_eq!(balancer.receive(&pieces[0]).verdict, Verdict::DropNoConnection);
        let verdict = balancer.receive(&pieces[1]).verdict;
        assert_eq!(verdict, Verdict::DropFragmentWithoutFirst, "{case:?}");
    }
}

#[test]
fn fragments_that_the_host_itself_is_meant_by_are_passed() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        let nobodys = SocketAddr::new(case.vip().ip(), 9999);
        let packet = Packet { destination: nobodys, ..long(case) };
        for piece in packet.pieces(64) {
            let ended = balancer.receive(&piece);
            assert_eq!(ended.verdict, Verdict::PassNoListener, "{case:?}");
            assert_eq!(ended.action, Action::Pass);
        }
        let protocol = if case.family == Family::V4 { 1 } else { 58 };
        for fragment in [(0, true), (8, true), (16, false)] {
            let echo = Packet {
                transport: Transport::Other(protocol),
                payload: vec![8; 64],
                fragment: Some(fragment),
                ..case.next()
            };
            assert_eq!(balancer.receive(&echo).action, Action::Pass, "{case:?}");
        }
    }
}

#[test]
fn endpoints_of_a_whole_packet_are_those_of_its_pieces() {
    // The oracle's own check: what it cuts is what etherparse puts together.
    for case in CASES {
        let packet = long(case);
        let bytes: Vec<u8> =
            packet.pieces(64).into_iter().flat_map(|piece| piece.payload).collect();
        assert_eq!(packet.bytes()[packet.transport_at()..], bytes);
        assert_eq!(endpoints(&packet.bytes()), (packet.source, packet.destination));
    }
}

//! Sound packets that are dropped nevertheless, each reason brought about by a packet.

use std::{net::SocketAddr, sync::atomic::Ordering::Relaxed};

use slb_common::{
    Verdict::*,
    connection::{BUCKET_WORDS_V4, BUCKET_WORDS_V6, ENTRIES_PER_CLIENT, offset},
    service::{Ring, SERVICE_PRESENT, SERVICE_STOPPED, scheduler},
    vip::VIP_STOPPED,
};
use slb_tests::packets::{Packet, endpoints, flags};
use slb_userspace::{
    bpf::mapping::Access,
    config::model::Family,
    maps::{Operation, operation::Addresses},
};

use super::{
    balancer::Balancer,
    cases::{CASES, Case},
    listener::{Listener, Target},
};

#[test]
fn a_packet_whose_ttl_ends_here_is_dropped_in_both_directions() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        for ttl in [0, 1] {
            assert_eq!(balancer.receive(&Packet { ttl, ..case.first() }).verdict, DropTtl);
        }
        assert!(balancer.entries().is_empty());
        case.establish(&mut balancer, case.client(1), case.vip());
        let before = balancer.entry();
        for ttl in [0, 1] {
            let closing = case.to_vip(case.client(1), case.vip(), flags::FIN | flags::ACK);
            let reset = case.reply(case.backend(1), case.client(1), flags::RST);
            for packet in [case.next(), case.answer(), closing, reset] {
                let ended = balancer.receive(&Packet { ttl, ..packet });
                assert_eq!(ended.verdict, DropTtl, "{case:?}");
            }
        }
        assert_eq!(balancer.entry().control, before.control, "what is dropped has no effect");
    }
}

#[test]
fn a_stopped_listener_takes_no_new_connection_and_keeps_the_open_ones() {
    for case in CASES {
        let mut listener = case.listener(1);
        let (mut balancer, installed) = Balancer::with(&listener);
        case.establish(&mut balancer, case.client(1), case.vip());
        listener.flags = SERVICE_PRESENT | SERVICE_STOPPED;
        let ring = balancer.kernel.service(installed.service).ring;
        balancer.set_service(installed.service, &listener, ring);
        let other = case.to_vip(case.client(2), case.vip(), flags::SYN);
        assert_eq!(balancer.receive(&other).verdict, DropStopped);
        assert_eq!(balancer.receive(&case.next()).verdict, Redirected);
        assert_eq!(balancer.receive(&case.answer()).verdict, Transmitted);
        assert_eq!(balancer.entries().len(), 1);
    }
}

#[test]
fn a_vip_whose_listeners_are_all_stopped_answers_on_no_port() {
    for case in CASES {
        let mut listener = case.listener(1);
        let (mut balancer, installed) = Balancer::with(&listener);
        let other = Listener { vips: vec![case.vip_number(2)], ..case.listener(1) };
        balancer.listen(&other);
        case.establish(&mut balancer, case.client(1), case.vip());
        listener.flags = SERVICE_PRESENT | SERVICE_STOPPED;
        let ring = balancer.kernel.service(installed.service).ring;
        balancer.set_service(installed.service, &listener, ring);
        balancer.apply(Operation::StopVip { vip: case.vip().ip() });
        let closed = |number| SocketAddr::new(case.vip_number(number).ip(), 81);
        let to = |number| case.to_vip(case.client(2), closed(number), flags::SYN);
        assert_eq!(balancer.receive(&to(1)).verdict, DropStopped, "{case:?}");
        assert_eq!(balancer.receive(&to(2)).verdict, PassNoListener, "{case:?}");
        assert_eq!(balancer.receive(&case.next()).verdict, Redirected, "{case:?}: drains");
        balancer.apply(Operation::StartVip { vip: case.vip().ip() });
        assert_eq!(balancer.receive(&to(1)).verdict, PassNoListener, "{case:?}");
    }
}

#[test]
fn a_vip_keeps_its_place_while_others_come_and_go() {
    let case = CASES[0];
    let mut balancer = Balancer::new();
    let vip = |number| case.vip_number(number).ip();
    let mut set = |numbers: &[u8]| {
        let addresses = numbers.iter().map(|number| vip(*number)).collect();
        balancer.apply(Operation::SetAddresses { which: Addresses::Vips, addresses });
        numbers.iter().map(|number| balancer.kernel.vip_place(vip(*number)).unwrap()).collect()
    };
    let first: Vec<u32> = set(&[1, 2, 3]);
    assert_eq!(set(&[2, 3, 4]), [first[1], first[2], first[0]]);
    assert_eq!(set(&[3, 2]), [first[2], first[1]]);
    balancer.apply(Operation::StopVip { vip: vip(3) });
    assert_eq!(balancer.kernel.vip_state(vip(3)).unwrap().flags, VIP_STOPPED);
    let nobody = Operation::SetAddresses { which: Addresses::Vips, addresses: vec![vip(2)] };
    balancer.apply(nobody);
    let again = Operation::SetAddresses { which: Addresses::Vips, addresses: vec![vip(2), vip(3)] };
    balancer.apply(again);
    assert_eq!(balancer.kernel.vip_state(vip(3)).unwrap().flags, 0, "it begins anew");
}

#[test]
fn a_listener_without_usable_backend_drops() {
    for case in CASES {
        let (mut balancer, installed) = case.balancer(0);
        for kind in [
            scheduler::ROUND_ROBIN,
            scheduler::LEAST_CONNECTIONS,
            scheduler::TWO_CHOICES,
            scheduler::SOURCE_HASH,
        ] {
            let ring = balancer.ring(kind, Vec::new());
            balancer.set_service(installed.service, &case.listener(0), ring);
            assert_eq!(balancer.receive(&case.first()).verdict, DropNoBackend, "{case:?}");
            assert!(balancer.entries().is_empty());
        }
    }
}

#[test]
fn a_client_that_is_the_backend_is_not_sent_to_itself() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        let client = SocketAddr::new(case.backend(1).ip(), 4000);
        let packet = case.to_vip(client, case.vip(), flags::SYN);
        assert_eq!(balancer.receive(&packet).verdict, DropHairpin);
        assert!(balancer.entries().is_empty());
    }
}

/// A program in which two VIPs lead to the same backends.
fn two_vips(case: Case, backends: u8) -> Balancer {
    let mut listener = case.listener(backends);
    listener.vips.push(case.vip_number(2));
    Balancer::with(&listener).0
}

#[test]
fn a_client_reaches_one_backend_by_one_vip_at_a_time_from_the_same_port() {
    for case in CASES {
        let mut balancer = two_vips(case, 1);
        case.establish(&mut balancer, case.client(1), case.vip());
        let second = case.to_vip(case.client(1), case.vip_number(2), flags::SYN);
        assert_eq!(balancer.receive(&second).verdict, DropTupleInUse, "{case:?}");
        assert_eq!(balancer.entries().len(), 1);
        let other_port = case.to_vip(case.client(2), case.vip_number(2), flags::SYN);
        assert_eq!(balancer.receive(&other_port).verdict, Redirected);
    }
}

#[test]
fn with_a_second_backend_the_other_vips_connection_goes_there() {
    for case in CASES {
        let mut balancer = two_vips(case, 2);
        // An odd number of turns between the two draws the same backend first.
        for (client, others) in [(1, 0), (2, 1)] {
            let first = case.establish(&mut balancer, case.client(client), case.vip());
            for other in 0..others {
                case.establish(&mut balancer, case.client(100 + other), case.vip());
            }
            let second = case.establish(&mut balancer, case.client(client), case.vip_number(2));
            assert_ne!(first, second, "{case:?}");
        }
    }
}

#[test]
fn a_full_table_drops_new_connections_and_gives_up_half_open_ones_first() {
    for case in CASES {
        // Eight places, which every client hashes to.
        let mut balancer = Balancer::with_buckets(2);
        balancer.listen(&case.listener(2));
        for number in 0..8 {
            let packet = case.to_vip(case.client(number), case.vip(), flags::SYN);
            assert_eq!(balancer.receive(&packet).verdict, Redirected);
        }
        for number in 8..16 {
            case.establish(&mut balancer, case.client(number), case.vip());
        }
        let established = balancer.entries();
        assert_eq!(established.len(), 8);
        for number in 16..32 {
            let packet = case.to_vip(case.client(number), case.vip(), flags::SYN);
            assert_eq!(balancer.receive(&packet).verdict, DropTableFull, "{case:?}");
        }
        assert_eq!(balancer.entries(), established);
        balancer.assert_consistent();
    }
}

#[test]
fn a_client_endpoint_holds_24_entries_at_most() {
    for case in CASES {
        let mut balancer = Balancer::new();
        let vips: Vec<SocketAddr> = (1..=25).map(|number| case.vip_number(number)).collect();
        for (vip, number) in vips.iter().zip(1..) {
            balancer.listen(&Listener::new(*vip, case.protocol, &[case.backend(number)]));
        }
        let (over, within) = vips.split_last().unwrap();
        assert_eq!(within.len(), ENTRIES_PER_CLIENT as usize);
        for vip in within {
            let packet = case.to_vip(case.client(1), *vip, flags::SYN);
            assert_eq!(balancer.receive(&packet).verdict, Redirected);
        }
        let packet = case.to_vip(case.client(1), *over, flags::SYN);
        assert_eq!(balancer.receive(&packet).verdict, DropClientFull, "{case:?}");
        let other = case.to_vip(case.client(2), *over, flags::SYN);
        assert_eq!(balancer.receive(&other).verdict, Redirected);
        balancer.assert_consistent();
    }
}

/// Locks or unlocks every bucket, as programs on other processors would.
fn turn_locks<const WORDS: usize>(balancer: &Balancer, map: &'static str, word: usize) {
    let table = balancer.object.mapping::<[u64; WORDS]>(map, Access::Write).unwrap();
    for bucket in 0..table.len() {
        table.words(bucket)[word].fetch_xor(1, Relaxed);
    }
}

#[test]
fn a_bucket_that_others_keep_locked_drops_the_first_packet_and_takes_its_repetition() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        let turn = |balancer: &Balancer| match case.family {
            Family::V4 => {
                turn_locks::<BUCKET_WORDS_V4>(balancer, "CONNECTIONS4", offset::bucket_word::<1>());
            }
            Family::V6 => {
                turn_locks::<BUCKET_WORDS_V6>(balancer, "CONNECTIONS6", offset::bucket_word::<3>());
            }
        };
        turn(&balancer);
        assert_eq!(balancer.receive(&case.first()).verdict, DropContended);
        assert!(balancer.entries().is_empty());
        turn(&balancer);
        assert_eq!(balancer.receive(&case.first()).verdict, Redirected);
        // A connection that is there already needs no lock.
        turn(&balancer);
        assert_eq!(balancer.receive(&case.next()).verdict, Redirected);
        assert_eq!(balancer.receive(&case.answer()).verdict, Transmitted);
    }
}

#[test]
fn a_backend_whose_next_hop_is_not_known_is_not_sent_to_until_it_is() {
    for case in CASES {
        let mut listener = case.listener(1);
        let known = listener.backends[0];
        listener.backends[0].interface = 0;
        let (mut balancer, installed) = Balancer::with(&listener);
        assert_eq!(balancer.receive(&case.first()).verdict, DropNoNextHop);
        balancer.set_backend(installed.slots[0], installed.service, &known);
        assert_eq!(balancer.receive(&case.first()).verdict, Redirected);
        assert_eq!(balancer.receive(&case.answer()).verdict, Transmitted);
    }
}

#[test]
fn a_ring_that_names_another_services_slot_draws_nobody() {
    for case in CASES {
        let (mut balancer, other) =
            Balancer::with(&Listener { vips: vec![case.vip_number(2)], ..case.listener(1) });
        let listener = case.listener(0);
        let installed = balancer.listen(&listener);
        let ring = balancer.ring(scheduler::ROUND_ROBIN, other.slots);
        balancer.set_service(installed.service, &listener, ring);
        assert_eq!(balancer.receive(&case.first()).verdict, DropNoBackend);
        assert!(balancer.entries().is_empty());
    }
}

#[test]
fn a_connection_whose_backends_slot_has_another_owner_goes_to_nobody() {
    for case in CASES {
        let (mut balancer, installed) = case.balancer(1);
        case.establish(&mut balancer, case.client(1), case.vip());
        let target = Target { generation: 1, ..Target::new(case.backend(2)) };
        balancer.set_backend(installed.slots[0], installed.service, &target);
        assert_eq!(balancer.receive(&case.next()).verdict, DropNoBackend, "{case:?}");
        let other = case.to_vip(case.client(2), case.vip(), flags::SYN);
        assert_eq!(endpoints(&balancer.receive(&other).frame).1, case.backend(2));
    }
}

#[test]
fn a_ring_that_names_a_slot_that_does_not_exist_is_an_internal_fault() {
    for case in CASES {
        let listener = case.listener(1);
        let (mut balancer, installed) = Balancer::with(&listener);
        let ring: Ring = balancer.ring(scheduler::ROUND_ROBIN, vec![1_000_000]);
        balancer.set_service(installed.service, &listener, ring);
        assert_eq!(balancer.receive(&case.first()).verdict, DropInternal);
        assert!(balancer.entries().is_empty());
    }
}

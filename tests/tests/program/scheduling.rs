//! Which backend a new connection gets.

use std::{collections::BTreeMap, net::SocketAddr};

use slb_common::{Verdict::*, service::scheduler};
use slb_tests::packets::{endpoints, flags};

use super::{
    balancer::Balancer,
    cases::{CASES, Case},
    listener::Listener,
};

/// A program whose listener schedules so, over backends of these weights.
fn balancer(case: Case, scheduler: u8, weights: &[u16]) -> (Balancer, Vec<u32>) {
    let mut listener = Listener { scheduler, ..case.listener(weights.len() as u8) };
    for (target, weight) in listener.backends.iter_mut().zip(weights) {
        target.weight = *weight;
    }
    let (balancer, installed) = Balancer::with(&listener);
    (balancer, installed.slots)
}

/// The backend of a new connection.
fn open(case: Case, balancer: &mut Balancer, client: u16) -> SocketAddr {
    let packet = case.to_vip(case.client(client), case.vip(), flags::SYN);
    let ended = balancer.receive(&packet);
    assert_eq!(ended.verdict, Redirected);
    endpoints(&ended.frame).1
}

/// New connections of so many clients by backend, in the order of backends.
fn counts(case: Case, balancer: &mut Balancer, clients: u16, backends: u8) -> Vec<u64> {
    let mut counts = BTreeMap::<SocketAddr, u64>::new();
    for client in 0..clients {
        *counts.entry(open(case, balancer, client)).or_default() += 1;
    }
    (1..=backends).map(|number| counts.get(&case.backend(number)).copied().unwrap_or(0)).collect()
}

#[test]
fn weights_3_2_1_give_300_200_and_100_of_600_connections() {
    for case in CASES {
        let (mut balancer, slots) = balancer(case, scheduler::ROUND_ROBIN, &[3, 2, 1]);
        assert_eq!(counts(case, &mut balancer, 600, 3), [300, 200, 100], "{case:?}");
        let gauges: Vec<_> = slots.iter().map(|slot| balancer.gauges(*slot)).collect();
        assert_eq!(gauges, [(0, 300), (0, 200), (0, 100)]);
        balancer.assert_consistent();
    }
}

#[test]
fn a_repeated_first_packet_takes_no_turn() {
    for case in CASES {
        let (mut balancer, _) = balancer(case, scheduler::ROUND_ROBIN, &[1, 1]);
        let first = open(case, &mut balancer, 1);
        for _ in 0..3 {
            assert_eq!(open(case, &mut balancer, 1), first);
        }
        assert_ne!(open(case, &mut balancer, 2), first);
    }
}

#[test]
fn least_connections_keeps_active_by_weight_within_one_connection() {
    for case in CASES {
        let weights = [100, 50, 10];
        let (mut balancer, slots) = balancer(case, scheduler::LEAST_CONNECTIONS, &weights);
        for opened in 1..=320_u64 {
            case.establish(&mut balancer, case.client(opened as u16), case.vip());
            for (slot, weight) in slots.iter().zip(weights) {
                let (active, _) = balancer.gauges(*slot);
                let fair = opened * u64::from(weight) / 160;
                assert!(active.abs_diff(fair) <= 1, "{opened} open: {active} of weight {weight}");
            }
        }
    }
}

#[test]
fn least_connections_gives_weight_0_nothing() {
    for case in CASES {
        let (mut balancer, _) = balancer(case, scheduler::LEAST_CONNECTIONS, &[0, 1]);
        assert_eq!(counts(case, &mut balancer, 20, 2), [0, 20]);
    }
}

#[test]
fn least_connections_refills_the_backend_whose_connections_have_closed() {
    use flags::{ACK, FIN};
    for case in CASES.into_iter().filter(|case| case.first().transport_is_tcp()) {
        let (mut balancer, _) = balancer(case, scheduler::LEAST_CONNECTIONS, &[1, 1]);
        let backends: Vec<_> = (0..20)
            .map(|client| case.establish(&mut balancer, case.client(client), case.vip()))
            .collect();
        for (client, backend) in backends.iter().enumerate().filter(|(_, b)| **b == case.backend(1))
        {
            let client = case.client(client as u16);
            balancer.receive(&case.to_vip(client, case.vip(), FIN | ACK));
            balancer.receive(&case.reply(*backend, client, FIN | ACK));
        }
        for client in 20..30 {
            let backend = case.establish(&mut balancer, case.client(client), case.vip());
            assert_eq!(backend, case.backend(1));
        }
    }
}

#[test]
fn the_lighter_of_two_drawn_backends_is_taken() {
    for case in CASES {
        let (mut balancer, slots) = balancer(case, scheduler::TWO_CHOICES, &[1, 1, 1, 1]);
        for client in 0..400 {
            case.establish(&mut balancer, case.client(client), case.vip());
        }
        // At random one would find them up to 30 apart; the better of two keeps them together.
        for slot in slots {
            assert!(balancer.gauges(slot).0.abs_diff(100) <= 10, "{:?}", balancer.gauges(slot));
        }
    }
}

#[test]
fn shortest_delay_takes_the_backend_that_would_answer_soonest() {
    for case in CASES {
        let (mut balancer, _) = balancer(case, scheduler::SHORTEST_DELAY, &[3, 1]);
        let mut establish = |client| case.establish(&mut balancer, case.client(client), case.vip());
        // (active + 1) / weight: 1/3, 2/3 and 3/3 are not above 1/1; then it is 4/3 against 1/1.
        let order: Vec<_> = (1..=4).map(&mut establish).collect();
        let [fast, slow] = [1, 2].map(|number| case.backend(number));
        assert_eq!(order, [fast, fast, fast, slow], "{case:?}");
        let fast_ones = (5..=40).map(&mut establish).filter(|backend| *backend == fast).count();
        assert_eq!(fast_ones, 27, "three of four");
    }
}

#[test]
fn never_queue_sends_one_to_each_idle_backend_before_it_goes_by_delay() {
    for case in CASES {
        let (mut balancer, slots) = balancer(case, scheduler::NEVER_QUEUE, &[100, 2, 1]);
        for client in 0..3 {
            case.establish(&mut balancer, case.client(client), case.vip());
        }
        let active: Vec<_> = slots.iter().map(|slot| balancer.gauges(*slot)).collect();
        assert_eq!(active, [(1, 0); 3], "{case:?}");
        for client in 3..43 {
            let backend = case.establish(&mut balancer, case.client(client), case.vip());
            assert_eq!(backend, case.backend(1));
        }
    }
}

#[test]
fn of_two_drawn_backends_sed_and_nq_take_the_one_that_they_prefer() {
    for case in CASES {
        for scheduler in [scheduler::SHORTEST_DELAY_OF_TWO, scheduler::NEVER_QUEUE_OF_TWO] {
            let (mut balancer, slots) = balancer(case, scheduler, &[1, 1, 1, 1]);
            for client in 0..400 {
                case.establish(&mut balancer, case.client(client), case.vip());
            }
            for slot in slots {
                assert!(balancer.gauges(slot).0.abs_diff(100) <= 10, "{:?}", balancer.gauges(slot));
            }
        }
    }
}

#[test]
fn a_tuple_hash_spreads_the_ports_of_one_client_and_finds_each_again_on_another_node() {
    for case in CASES {
        let mut nodes = [0, 1].map(|_| balancer(case, scheduler::TUPLE_HASH, &[1, 1, 1, 1]).0);
        let mut counts = BTreeMap::<SocketAddr, u16>::new();
        for port in 0..400 {
            let client = SocketAddr::new(case.client(1).ip(), 20_000 + port);
            let packet = case.to_vip(client, case.vip(), flags::SYN);
            let [one, two] = nodes.each_mut().map(|node| endpoints(&node.receive(&packet).frame).1);
            assert_eq!(one, two);
            *counts.entry(one).or_default() += 1;
        }
        assert_eq!(counts.len(), 4, "{case:?}");
        assert!(counts.values().all(|count| (60..140).contains(count)), "{case:?}: {counts:?}");
    }
}

#[test]
fn a_source_address_is_always_sent_to_the_same_backend() {
    for case in CASES {
        let (mut balancer, _) = balancer(case, scheduler::SOURCE_HASH, &[1, 1, 1, 1]);
        let first: Vec<_> = (0..50).map(|client| open(case, &mut balancer, client)).collect();
        for client in 0..50_u16 {
            let other_port = SocketAddr::new(case.client(client).ip(), 61_000 + client);
            let packet = case.to_vip(other_port, case.vip(), flags::SYN);
            let (_, backend) = endpoints(&balancer.receive(&packet).frame);
            assert_eq!(backend, first[usize::from(client)]);
        }
    }
}

#[test]
fn sources_spread_over_the_backends_of_a_hash() {
    for case in CASES {
        let (mut balancer, _) = balancer(case, scheduler::SOURCE_HASH, &[1, 1, 1, 1]);
        let counts = counts(case, &mut balancer, 1000, 4);
        assert!(counts.iter().all(|count| (180..320).contains(count)), "{case:?}: {counts:?}");
    }
}

#[test]
fn another_node_sends_a_source_to_the_same_backend() {
    for case in CASES {
        let mut nodes = [0, 1].map(|_| balancer(case, scheduler::SOURCE_HASH, &[3, 2, 1]).0);
        for client in 0..50 {
            let [one, two] = nodes.each_mut().map(|node| open(case, node, client));
            assert_eq!(one, two);
        }
    }
}

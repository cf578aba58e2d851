//! Direct routing and what it has in common with tunnels: only the client's direction passes by.

use slb_common::{
    Verdict,
    connection::{CLOSED_TIMEOUT, state, ticks},
    service::mode,
};
use slb_tests::{
    icmp::{Trouble, error, network},
    packets::{
        Packet,
        flags::{ACK, FIN, PSH, RST, SYN},
    },
};
use slb_userspace::config::model::Protocol;

use super::{
    balancer::{Action, Balancer, ELSEWHERE, INTERFACE, OWN_MAC},
    cases::{CASES, Case, TCP_CASES, answered, assert_sent, forwarded},
    forwarding::variations,
    listener::{Installed, Target},
};

/// The modes whose replies nobody sees here.
const ONE_SIDED: [u8; 2] = [mode::DIRECT, mode::TUNNEL];

pub(crate) use slb_tests::program::modes::one_sided as listener;

/// A program with that listener, and with sources for tunnels.
pub(crate) fn balancer(case: Case, mode: u8, backends: u8) -> (Balancer, Installed) {
    let (mut balancer, installed) = Balancer::with(&listener(case, mode, backends));
    super::tunnel::set_sources(&mut balancer);
    (balancer, installed)
}

/// The packet as it leaves toward the first backend, which stands behind another interface.
pub(crate) fn directed(packet: &Packet) -> Packet {
    let macs = (OWN_MAC, [2, 0, 0, 0, 1, 1]);
    Packet { macs, tags: Vec::new(), ttl: packet.ttl - 1, ..packet.clone() }
}

#[test]
fn in_direct_routing_a_packet_leaves_for_its_backends_mac_one_hop_older_and_otherwise_as_it_came() {
    for case in CASES {
        let (mut balancer, _) = balancer(case, mode::DIRECT, 1);
        for packet in [vec![case.first()], variations(&case.next())].concat() {
            assert_sent(&balancer.receive(&packet), &directed(&packet), ELSEWHERE);
        }
        assert_eq!(balancer.entries().len(), 1);
        balancer.assert_consistent();
    }
}

#[test]
fn in_direct_routing_the_tag_is_the_next_hops_whatever_tags_a_packet_came_with() {
    for case in CASES {
        let (mut balancer, installed) = balancer(case, mode::DIRECT, 1);
        for (vlan, leaving) in [(0, &[][..]), (7, &[7][..])] {
            let target = Target { vlan, ..Target::new(case.backend(1)) };
            balancer.set_backend(installed.slots[0], installed.service, &target);
            // Two tags too: nothing has to find the way back.
            for tags in [&[][..], &[5], &[6, 5], &[0]] {
                for packet in [case.first(), case.next()] {
                    let packet = Packet { tags: tags.to_vec(), ..packet };
                    let expected = Packet { tags: leaving.to_vec(), ..directed(&packet) };
                    assert_sent(&balancer.receive(&packet), &expected, ELSEWHERE);
                }
            }
        }
    }
}

#[test]
fn a_backend_behind_the_clients_interface_is_sent_to_by_it() {
    for case in CASES {
        let mut listener = listener(case, mode::DIRECT, 1);
        listener.backends[0].interface = INTERFACE;
        let (mut balancer, _) = Balancer::with(&listener);
        assert_sent(&balancer.receive(&case.first()), &directed(&case.first()), INTERFACE);
    }
}

#[test]
fn a_connection_of_which_one_side_is_seen_is_followed_by_what_the_client_sends() {
    const ACTIVE: (u64, u64) = (1, 0);
    const INACTIVE: (u64, u64) = (0, 1);
    for (case, mode) in TCP_CASES.into_iter().flat_map(|case| ONE_SIDED.map(|mode| (case, mode))) {
        let (mut balancer, installed) = balancer(case, mode, 1);
        for (tcp, wanted, gauges) in [
            (SYN, state::SYN, INACTIVE),
            (SYN, state::SYN, INACTIVE),
            (ACK, state::ESTABLISHED, ACTIVE),
            (ACK | PSH, state::ESTABLISHED, ACTIVE),
            (SYN, state::ESTABLISHED, ACTIVE),
            (FIN | ACK, state::FIN, INACTIVE),
            (ACK, state::FIN, INACTIVE),
            // New, on the same ports.
            (SYN, state::SYN, INACTIVE),
            (ACK, state::ESTABLISHED, ACTIVE),
            (RST, state::CLOSED, INACTIVE),
            (SYN, state::SYN, INACTIVE),
            (RST, state::CLOSED, INACTIVE),
        ] {
            let ended = balancer.receive(&case.to_vip(case.client(1), case.vip(), tcp));
            assert_eq!(ended.verdict, Verdict::Redirected);
            let now = balancer.entry().control.state();
            assert_eq!(state::name(now), state::name(wanted), "{case:?} after {tcp:#x}");
            assert_eq!(balancer.gauges(installed.slots[0]), gauges, "{case:?} after {tcp:#x}");
            balancer.assert_consistent();
        }
        let service = balancer.kernel.service(installed.service);
        assert_eq!(service.timeouts.of(state::FIN), ticks(60));
        assert_eq!(service.timeouts.of(state::CLOSED), CLOSED_TIMEOUT);
    }
}

#[test]
fn a_syn_with_another_number_counts_as_a_connection_and_changes_nothing_of_an_established_one() {
    for (case, mode) in TCP_CASES.into_iter().flat_map(|case| ONE_SIDED.map(|mode| (case, mode))) {
        let (mut balancer, installed) = balancer(case, mode, 2);
        let segment = |tcp, sequence: u32| {
            case.to_vip(case.client(1), case.vip(), tcp).numbered(sequence, 0x0708_0910)
        };
        let (first, second, third, fourth) = (0x1000, 0x9000_1000, 0x1001, 0x7fff_0000);
        for (what, packet, connections, state) in [
            ("the first", segment(SYN, first), 1, state::SYN),
            ("repeated", segment(SYN, first), 1, state::SYN),
            ("after a refusal that nobody saw", segment(SYN, second), 2, state::SYN),
            ("repeated", segment(SYN, second), 2, state::SYN),
            ("answered", segment(ACK, second + 1), 2, state::ESTABLISHED),
            ("its first SYN, late", segment(SYN, second), 2, state::ESTABLISHED),
            (
                "after a reset that nobody saw, or forged",
                segment(SYN, third),
                3,
                state::ESTABLISHED,
            ),
            ("repeated", segment(SYN, third), 3, state::ESTABLISHED),
            ("the open one goes on", segment(ACK | PSH, second + 1), 3, state::ESTABLISHED),
            (
                "the end of a stranger",
                segment(FIN | ACK, third + 1 + (1 << 30)),
                3,
                state::ESTABLISHED,
            ),
            ("its own end", segment(FIN | ACK, second + 1), 3, state::FIN),
        ] {
            let ended = balancer.receive(&packet);
            assert_eq!(ended.verdict, Verdict::Redirected, "{case:?} {mode}: {what}");
            // The same backend for all.
            let sent = match mode {
                mode::DIRECT => directed(&packet),
                _ => super::tunnel::tunnelled(&packet, case.backend(1).ip()),
            };
            assert_sent(&ended, &sent, ELSEWHERE);
            let counted = balancer.kernel.service_counters(installed.service).unwrap().0;
            assert_eq!(counted.connections, connections, "{case:?} {mode}: {what}");
            let now = balancer.entry().control.state();
            assert_eq!(state::name(now), state::name(state), "{case:?} {mode}: {what}");
        }
        // Closing, it gives way: the next backend's turn.
        assert_eq!(balancer.receive(&segment(SYN, fourth)).verdict, Verdict::Redirected);
        let counted = balancer.kernel.service_counters(installed.service).unwrap().0;
        assert_eq!((counted.connections, balancer.entries().len()), (4, 1));
        assert_eq!(balancer.entry().seen.slot(), installed.slots[1], "{case:?} {mode}");
        balancer.receive(&segment(SYN, fourth));
        let counted = balancer.kernel.service_counters(installed.service).unwrap().0;
        assert_eq!(counted.connections, 4, "{case:?} {mode}");
        balancer.assert_consistent();
    }
}

#[test]
fn an_adopted_segment_establishes_nothing_by_itself_where_no_answer_is_seen() {
    for (case, mode) in TCP_CASES.into_iter().flat_map(|case| ONE_SIDED.map(|mode| (case, mode))) {
        let mut listener = listener(case, mode, 1);
        listener.flags |= slb_common::service::SERVICE_ADOPT;
        let (mut balancer, _) = Balancer::with(&listener);
        super::tunnel::set_sources(&mut balancer);
        for wanted in [state::SYN, state::ESTABLISHED] {
            assert_eq!(balancer.receive(&case.next()).verdict, Verdict::Redirected);
            assert_eq!(balancer.entry().control.state(), wanted);
        }
    }
}

#[test]
fn a_udp_flow_of_which_one_side_is_seen_is_active_after_three_packets_and_two_seconds() {
    let udp = CASES.into_iter().filter(|case| case.protocol == Protocol::Udp);
    let mut all: Vec<_> =
        udp.flat_map(|case| ONE_SIDED.map(|mode| (case, balancer(case, mode, 1)))).collect();
    for (case, (balancer, installed)) in &mut all {
        for _ in 0..20 {
            balancer.receive(&case.first());
        }
        assert_eq!(balancer.gauges(installed.slots[0]), (0, 1), "at once: {case:?}");
        let other = case.to_vip(case.client(2), case.vip(), 0);
        balancer.receive(&other);
    }
    // Ticks are a quarter of a second.
    std::thread::sleep(std::time::Duration::from_millis(2600));
    for (case, (balancer, installed)) in &mut all {
        balancer.receive(&case.first());
        assert_eq!(balancer.gauges(installed.slots[0]), (1, 1), "the first flow: {case:?}");
        // The second one's second packet, however late, and its third.
        let other = case.to_vip(case.client(2), case.vip(), 0);
        balancer.receive(&other);
        assert_eq!(balancer.gauges(installed.slots[0]), (1, 1), "the second flow: {case:?}");
        balancer.receive(&other);
        assert_eq!(balancer.gauges(installed.slots[0]), (2, 0), "the second flow: {case:?}");
        balancer.assert_consistent();
    }
}

#[test]
fn what_a_backend_sends_to_its_clients_itself_passes_untouched() {
    for (case, mode) in CASES.into_iter().flat_map(|case| ONE_SIDED.map(|mode| (case, mode))) {
        let (mut balancer, installed) = balancer(case, mode, 1);
        balancer.receive(&case.first());
        let before = balancer.entry();
        let own = std::net::SocketAddr::new(case.backend(1).ip(), case.vip().port());
        for source in [case.vip(), own, case.backend(1)] {
            let packet = case.reply(source, case.client(1), SYN | ACK);
            let ended = balancer.receive(&packet);
            assert_eq!(ended.action, Action::Pass, "{case:?} {source}");
            assert_eq!(ended.frame, packet.bytes());
        }
        assert_eq!(balancer.entry(), before);
        let counted = balancer.kernel.service_counters(installed.service).unwrap().0;
        assert_eq!((counted.packets_in, counted.packets_out), (1, 0));
    }
}

#[test]
fn one_client_endpoint_may_reach_a_backend_by_two_vips_where_these_tell_replies_apart() {
    for (case, mode) in CASES.into_iter().flat_map(|case| ONE_SIDED.map(|mode| (case, mode))) {
        let mut listener = listener(case, mode, 1);
        listener.vips.push(case.vip_number(2));
        let (mut balancer, _) = Balancer::with(&listener);
        super::tunnel::set_sources(&mut balancer);
        for vip in [case.vip(), case.vip_number(2)] {
            let first = case.to_vip(case.client(1), vip, SYN);
            assert_eq!(balancer.receive(&first).verdict, Verdict::Redirected);
        }
        assert_eq!(balancer.entries().len(), 2);
    }
}

#[test]
fn a_backend_that_is_its_own_client_is_refused_in_every_mode() {
    for (case, mode) in CASES.into_iter().flat_map(|case| ONE_SIDED.map(|mode| (case, mode))) {
        let (mut balancer, _) = balancer(case, mode, 1);
        let client = std::net::SocketAddr::new(case.backend(1).ip(), 4711);
        let first = case.to_vip(client, case.vip(), SYN);
        assert_eq!(balancer.receive(&first).verdict, Verdict::DropHairpin);
    }
}

#[test]
fn a_packet_whose_ttl_ends_here_goes_nowhere_in_any_mode() {
    for (case, mode) in CASES.into_iter().flat_map(|case| ONE_SIDED.map(|mode| (case, mode))) {
        let (mut balancer, _) = balancer(case, mode, 1);
        for ttl in [0, 1] {
            let packet = Packet { ttl, ..case.first() };
            assert_eq!(balancer.receive(&packet).verdict, Verdict::DropTtl);
        }
        assert!(balancer.entries().is_empty());
        balancer.receive(&case.first());
        for ttl in [0, 1] {
            let packet = Packet { ttl, ..case.next() };
            assert_eq!(balancer.receive(&packet).verdict, Verdict::DropTtl);
        }
    }
}

#[test]
fn a_connection_keeps_the_mode_that_it_was_opened_in() {
    for case in CASES {
        let mut listener = listener(case, mode::NAT, 1);
        let backend = listener.backends[0].address;
        let (mut balancer, installed) = Balancer::with(&listener);
        super::tunnel::set_sources(&mut balancer);
        let modes = [mode::NAT, mode::DIRECT, mode::TUNNEL];
        let ring = balancer.kernel.service(installed.service).ring;
        for (number, mode) in (1..).zip(modes) {
            listener.mode = mode;
            balancer.set_service(installed.service, &listener, ring);
            balancer.receive(&case.to_vip(case.client(number), case.vip(), SYN));
        }
        for now in modes {
            listener.mode = now;
            balancer.set_service(installed.service, &listener, ring);
            for (number, mode) in (1..).zip(modes) {
                let packet = case.to_vip(case.client(number), case.vip(), ACK);
                let expected = match mode {
                    mode::NAT => forwarded(&packet, backend),
                    mode::DIRECT => directed(&packet),
                    _ => super::tunnel::tunnelled(&packet, backend.ip()),
                };
                assert_sent(&balancer.receive(&packet), &expected, ELSEWHERE);
            }
            let reply = case.reply(backend, case.client(1), ACK);
            assert_sent(&balancer.receive(&reply), &answered(&reply, case.vip()), INTERFACE);
        }
    }
}

#[test]
fn an_icmp_error_about_a_reply_goes_the_way_of_the_clients_packets_as_it_is() {
    for (case, mode) in CASES.into_iter().flat_map(|case| ONE_SIDED.map(|mode| (case, mode))) {
        let (mut balancer, _) = balancer(case, mode, 1);
        balancer.receive(&case.first());
        let before = balancer.entry();
        let reply = case.reply(case.vip(), case.client(1), ACK);
        let router = case.client(9).ip();
        for trouble in Trouble::ALL {
            let packet = error(router, case.vip().ip(), trouble, &network(&reply));
            let expected = match mode {
                mode::DIRECT => directed(&packet),
                _ => super::tunnel::tunnelled(&packet, case.backend(1).ip()),
            };
            assert_sent(&balancer.receive(&packet), &expected, ELSEWHERE);
        }
        assert_eq!(balancer.entry(), before, "an error changes nothing");
    }
}

#[test]
fn an_icmp_error_of_a_backend_about_a_clients_packet_reaches_the_client_as_it_is() {
    for (case, mode) in CASES.into_iter().flat_map(|case| ONE_SIDED.map(|mode| (case, mode))) {
        let (mut balancer, _) = balancer(case, mode, 1);
        balancer.receive(&case.first());
        let quote = network(&case.next());
        let trouble = Trouble::PortUnreachable;
        let packet = error(case.vip().ip(), case.client(1).ip(), trouble, &quote);
        let ended = balancer.receive(&packet);
        // It passes by, unless the balancer is its router: then the kernel forwards it.
        assert_eq!(ended.action, Action::Pass, "{case:?} {mode}");
        assert_eq!(ended.frame, packet.bytes());
    }
}

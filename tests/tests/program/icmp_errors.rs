//! ICMP errors that concern a connection reach its other side, translated; what they quote is
//! built by etherparse before and after.

use std::net::IpAddr;

use slb_common::Verdict::*;
use slb_tests::{
    icmp::{Trouble, error, network, ping},
    packets::{Packet, flags},
};
use slb_userspace::{config::model::Family, maps::Operation};

use super::{
    balancer::{Action, Balancer, OWN_MAC},
    cases::{CASES, CLIENT_MAC, Case, FRONT_MAC, assert_sent},
};

/// A router toward the client, or behind the balancer.
fn router(case: Case) -> IpAddr {
    match case.family {
        Family::V4 => IpAddr::from([203, 0, 114, 9]),
        Family::V6 => "2001:db8:9::9".parse().unwrap(),
    }
}

/// A balancer with one connection of the first client.
fn connected(case: Case) -> Balancer {
    let (mut balancer, _) = case.balancer(1);
    case.establish(&mut balancer, case.client(1), case.vip());
    balancer
}

/// What a router toward the client quotes: the reply as the client would get it.
fn reply_seen_outside(case: Case) -> Packet {
    Packet { source: case.vip(), ..case.reply(case.backend(1), case.client(1), flags::ACK) }
}

/// The same as the backend sent it.
fn reply_seen_inside(case: Case) -> Packet {
    Packet { source: case.backend(1), ..reply_seen_outside(case) }
}

/// What a router behind the balancer quotes: the client's packet as the backend would get it.
fn request_seen_inside(case: Case) -> Packet {
    Packet { destination: case.backend(1), ..case.next() }
}

/// An error about a reply, from a router to the VIP.
fn from_outside(case: Case, trouble: Trouble, quoted: usize) -> Packet {
    let bytes = network(&reply_seen_outside(case));
    let quote = &bytes[..quoted.min(bytes.len())];
    let macs = (CLIENT_MAC, FRONT_MAC);
    Packet { macs, ..error(router(case), case.vip().ip(), trouble, quote) }
}

/// The same as the backend gets it.
fn to_backend(case: Case, trouble: Trouble, quoted: usize) -> Packet {
    let bytes = network(&reply_seen_inside(case));
    let quote = &bytes[..quoted.min(bytes.len())];
    let macs = (OWN_MAC, [2, 0, 0, 0, 1, 1]);
    let error = error(router(case), case.backend(1).ip(), trouble, quote);
    Packet { macs, ttl: 63, ..error }
}

/// An error about the client's packet, from `source` behind the balancer.
fn from_inside(case: Case, source: IpAddr, trouble: Trouble, quoted: usize) -> Packet {
    let bytes = network(&request_seen_inside(case));
    let quote = &bytes[..quoted.min(bytes.len())];
    let macs = ([2, 0, 0, 0, 1, 1], OWN_MAC);
    Packet { macs, ..error(source, case.client(1).ip(), trouble, quote) }
}

/// The same as the client gets it.
fn to_client(case: Case, source: IpAddr, trouble: Trouble, quoted: usize) -> Packet {
    let bytes = network(&case.next());
    let quote = &bytes[..quoted.min(bytes.len())];
    let macs = (FRONT_MAC, CLIENT_MAC);
    Packet { macs, ttl: 63, ..error(source, case.client(1).ip(), trouble, quote) }
}

/// Bytes of the quoted network header and of eight more: what an error quotes at least.
fn least(case: Case) -> usize {
    if case.family == Family::V4 { 28 } else { 48 }
}

#[test]
fn an_error_to_a_vip_goes_to_the_backend_as_if_it_spoke_of_its_own_packet() {
    for case in CASES {
        let mut balancer = connected(case);
        for trouble in Trouble::ALL {
            for quoted in [least(case), least(case) + 10, least(case) + 12, 1000] {
                let ended = balancer.receive(&from_outside(case, trouble, quoted));
                assert_sent(&ended, &to_backend(case, trouble, quoted), super::balancer::ELSEWHERE);
            }
        }
    }
}

#[test]
fn an_error_from_a_backend_or_a_router_before_it_goes_to_the_client() {
    for case in CASES {
        let mut balancer = connected(case);
        for (source, seen) in
            [(case.backend(1).ip(), case.vip().ip()), (router(case), router(case))]
        {
            for trouble in Trouble::ALL {
                for quoted in [least(case), least(case) + 10, least(case) + 12, 1000] {
                    let ended = balancer.receive(&from_inside(case, source, trouble, quoted));
                    let expected = to_client(case, seen, trouble, quoted);
                    assert_sent(&ended, &expected, super::balancer::INTERFACE);
                }
            }
        }
    }
}

#[test]
fn an_error_changes_nothing_of_the_connection_that_it_speaks_of() {
    for case in CASES {
        let mut balancer = connected(case);
        let before = balancer.entry();
        std::thread::sleep(std::time::Duration::from_millis(200));
        balancer.receive(&from_outside(case, Trouble::PortUnreachable, 1000));
        balancer.receive(&from_inside(case, router(case), Trouble::NetUnreachable, 1000));
        assert_eq!(balancer.entry(), before, "{case:?}");
    }
}

#[test]
fn an_error_that_quotes_less_than_the_ports_or_no_connection_passes_untouched() {
    for case in CASES {
        let mut balancer = connected(case);
        for quoted in 0..least(case) {
            let outside = from_outside(case, Trouble::TimeExceeded, quoted);
            let inside = from_inside(case, router(case), Trouble::TimeExceeded, quoted);
            for (packet, verdict) in [(outside, PassIcmpNoConnection), (inside, PassNotOurs)] {
                let ended = balancer.receive(&packet);
                assert_eq!((ended.verdict, ended.action), (verdict, Action::Pass), "{quoted}");
                assert!(ended.frame == packet.bytes(), "{case:?}: {quoted}");
            }
        }
        let mut stranger = reply_seen_outside(case);
        stranger.destination.set_port(1);
        let to_vip =
            error(router(case), case.vip().ip(), Trouble::NetUnreachable, &network(&stranger));
        assert_eq!(balancer.receive(&to_vip).verdict, PassIcmpNoConnection, "{case:?}");
        let mut stranger = request_seen_inside(case);
        stranger.source.set_port(1);
        let (client, quote) = (case.client(1).ip(), network(&stranger));
        let inside = error(router(case), client, Trouble::NetUnreachable, &quote);
        assert_eq!(balancer.receive(&inside).verdict, PassNotOurs, "{case:?}");
        let backend = error(case.backend(1).ip(), client, Trouble::NetUnreachable, &quote);
        assert_eq!(balancer.receive(&backend).verdict, PassNoConnection, "{case:?}");
    }
}

#[test]
fn an_error_to_somebody_else_than_the_sender_of_what_it_quotes_passes() {
    for case in CASES {
        let mut balancer = connected(case);
        let quote = network(&request_seen_inside(case));
        let other = error(router(case), case.client(2).ip(), Trouble::TimeExceeded, &quote);
        assert_eq!(balancer.receive(&other).verdict, PassNotOurs, "{case:?}");
        let to_vip = error(router(case), case.vip().ip(), Trouble::TimeExceeded, &quote);
        assert_eq!(balancer.receive(&to_vip).verdict, PassIcmpNoConnection, "{case:?}");
    }
}

#[test]
fn frames_cut_off_at_every_byte_of_an_error_come_to_no_harm() {
    for case in CASES {
        let mut balancer = connected(case);
        for packet in [
            from_outside(case, Trouble::TooBig(1400), 1000),
            from_inside(case, case.backend(1).ip(), Trouble::TooBig(1400), 1000),
        ] {
            let bytes = packet.bytes();
            for length in 14..bytes.len() {
                let cut = &bytes[..length];
                let ended = balancer.receive_frame(cut);
                assert!(!matches!(ended.verdict, Transmitted | Redirected), "{length}");
                assert!(ended.frame == cut, "{case:?}, {length}: changed");
            }
        }
        balancer.assert_consistent();
    }
}

#[test]
fn tags_options_and_extension_headers_around_and_inside_an_error_are_looked_through() {
    for case in CASES {
        let mut balancer = connected(case);
        let extras = match case.family {
            Family::V4 => vec![(0, vec![1; 8])],
            Family::V6 => vec![(60, vec![1, 4, 0, 0, 0, 0]), (0, vec![1, 4, 0, 0, 0, 0])],
        };
        let trouble = Trouble::TooBig(1400);
        let quote = |packet: Packet| network(&Packet { extras: extras.clone(), ..packet });
        let around = |packet: Packet| Packet { extras: extras.clone(), ..packet };
        let error = |source, to, quote: &[u8]| around(error(source, to, trouble, quote));
        let before = error(router(case), case.vip().ip(), &quote(reply_seen_outside(case)));
        let after = error(router(case), case.backend(1).ip(), &quote(reply_seen_inside(case)));
        let before = Packet { tags: vec![3, 4], ..before };
        let after = Packet { macs: (OWN_MAC, [2, 0, 0, 0, 1, 1]), ttl: 63, ..after };
        assert_sent(&balancer.receive(&before), &after, super::balancer::ELSEWHERE);
    }
}

#[test]
fn an_error_whose_ttl_ends_here_is_dropped_and_not_answered() {
    for case in CASES {
        let mut balancer = connected(case);
        for packet in [
            from_outside(case, Trouble::TooBig(1400), 1000),
            from_inside(case, router(case), Trouble::TooBig(1400), 1000),
        ] {
            let ended = balancer.receive(&Packet { ttl: 1, ..packet });
            assert_eq!((ended.verdict, ended.answer), (DropTtl, None), "{case:?}");
        }
    }
}

#[test]
fn pings_pass_to_the_host_unless_the_vip_is_stopped() {
    for case in CASES {
        let mut balancer = connected(case);
        let packet = ping(case.client(1).ip(), case.vip().ip());
        let ended = balancer.receive(&packet);
        assert_eq!((ended.verdict, ended.action), (PassOtherProtocol, Action::Pass));
        assert!(ended.frame == packet.bytes());
        balancer.apply(Operation::StopVip { vip: case.vip().ip() });
        assert_eq!(balancer.receive(&packet).verdict, DropStopped, "{case:?}");
        // Errors still reach the connections that drain.
        let ended = balancer.receive(&from_outside(case, Trouble::TooBig(1400), 1000));
        assert_eq!(ended.verdict, Redirected, "{case:?}");
        balancer.apply(Operation::StartVip { vip: case.vip().ip() });
        assert_eq!(balancer.receive(&packet).verdict, PassOtherProtocol, "{case:?}");
    }
}

#[test]
fn a_quoted_checksum_that_is_wrong_stays_wrong_and_none_stays_none() {
    for case in CASES {
        let mut balancer = connected(case);
        let whole = network(&reply_seen_outside(case));
        let at = if case.family == Family::V4 { 20 } else { 40 };
        let at = at + if whole.len() > at + 18 { 16 } else { 6 };
        let mut zero = whole.clone();
        zero[at..at + 2].copy_from_slice(&[0, 0]);
        let packet = error(router(case), case.vip().ip(), Trouble::TimeExceeded, &zero);
        let ended = balancer.receive(&packet);
        // The error's own checksum is right over what came out, whatever that quotes.
        let told = slb_tests::icmp::told(&ended.frame);
        let udp = case.protocol == slb_userspace::config::model::Protocol::Udp;
        assert_eq!(told.quoted[at..at + 2] == [0, 0], udp, "{case:?}");
        let right = network(&reply_seen_inside(case));
        assert_ne!(told.quoted[at..at + 2], right[at..at + 2], "{case:?}");
    }
}

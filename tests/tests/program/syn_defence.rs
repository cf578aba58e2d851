//! When SYNs are answered by cookies or challenges, and what a client has to do about the latter.

use std::net::SocketAddr;

use slb_common::{
    Answer,
    Verdict::{self, *},
    connection::state,
    service::{SERVICE_COOKIES_ALWAYS, SERVICE_COOKIES_AUTO, SERVICE_PRESENT, mode},
};
use slb_tests::{
    icmp::segment,
    packets::{CLIENT_START, Packet, flags},
};
use slb_userspace::{config::model::Family, maps::Operation};

use super::{
    balancer::Balancer,
    cases::{CLIENT_MAC, Case, FRONT_MAC},
    cookies::{balancer, balancer_with, challenged_modes, listener, spliced_modes, syn},
    full_nat,
};

/// What becomes of the SYN of a client.
fn opened(case: Case, balancer: &mut Balancer, number: u16) -> Verdict {
    balancer.receive(&case.to_vip(case.client(number), case.vip(), flags::SYN)).verdict
}

#[test]
fn without_a_backend_no_cookie_is_sent() {
    for (case, mode) in spliced_modes().chain(challenged_modes()) {
        let mut nobody = listener(case, mode);
        nobody.backends.clear();
        let mut balancer = balancer_with(case, &nobody);
        let ended = balancer.receive(&syn(case));
        assert_eq!((ended.verdict, ended.answer), (DropNoBackend, Some(Answer::Reset)), "{case:?}");
    }
}

#[test]
fn exempt_clients_never_meet_it() {
    for (case, mode) in spliced_modes().chain(challenged_modes()) {
        let mut listener = listener(case, mode);
        listener.more.exempt = 9;
        let mut balancer = balancer_with(case, &listener);
        let (number, bits) = (9, if case.family == Family::V4 { 32 } else { 128 });
        let list =
            [format!("{}/{}", case.client(1).ip(), bits).parse().unwrap()].into_iter().collect();
        balancer.apply(Operation::FillList { number, list });
        assert_eq!(balancer.receive(&syn(case)).verdict, Redirected, "{case:?}");
        let other = balancer.receive(&Packet { source: case.client(2), ..syn(case) }).verdict;
        assert!(matches!(other, AnsweredCookie | AnsweredChallenge), "{case:?}: {other:?}");
    }
}

#[test]
fn auto_begins_above_its_threshold_of_connections_that_stay_half_open() {
    for (case, mode) in spliced_modes().chain(challenged_modes()) {
        let mut listener = listener(case, mode);
        listener.flags = SERVICE_PRESENT | SERVICE_COOKIES_AUTO;
        listener.more.cookie_threshold = 50;
        // Those that are completed are no flood, however many they are. What opens a connection in
        // dr and tunnel nobody here sees completed.
        if !mode::one_sided(mode) && mode != mode::FULL_NAT {
            let mut balancer = balancer_with(case, &listener);
            (1..200).for_each(|number| {
                case.establish(&mut balancer, case.client(number), case.vip());
            });
            assert!(balancer.kernel.flooded(&[case.vip().ip()]).next().is_none());
        }
        let mut balancer = balancer_with(case, &listener);
        let ended: Vec<Verdict> =
            (1..400).map(|number| opened(case, &mut balancer, number)).collect();
        let let_in = ended.iter().filter(|verdict| **verdict == Redirected).count();
        assert!((50..200).contains(&let_in), "{case:?}: {let_in}");
        assert_eq!(balancer.entries().len(), let_in);
        assert!(matches!(ended.last(), Some(AnsweredCookie | AnsweredChallenge)));
        let flooded: Vec<_> = balancer.kernel.flooded(&[case.vip().ip()]).collect();
        assert_eq!(flooded.len(), 1, "{case:?}");
        // Another VIP has its own count.
        assert!(balancer.kernel.flooded(&[case.vip_number(2).ip()]).next().is_none());
    }
}

#[test]
fn established_connections_go_on_whatever_is_answered_by_cookies() {
    for (case, mode) in spliced_modes() {
        let mut listener = listener(case, mode);
        listener.flags = SERVICE_PRESENT;
        let mut balancer = balancer_with(case, &listener);
        let peer = full_nat::open(&mut balancer, &case.first());
        listener.flags = SERVICE_PRESENT | SERVICE_COOKIES_ALWAYS;
        let ring = balancer.kernel.service(0).ring;
        balancer.set_service(0, &listener, ring);
        let syn_ack = case.reply(case.backend(1), peer, flags::SYN | flags::ACK);
        assert_eq!(balancer.receive(&syn_ack).verdict, Transmitted);
        assert_eq!(
            balancer.receive(&case.to_vip(case.client(1), case.vip(), flags::ACK)).verdict,
            Redirected
        );
        assert_eq!(balancer.entry().control.state(), state::ESTABLISHED, "{case:?}");
    }
}

#[test]
fn a_client_that_passes_a_challenge_is_let_in_and_remembered() {
    for (case, mode) in challenged_modes() {
        let mut balancer = balancer(case, mode);
        let challenge = |balancer: &mut Balancer, packet: &Packet| {
            let ended = balancer.receive(packet);
            assert_eq!(ended.verdict, AnsweredChallenge, "{case:?}");
            segment(&ended.frame)
        };
        let told = challenge(&mut balancer, &syn(case));
        assert_eq!(told.macs, (FRONT_MAC, CLIENT_MAC));
        assert_eq!((told.source, told.destination), (case.vip(), case.client(1)));
        assert!(told.header.syn && told.header.ack);
        assert_ne!(told.header.acknowledgment_number, CLIENT_START + 1, "a number to be refused");
        assert!(balancer.entries().is_empty());
        let number = told.header.acknowledgment_number;
        let reset =
            |number| case.to_vip(case.client(1), case.vip(), flags::RST).numbered(number, 0);
        for wrong in [number.wrapping_add(2), number ^ 1 << 31, CLIENT_START + 1] {
            let ended = balancer.receive(&reset(wrong));
            assert_eq!((ended.verdict, ended.answer), (DropNoConnection, None));
        }
        challenge(&mut balancer, &syn(case));
        assert_eq!(balancer.receive(&reset(number)).verdict, DropChallengePassed);
        assert_eq!(balancer.receive(&syn(case)).verdict, Redirected, "{case:?}");
        // From any port, and nobody else.
        let port = SocketAddr::new(case.client(1).ip(), 999);
        assert_eq!(balancer.receive(&Packet { source: port, ..syn(case) }).verdict, Redirected);
        challenge(&mut balancer, &Packet { source: case.client(2), ..syn(case) });
        // For 300 s.
        let key = balancer.challenged.keys().next().unwrap().unwrap();
        let until = balancer.challenged.get(&key, 0).unwrap();
        let now = slb_userspace::maps::table::now_ns();
        assert!((290..=300).contains(&((until - now) / 1_000_000_000)), "{case:?}");
        balancer.challenged.insert(key, now, 0).unwrap();
        let port = SocketAddr::new(case.client(1).ip(), 998);
        challenge(&mut balancer, &Packet { source: port, ..syn(case) });
    }
}

//! Packets that do not fit the way to their backend or to their client.

use std::net::{IpAddr, SocketAddr};

use slb_common::{Answer, Verdict, service::mode};
use slb_tests::{
    icmp::{Trouble, network, told},
    packets::{
        Packet, endpoints,
        flags::{ACK, PSH, SYN},
    },
};
use slb_userspace::config::model::Family;

use super::{
    answers::{own, set_own},
    balancer::{Balancer, ip},
    cases::{CASES, Case},
    full_nat::set_locals,
    listener::{Listener, Target},
    routes,
    tunnel::set_sources,
};

/// Modes with the families of their backends and what these take of the MTU.
fn ways(case: Case) -> [(u8, Family, u16); 5] {
    [
        (mode::NAT, case.family, 0),
        (mode::FULL_NAT, case.family, 0),
        (mode::DIRECT, case.family, 0),
        (mode::TUNNEL, Family::V4, 20),
        (mode::TUNNEL, Family::V6, 40),
    ]
}

/// A program whose only backend is one of this family behind an MTU of 1500.
fn balancer(case: Case, mode: u8, family: Family) -> Balancer {
    let backend: IpAddr = Case { family, ..case }.backend(1).ip();
    let backend = SocketAddr::new(backend, case.vip().port());
    let target = Target { mtu: 1500, ..Target::new(backend) };
    let listener =
        Listener { mode, backends: vec![target], ..Listener::new(case.vip(), case.protocol, &[]) };
    let (mut balancer, _) = Balancer::with(&listener);
    set_sources(&mut balancer);
    set_locals(&mut balancer, case, 1);
    balancer
}

/// The packet with as much payload as makes it so long, from its network header on.
fn of_length(packet: Packet, length: u16) -> Packet {
    let packet = Packet { payload: Vec::new(), ..packet };
    let headers = packet.network_length();
    let payload = vec![3; usize::from(length) - headers as usize];
    Packet { payload, ..packet }
}

#[test]
fn a_packet_that_does_not_fit_the_way_to_its_backend_is_refused_with_the_mtu_that_it_should_have() {
    for case in CASES {
        for (mode, family, overhead) in ways(case) {
            let mut balancer = balancer(case, mode, family);
            for first in [case.first(), case.next()] {
                let fits = of_length(first.clone(), 1500 - overhead);
                // Behind the packet nothing counts.
                for padding in [0, 30] {
                    let ended = balancer.receive(&Packet { padding, ..fits.clone() });
                    assert_eq!(ended.verdict, Verdict::Redirected, "{case:?} {mode} {family}");
                }
                let before = balancer.entry();
                let longer = of_length(first, 1501 - overhead);
                let ended = balancer.receive(&longer);
                assert_eq!(ended.verdict, Verdict::DropTooBig, "{case:?} {mode} {family}");
                assert_eq!(ended.answer, Some(Answer::TooBig), "{case:?} {mode} {family}");
                let told = told(&ended.frame);
                assert_eq!(told.trouble, Some(Trouble::TooBig(1500 - overhead)));
                assert_eq!(told.destination, case.client(1).ip());
                assert!(network(&longer).starts_with(&told.quoted), "as the client sent it");
                assert_eq!(balancer.entry(), before, "what is dropped has no effect");
            }
            let other = case.to_vip(case.client(2), case.vip(), SYN);
            assert_eq!(balancer.receive(&other).verdict, Verdict::Redirected);
        }
    }
}

#[test]
fn who_lets_routers_fragment_is_told_nothing_when_a_packet_does_not_fit() {
    for case in CASES.into_iter().filter(|case| case.family == Family::V4) {
        for (mode, family, overhead) in ways(case) {
            let mut balancer = balancer(case, mode, family);
            let fragmentable = Packet { fragment: Some((0, false)), ..case.first() };
            let ended = balancer.receive(&of_length(fragmentable.clone(), 1500 - overhead));
            assert_eq!(ended.verdict, Verdict::Redirected, "{case:?} {mode} {family}");
            let ended = balancer.receive(&of_length(fragmentable, 1501 - overhead));
            assert_eq!((ended.verdict, ended.answer), (Verdict::DropTooBig, None));
        }
    }
}

/// What stands between a client and the interface by which it comes.
#[derive(Clone, Copy, Debug)]
enum Narrow {
    /// The interface itself, which a route leads to.
    Interface,
    /// The same where no route is known: the way back that the client came.
    WayBack,
    /// The route, by what it says for certain: what the kernel forwards by, too.
    Route,
}

#[test]
fn a_reply_that_does_not_fit_the_way_to_its_client_is_refused_with_the_mtu_that_it_should_have() {
    for case in CASES {
        for mode in [mode::NAT, mode::FULL_NAT] {
            for narrow in [Narrow::Interface, Narrow::WayBack, Narrow::Route] {
                reply_that_does_not_fit(case, mode, narrow);
            }
        }
    }
}

fn reply_that_does_not_fit(case: Case, mode: u8, narrow: Narrow) {
    const MTU: u16 = 1300;
    let what = format!("{case:?} {mode} {narrow:?}");
    let listener = Listener { mode, ..case.listener(1) };
    let (mut balancer, _) = Balancer::with(&listener);
    let front = routes::route(case);
    set_locals(&mut balancer, case, 1);
    set_own(&mut balancer, front, 0);
    match narrow {
        Narrow::Interface => ip(&format!("link set front mtu {MTU}")),
        Narrow::WayBack => {
            ip(&format!("link set front mtu {MTU}"));
            ip("neigh flush dev front nud permanent");
        }
        Narrow::Route if case.family == Family::V4 => {
            ip(&format!("route change default via 192.0.2.254 mtu lock {MTU}"));
        }
        Narrow::Route => {
            ip(&format!("route change default via 2001:db8:f::fe dev front mtu lock {MTU}"));
        }
    }
    let ended = balancer.receive_by(front, &case.first().bytes());
    assert_eq!(ended.verdict, Verdict::Redirected, "{what}");
    let (peer, backend) = endpoints(&ended.frame);
    // On the slow path and on the fast one.
    for flags in [SYN | ACK, ACK | PSH] {
        let reply = case.reply(backend, peer, flags);
        let fits = of_length(reply.clone(), MTU);
        let ended = balancer.receive_by(front, &Packet { padding: 9, ..fits }.bytes());
        assert_eq!(ended.verdict, Verdict::Transmitted, "{what}");
        balancer.receive_by(front, &case.next().bytes());
        let before = balancer.entry();
        let longer = of_length(reply, MTU + 1);
        let ended = balancer.receive_by(front, &longer.bytes());
        assert_eq!(
            (ended.verdict, ended.answer),
            (Verdict::DropTooBig, Some(Answer::TooBig)),
            "{what}"
        );
        let told = told(&ended.frame);
        assert_eq!(told.macs, (longer.macs.1, longer.macs.0));
        assert_eq!((told.source, told.destination), (own(case), backend.ip()), "{what}");
        assert_eq!(told.trouble, Some(Trouble::TooBig(MTU)), "{what}");
        assert!(network(&longer).starts_with(&told.quoted), "as the backend sent it");
        assert_eq!(balancer.entry(), before, "what is dropped has no effect");
    }
}

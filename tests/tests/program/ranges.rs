//! Listeners on a range of ports.

use std::net::SocketAddr;

use slb_common::{Verdict, service::mode};
use slb_tests::packets::flags::{ACK, SYN};
use slb_userspace::{config::model::Protocol, plan::entrances};

use super::{
    balancer::{Balancer, ELSEWHERE, INTERFACE},
    cases::{CASES, Case, answered, assert_sent, forwarded},
    listener::{Listener, Target},
};

/// A listener on ports 8000 to 8100.
fn range(case: Case, same_port: bool) -> Listener {
    let vip = SocketAddr::new(case.vip().ip(), 8000);
    let backend = SocketAddr::new(case.backend(1).ip(), 8000);
    let backends = vec![Target { same_port, ..Target::new(backend) }];
    Listener { backends, last_port: Some(8100), ..Listener::new(vip, case.protocol, &[]) }
}

fn at(endpoint: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(endpoint.ip(), port)
}

#[test]
fn every_port_of_a_range_leads_to_its_service_and_no_other_does() {
    for case in CASES {
        let (mut balancer, installed) = Balancer::with(&range(case, true));
        for port in 7990..=8110 {
            let first = case.to_vip(case.client(port), at(case.vip(), port), SYN);
            let ended = balancer.receive(&first);
            if (8000..=8100).contains(&port) {
                let expected = forwarded(&first, at(case.backend(1), port));
                assert_sent(&ended, &expected, ELSEWHERE);
            } else {
                assert_eq!(ended.verdict, Verdict::PassNoListener, "{case:?} port {port}");
            }
        }
        assert_eq!(balancer.entries().len(), 101);
        let protocol = match case.protocol {
            Protocol::Tcp => Protocol::Udp,
            Protocol::Udp => Protocol::Tcp,
        };
        let other = Case { protocol, ..case };
        for (case, vip) in [(other, case.vip()), (case, case.vip_number(2))] {
            let first = case.to_vip(case.client(1), at(vip, 8050), SYN);
            let passes = [Verdict::PassNoListener, Verdict::PassNotOurs];
            assert!(passes.contains(&balancer.receive(&first).verdict));
        }
        let counted = balancer.kernel.service_counters(installed.service).unwrap().0;
        assert_eq!(counted.connections, 101);
        balancer.assert_consistent();
    }
}

#[test]
fn a_reply_of_a_range_comes_from_the_port_that_the_client_asked() {
    for case in CASES {
        for (same_port, backend_port) in [(true, 8042), (false, 8000)] {
            let (mut balancer, _) = Balancer::with(&range(case, same_port));
            let vip = at(case.vip(), 8042);
            let first = case.to_vip(case.client(1), vip, SYN);
            let backend = at(case.backend(1), backend_port);
            assert_sent(&balancer.receive(&first), &forwarded(&first, backend), ELSEWHERE);
            let answer = case.reply(backend, case.client(1), SYN | ACK);
            assert_sent(&balancer.receive(&answer), &answered(&answer, vip), INTERFACE);
        }
    }
}

#[test]
fn in_direct_routing_and_tunnels_the_port_of_a_range_stays() {
    for case in CASES {
        for mode in [mode::DIRECT, mode::TUNNEL] {
            let (mut balancer, _) = Balancer::with(&Listener { mode, ..range(case, true) });
            super::tunnel::set_sources(&mut balancer);
            let vip = at(case.vip(), 8099);
            for tcp in [SYN, ACK] {
                let packet = case.to_vip(case.client(1), vip, tcp);
                let ended = balancer.receive(&packet);
                assert_eq!(ended.verdict, Verdict::Redirected);
                let carried = packet.bytes().split_off(packet.transport_at());
                assert!(ended.frame.ends_with(&carried), "{case:?} mode {mode}");
            }
            assert_eq!(balancer.entry().vip, vip);
        }
    }
}

#[test]
fn a_listener_on_one_port_comes_before_one_on_a_range_that_holds_it() {
    for case in CASES {
        let (mut balancer, _) = Balancer::with(&range(case, true));
        let single = Listener::new(at(case.vip(), 8050), case.protocol, &[case.backend(2)]);
        balancer.listen(&single);
        for (port, backend) in [(8049, 1), (8050, 2), (8051, 1)] {
            let first = case.to_vip(case.client(port), at(case.vip(), port), SYN);
            let (_, taken) = slb_tests::packets::endpoints(&balancer.receive(&first).frame);
            assert_eq!(taken.ip(), case.backend(backend).ip(), "{case:?} port {port}");
        }
    }
}

#[test]
fn what_leads_to_a_range_is_read_back_as_it_was_written() {
    for case in CASES {
        for ports in [(8000, 8100), (1, 65_535), (65_534, 65_535), (1, 2), (32_767, 32_768)] {
            let vip = at(case.vip(), ports.0);
            let listener = Listener {
                last_port: Some(ports.1),
                ..Listener::new(vip, case.protocol, &[case.backend(1)])
            };
            let (balancer, installed) = Balancer::with(&listener);
            let expected = entrances(vip.ip(), ports, case.protocol);
            let expected = expected.into_iter().map(|from| (from, installed.service)).collect();
            assert_eq!(balancer.kernel.leads(), expected, "{ports:?}");
        }
    }
}

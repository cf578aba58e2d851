//! ICMP errors that concern a connection reach its other side, translated; what they quote is
//! built by etherparse before and after.

use std::net::{IpAddr, SocketAddr};

use slb_common::{
    Verdict::{self, *},
    service::mode,
};
use slb_tests::{
    icmp::{Trouble, error, network, ping, quote},
    packets::{Packet, flags},
};
use slb_userspace::{
    config::model::{Family, Protocol},
    maps::Operation,
};

use super::{
    balancer::{Action, Balancer, ELSEWHERE, INTERFACE, OWN_MAC},
    cases::{CASES, CLIENT_MAC, Case, FRONT_MAC, assert_sent, router},
    full_nat,
    listener::Listener,
    truncated::cut_off_anywhere,
};

/// A connection of the first client, of which both directions are seen.
#[derive(Clone, Copy, Debug)]
struct Connection {
    case: Case,
    mode: u8,
    /// Whom the backend takes for the client.
    peer: SocketAddr,
}

/// A balancer with one connection, for each case and mode.
fn connected() -> impl Iterator<Item = (Connection, Balancer)> {
    CASES.into_iter().flat_map(|case| {
        [mode::NAT, mode::FULL_NAT].map(|mode| {
            let (mut balancer, _) = Balancer::with(&Listener { mode, ..case.listener(1) });
            full_nat::set_locals(&mut balancer, case, 1);
            let peer = full_nat::establish(case, &mut balancer);
            (Connection { case, mode, peer }, balancer)
        })
    })
}

impl Connection {
    /// What a router toward the client quotes: the reply as the client would get it.
    fn reply_seen_outside(self) -> Packet {
        let case = self.case;
        Packet { source: case.vip(), ..case.reply(case.backend(1), case.client(1), flags::ACK) }
    }

    /// The same as the backend sent it.
    fn reply_seen_inside(self) -> Packet {
        let ends = (self.case.backend(1), self.peer);
        Packet { source: ends.0, destination: ends.1, ..self.reply_seen_outside() }
    }

    /// What a router behind the balancer quotes: the client's packet as the backend would get it.
    fn request_seen_inside(self) -> Packet {
        Packet { source: self.peer, destination: self.case.backend(1), ..self.case.next() }
    }

    /// An error about a reply, from a router to the VIP.
    fn error_outside(self, trouble: Trouble, quoted: usize) -> Packet {
        let quote = quote(&self.reply_seen_outside(), quoted);
        let macs = (CLIENT_MAC, FRONT_MAC);
        Packet { macs, ..error(router(self.case.family), self.case.vip().ip(), trouble, &quote) }
    }

    /// The same as the backend gets it.
    fn to_backend(self, trouble: Trouble, quoted: usize) -> Packet {
        let quote = quote(&self.reply_seen_inside(), quoted);
        let macs = (OWN_MAC, [2, 0, 0, 0, 1, 1]);
        let error = error(router(self.case.family), self.case.backend(1).ip(), trouble, &quote);
        Packet { macs, ttl: 63, ..error }
    }

    /// An error about the client's packet, from `source` behind the balancer.
    fn error_inside(self, source: IpAddr, trouble: Trouble, quoted: usize) -> Packet {
        let quote = quote(&self.request_seen_inside(), quoted);
        let macs = ([2, 0, 0, 0, 1, 1], OWN_MAC);
        Packet { macs, ..error(source, self.peer.ip(), trouble, &quote) }
    }

    /// The same as the client gets it.
    fn to_client(self, source: IpAddr, trouble: Trouble, quoted: usize) -> Packet {
        let quote = quote(&self.case.next(), quoted);
        let macs = (FRONT_MAC, CLIENT_MAC);
        let trouble = match trouble {
            Trouble::TooBig(mtu) => Trouble::TooBig(self.client_mtu(mtu)),
            other => other,
        };
        Packet { macs, ttl: 63, ..error(source, self.case.client(1).ip(), trouble, &quote) }
    }

    /// How a router's error that concerns no connection ends which is to whom the backend takes for
    /// the client: a local address is ours.
    fn passed_inside(self) -> Verdict {
        if self.mode == mode::NAT { PassNotOurs } else { PassNoConnection }
    }

    /// How long the client's packets may be for a way behind the balancer: full NAT puts the
    /// client's endpoint into segments.
    fn client_mtu(self, mtu: u16) -> u16 {
        match (self.mode, self.case.protocol, self.case.family) {
            (mode::FULL_NAT, Protocol::Tcp, Family::V4) => mtu - 8,
            (mode::FULL_NAT, Protocol::Tcp, Family::V6) => mtu - 20,
            _ => mtu,
        }
    }
}

/// Bytes of the quoted network header and of eight more: what an error quotes at least.
pub(super) fn least(case: Case) -> usize {
    if case.family == Family::V4 { 28 } else { 48 }
}

#[test]
fn an_error_to_a_vip_goes_to_the_backend_as_if_it_spoke_of_its_own_packet() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        for trouble in Trouble::ALL {
            for quoted in [least(case), least(case) + 10, least(case) + 12, 1000] {
                let ended = balancer.receive(&connection.error_outside(trouble, quoted));
                assert_sent(&ended, &connection.to_backend(trouble, quoted), ELSEWHERE);
            }
        }
    }
}

#[test]
fn an_error_from_a_backend_or_a_router_before_it_goes_to_the_client() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        for (source, seen) in
            [(case.backend(1).ip(), case.vip().ip()), (router(case.family), router(case.family))]
        {
            for trouble in Trouble::ALL {
                for quoted in [least(case), least(case) + 10, least(case) + 12, 1000] {
                    let ended = balancer.receive(&connection.error_inside(source, trouble, quoted));
                    let expected = connection.to_client(seen, trouble, quoted);
                    assert_sent(&ended, &expected, INTERFACE);
                }
            }
        }
    }
}

#[test]
fn an_error_changes_nothing_of_the_connection_that_it_speaks_of() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        let before = balancer.entry();
        std::thread::sleep(std::time::Duration::from_millis(200));
        balancer.receive(&connection.error_outside(Trouble::PortUnreachable, 1000));
        balancer.receive(&connection.error_inside(
            router(case.family),
            Trouble::NetUnreachable,
            1000,
        ));
        assert_eq!(balancer.entry(), before, "{connection:?}");
    }
}

#[test]
fn an_error_that_quotes_less_than_the_ports_or_no_connection_passes_untouched() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        for quoted in 0..least(case) {
            let outside = connection.error_outside(Trouble::TimeExceeded, quoted);
            let inside =
                connection.error_inside(router(case.family), Trouble::TimeExceeded, quoted);
            for (packet, verdict) in
                [(outside, PassIcmpNoConnection), (inside, connection.passed_inside())]
            {
                let ended = balancer.receive(&packet);
                assert_eq!((ended.verdict, ended.action), (verdict, Action::Pass), "{quoted}");
                assert!(ended.frame == packet.bytes(), "{connection:?}: {quoted}");
            }
        }
        let mut stranger = connection.reply_seen_outside();
        stranger.destination.set_port(1);
        let to_vip = error(
            router(case.family),
            case.vip().ip(),
            Trouble::NetUnreachable,
            &network(&stranger),
        );
        assert_eq!(balancer.receive(&to_vip).verdict, PassIcmpNoConnection, "{connection:?}");
        let mut stranger = connection.request_seen_inside();
        stranger.source.set_port(1);
        let (peer, quote) = (connection.peer.ip(), network(&stranger));
        let inside = error(router(case.family), peer, Trouble::NetUnreachable, &quote);
        let verdict = balancer.receive(&inside).verdict;
        assert_eq!(verdict, connection.passed_inside(), "{connection:?}");
        let backend = error(case.backend(1).ip(), peer, Trouble::NetUnreachable, &quote);
        assert_eq!(balancer.receive(&backend).verdict, PassNoConnection, "{connection:?}");
    }
}

#[test]
fn an_error_to_somebody_else_than_the_sender_of_what_it_quotes_passes() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        let quote = network(&connection.request_seen_inside());
        let other = error(router(case.family), case.client(2).ip(), Trouble::TimeExceeded, &quote);
        assert_eq!(balancer.receive(&other).verdict, PassNotOurs, "{connection:?}");
        let to_vip = error(router(case.family), case.vip().ip(), Trouble::TimeExceeded, &quote);
        assert_eq!(balancer.receive(&to_vip).verdict, PassIcmpNoConnection, "{connection:?}");
    }
}

#[test]
fn frames_cut_off_at_every_byte_of_an_error_come_to_no_harm() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        for packet in [
            connection.error_outside(Trouble::TooBig(1400), 1000),
            connection.error_inside(case.backend(1).ip(), Trouble::TooBig(1400), 1000),
        ] {
            cut_off_anywhere(&mut balancer, &packet, &connection);
        }
        balancer.assert_consistent();
    }
}

#[test]
fn tags_options_and_extension_headers_around_and_inside_an_error_are_looked_through() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        let extras = match case.family {
            Family::V4 => vec![(0, vec![1; 8])],
            Family::V6 => vec![(60, vec![1, 4, 0, 0, 0, 0]), (0, vec![1, 4, 0, 0, 0, 0])],
        };
        let trouble = Trouble::TooBig(1400);
        let quote = |packet: Packet| network(&Packet { extras: extras.clone(), ..packet });
        let around = |packet: Packet| Packet { extras: extras.clone(), ..packet };
        let error = |source, to, quote: &[u8]| around(error(source, to, trouble, quote));
        let before =
            error(router(case.family), case.vip().ip(), &quote(connection.reply_seen_outside()));
        let after = error(
            router(case.family),
            case.backend(1).ip(),
            &quote(connection.reply_seen_inside()),
        );
        let before = Packet { tags: vec![3, 4], ..before };
        let after = Packet { macs: (OWN_MAC, [2, 0, 0, 0, 1, 1]), ttl: 63, ..after };
        assert_sent(&balancer.receive(&before), &after, ELSEWHERE);
    }
}

#[test]
fn an_error_whose_ttl_ends_here_is_dropped_and_not_answered() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        for packet in [
            connection.error_outside(Trouble::TooBig(1400), 1000),
            connection.error_inside(router(case.family), Trouble::TooBig(1400), 1000),
        ] {
            let ended = balancer.receive(&Packet { ttl: 1, ..packet });
            assert_eq!((ended.verdict, ended.answer), (DropTtl, None), "{connection:?}");
        }
    }
}

#[test]
fn pings_pass_to_the_host_unless_the_vip_is_stopped() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        let packet = ping(case.client(1).ip(), case.vip().ip());
        let ended = balancer.receive(&packet);
        assert_eq!((ended.verdict, ended.action), (PassOtherProtocol, Action::Pass));
        assert!(ended.frame == packet.bytes());
        balancer.apply(Operation::StopVip { vip: case.vip().ip() });
        assert_eq!(balancer.receive(&packet).verdict, DropStopped, "{connection:?}");
        // Errors still reach the connections that drain.
        let ended = balancer.receive(&connection.error_outside(Trouble::TooBig(1400), 1000));
        assert_eq!(ended.verdict, Redirected, "{connection:?}");
        balancer.apply(Operation::StartVip { vip: case.vip().ip() });
        assert_eq!(balancer.receive(&packet).verdict, PassOtherProtocol, "{connection:?}");
    }
}

#[test]
fn a_quoted_checksum_that_is_wrong_stays_wrong_and_none_stays_none() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        let whole = network(&connection.reply_seen_outside());
        let at = if case.family == Family::V4 { 20 } else { 40 };
        let at = at + if whole.len() > at + 18 { 16 } else { 6 };
        let mut zero = whole.clone();
        zero[at..at + 2].copy_from_slice(&[0, 0]);
        let packet = error(router(case.family), case.vip().ip(), Trouble::TimeExceeded, &zero);
        let ended = balancer.receive(&packet);
        // The error's own checksum is right over what came out, whatever that quotes.
        let told = slb_tests::icmp::told(&ended.frame);
        let udp = case.protocol == Protocol::Udp;
        assert_eq!(told.quoted[at..at + 2] == [0, 0], udp, "{connection:?}");
        let right = network(&connection.reply_seen_inside());
        assert_ne!(told.quoted[at..at + 2], right[at..at + 2], "{connection:?}");
    }
}

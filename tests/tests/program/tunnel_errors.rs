//! ICMP errors about the outer packets of tunnels, from routers between the balancer and a backend:
//! the client is told by the VIP, about its own packet.

use std::net::{IpAddr, SocketAddr};

use slb_common::Verdict::{self, *};
use slb_tests::{
    icmp::{Told, Trouble, error, network, quote, told},
    packets::{Packet, flags},
};
use slb_userspace::config::model::Family;

use super::{
    balancer::{Action, Balancer, OWN_MAC},
    cases::{CLIENT_MAC, Case, FRONT_MAC, router},
    icmp_errors::least,
    truncated::cut_off_anywhere,
    tunnel::{balancer, set_sources, source, tunnelled, tunnels},
};

/// A connection through a tunnel.
#[derive(Clone, Copy, Debug)]
struct Connection {
    case: Case,
    backend: IpAddr,
}

/// A balancer with one connection, for each family in each.
fn connected() -> impl Iterator<Item = (Connection, Balancer)> {
    tunnels().map(|(case, backend)| {
        let (mut balancer, ..) = balancer(case, backend);
        for packet in [case.first(), case.next()] {
            assert_eq!(balancer.receive(&packet).verdict, Redirected);
        }
        (Connection { case, backend }, balancer)
    })
}

impl Connection {
    /// The client's packet as it goes to the backend, with its outer header.
    fn outer_packet(self) -> Packet {
        let payload = vec![0x5a; 1300];
        tunnelled(&Packet { payload, ..self.case.next() }, self.backend)
    }

    /// The same as the backend takes it out.
    fn inner_packet(self) -> Packet {
        Packet { outer: None, ..self.outer_packet() }
    }

    /// Bytes of the outer header.
    fn overhead(self) -> u16 {
        if self.backend.is_ipv4() { 20 } else { 40 }
    }

    /// Bytes that must be quoted of the outer packet, so that the inner one's ports are there.
    fn least(self) -> usize {
        usize::from(self.overhead()) + least(self.case)
    }

    fn router(self) -> IpAddr {
        router(Family::of(self.backend))
    }

    /// An error about a packet, of which so many bytes are quoted.
    fn error(self, packet: &Packet, trouble: Trouble, quoted: usize) -> Packet {
        let (to, quote) = (source(Family::of(self.backend)), quote(packet, quoted));
        Packet { macs: ([2, 0, 0, 0, 1, 1], OWN_MAC), ..error(self.router(), to, trouble, &quote) }
    }

    /// What the client is told if so many bytes of the outer packet were quoted.
    fn told(self, trouble: Trouble, quoted: usize) -> Told {
        let most = if self.case.family == Family::V4 { 128 } else { 1232 };
        let bytes = network(&self.inner_packet());
        let there = bytes.len().min(quoted - usize::from(self.overhead()));
        Told {
            macs: (FRONT_MAC, CLIENT_MAC),
            source: self.case.vip().ip(),
            destination: self.case.client(1).ip(),
            trouble: Some(trouble),
            // Whole words.
            quoted: bytes[..most.min(there & !3)].to_vec(),
        }
    }

    /// The packet passes to the host as it came, counted as one of no connection.
    fn assert_passes(self, balancer: &mut Balancer, packet: &Packet) {
        let before = counted(balancer, PassIcmpNoConnection);
        let ended = balancer.receive(packet);
        let wanted = (PassIcmpNoConnection, Action::Pass);
        assert_eq!((ended.verdict, ended.action), wanted, "{self:?}: {packet:?}");
        assert!(ended.frame == packet.bytes(), "{self:?}: changed");
        assert_eq!(counted(balancer, PassIcmpNoConnection), before + 1);
    }
}

fn counted(balancer: &Balancer, verdict: Verdict) -> u64 {
    balancer.verdicts()[verdict.index() as usize]
}

#[test]
fn a_client_is_told_what_fits_the_tunnel_when_a_router_in_it_takes_no_more() {
    for (connection, mut balancer) in connected() {
        let least = connection.least();
        for mtu in [1500, 1400, 1320] {
            for quoted in [least, least + 1, least + 2, least + 12, 500, 9000] {
                let packet = connection.outer_packet();
                let ended =
                    balancer.receive(&connection.error(&packet, Trouble::TooBig(mtu), quoted));
                assert_eq!(ended.verdict, Transmitted, "{connection:?}, {quoted}");
                let expected = Trouble::TooBig(mtu - connection.overhead());
                assert_eq!(told(&ended.frame), connection.told(expected, quoted));
            }
        }
        balancer.assert_consistent();
    }
}

#[test]
fn a_client_is_never_told_less_than_every_way_carries() {
    for (connection, mut balancer) in connected() {
        let (mtu, least) = match connection.case.family {
            Family::V4 => (70, 68),
            Family::V6 => (1290, 1280),
        };
        let packet = connection.error(&connection.outer_packet(), Trouble::TooBig(mtu), 500);
        let ended = balancer.receive(&packet);
        let expected = connection.told(Trouble::TooBig(least), 500);
        assert_eq!(told(&ended.frame), expected, "{connection:?}");
    }
}

#[test]
fn a_client_is_told_that_a_host_is_unreachable_when_its_packets_do_not_get_through_the_tunnel() {
    for (connection, mut balancer) in connected() {
        for trouble in [Trouble::NetUnreachable, Trouble::HostUnreachable, Trouble::TimeExceeded] {
            let packet = connection.error(&connection.outer_packet(), trouble, 500);
            let ended = balancer.receive(&packet);
            assert_eq!(ended.verdict, Transmitted, "{connection:?}, {trouble:?}");
            let expected = connection.told(Trouble::HostUnreachable, 500);
            assert_eq!(told(&ended.frame), expected, "{connection:?}, {trouble:?}");
        }
    }
}

#[test]
fn an_error_about_a_tunnel_that_says_nothing_to_a_client_passes_and_is_counted() {
    for (connection, mut balancer) in connected() {
        let (packet, before) = (connection.outer_packet(), balancer.entry());
        // There are no ports in a tunnel, and the outer header is the balancer's own work.
        for trouble in [Trouble::PortUnreachable, Trouble::ParameterProblem] {
            connection.assert_passes(&mut balancer, &connection.error(&packet, trouble, 500));
        }
        let outer = usize::from(connection.overhead());
        for quoted in outer + 8..connection.least() {
            let short = connection.error(&packet, Trouble::TooBig(1400), quoted);
            connection.assert_passes(&mut balancer, &short);
        }
        assert_eq!(balancer.entry(), before, "{connection:?}");
    }
}

#[test]
fn an_error_about_a_packet_that_the_balancer_did_not_send_passes_and_is_counted() {
    for (connection, mut balancer) in connected() {
        let case = connection.case;
        let trouble = Trouble::TooBig(1400);
        let whole = connection.outer_packet();
        // Nobody's connection.
        let stranger = Packet { source: case.client(2), ..whole.clone() };
        connection.assert_passes(&mut balancer, &connection.error(&stranger, trouble, 500));
        let elsewhere = Packet { destination: case.vip_number(9), ..whole.clone() };
        connection.assert_passes(&mut balancer, &connection.error(&elsewhere, trouble, 500));
        // Sent from another address than this flow's.
        set_sources(&mut balancer);
        let other: IpAddr = match Family::of(connection.backend) {
            Family::V4 => IpAddr::from([10, 0, 1, 253]),
            Family::V6 => "fd01::fd".parse().unwrap(),
        };
        let mut forged = whole.clone();
        forged.outer.as_mut().unwrap().source = other;
        let packet = error(connection.router(), other, trouble, &quote(&forged, 500));
        connection.assert_passes(&mut balancer, &packet);
        // To a backend that is not this connection's.
        let mut forged = whole;
        let second = Case { family: Family::of(connection.backend), ..case }.backend(2).ip();
        let (mut balancer, ..) = two_backends(case, connection.backend, second);
        for packet in [case.first(), case.next()] {
            balancer.receive(&packet);
        }
        forged.outer.as_mut().unwrap().destination = second;
        connection.assert_passes(&mut balancer, &connection.error(&forged, trouble, 500));
    }
}

/// A program with two backends of a family, the first of which is drawn first.
fn two_backends(case: Case, first: IpAddr, second: IpAddr) -> (Balancer, [SocketAddr; 2]) {
    use super::listener::Listener;
    let both = [first, second].map(|ip| SocketAddr::new(ip, case.vip().port()));
    let mode = slb_common::service::mode::TUNNEL;
    let listener = Listener { mode, ..Listener::new(case.vip(), case.protocol, &both) };
    let (mut balancer, _) = Balancer::with(&listener);
    set_sources(&mut balancer);
    (balancer, both)
}

#[test]
fn who_lets_routers_fragment_is_not_told_what_fits_a_tunnel() {
    for (connection, mut balancer) in connected() {
        if connection.case.family == Family::V6 {
            continue;
        }
        let packet = Packet { fragment: Some((0, false)), ..connection.outer_packet() };
        let packet = connection.error(&packet, Trouble::TooBig(1400), 500);
        connection.assert_passes(&mut balancer, &packet);
    }
}

#[test]
fn errors_about_tunnels_leave_with_the_tag_of_the_clients_next_hop() {
    for (case, backend) in tunnels() {
        let (mut balancer, ..) = balancer(case, backend);
        for packet in [case.first(), case.next()] {
            balancer.receive(&Packet { tags: vec![7], ..packet });
        }
        let connection = Connection { case, backend };
        let packet = connection.error(&connection.outer_packet(), Trouble::TooBig(1400), 500);
        let ended = balancer.receive(&Packet { tags: vec![5, 6], ..packet });
        assert_eq!(ended.verdict, Transmitted, "{connection:?}");
        assert_eq!(ended.frame[12..16], [0x81, 0, 0, 7], "{connection:?}");
        let untagged = [&ended.frame[..12], &ended.frame[16..]].concat();
        let expected = Trouble::TooBig(1400 - connection.overhead());
        assert_eq!(told(&untagged), connection.told(expected, 500), "{connection:?}");
    }
}

#[test]
fn frames_cut_off_at_every_byte_of_an_error_about_a_tunnel_come_to_no_harm() {
    for (connection, mut balancer) in connected() {
        let packet = connection.error(&connection.outer_packet(), Trouble::TooBig(1400), 200);
        cut_off_anywhere(&mut balancer, &packet, &connection);
        let syn =
            connection.case.to_vip(connection.case.client(1), connection.case.vip(), flags::SYN);
        assert_eq!(balancer.receive(&syn).verdict, Redirected, "{connection:?}");
        balancer.assert_consistent();
    }
}

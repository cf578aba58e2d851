//! Full NAT: the backend sees a local address and a port of its own for each connection; replies
//! to it find the client again. What the options of TCP become is in `tcp_options`.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use slb_common::{Verdict, connection::state, service::mode, vip::LOCAL_PORT_COUNT};
use slb_tests::packets::{Checksum, Packet, Transport, endpoints, flags};
use slb_userspace::config::model::{Family, Protocol};

use super::{
    balancer::{Balancer, ELSEWHERE, INTERFACE},
    cases::{CASES, Case, TCP_CASES, assert_sent},
    listener::{Installed, Listener},
};

pub(crate) use slb_tests::program::modes::{local, set_locals};

/// Buckets of a table that has room for all ports of a local address.
pub(crate) const LARGE: u32 = 32_768;

/// A listener of full NAT.
pub(crate) fn listener(case: Case, backends: u8) -> Listener {
    Listener { mode: mode::FULL_NAT, ..case.listener(backends) }
}

/// A program with that listener and so many local addresses.
pub(crate) fn balancer(case: Case, backends: u8, locals: u8) -> (Balancer, Installed) {
    let (mut balancer, installed) = Balancer::with(&listener(case, backends));
    set_locals(&mut balancer, case, locals);
    (balancer, installed)
}

/// Sends a client's first packet; returns the local endpoint that its backend sees.
pub(crate) fn open(balancer: &mut Balancer, packet: &Packet) -> SocketAddr {
    let opened = balancer.receive(packet);
    assert_eq!(opened.verdict, Verdict::Redirected, "{packet:?}");
    endpoints(&opened.frame).0
}

/// The packet as it leaves toward the backend.
pub(crate) fn forwarded(packet: &Packet, local: SocketAddr, backend: SocketAddr) -> Packet {
    Packet { source: local, ..super::cases::forwarded(packet, backend) }
}

/// The packet as it leaves toward the client.
pub(crate) fn answered(packet: &Packet, vip: SocketAddr, client: SocketAddr) -> Packet {
    Packet { destination: client, ..super::cases::answered(packet, vip) }
}

/// How many local ports of the case's family are taken.
fn taken(balancer: &Balancer, case: Case) -> usize {
    let (v4, v6) = balancer.local_ports();
    match case.family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}

/// Opens the first client's connection as far as both directions are on the hot path.
pub(crate) fn establish(case: Case, balancer: &mut Balancer) -> SocketAddr {
    let local = open(balancer, &case.first());
    let reply = |tcp| case.reply(case.backend(1), local, tcp);
    balancer.receive(&reply(flags::SYN | flags::ACK));
    balancer.receive(&case.to_vip(case.client(1), case.vip(), flags::ACK));
    balancer.receive(&reply(flags::ACK));
    local
}

#[test]
fn a_first_packet_leaves_from_a_local_address_with_nothing_else_changed() {
    for case in CASES {
        let (mut balancer, _) = balancer(case, 1, 1);
        let ended = balancer.receive(&case.first());
        let (source, _) = endpoints(&ended.frame);
        assert_eq!(source.ip(), local(case, 1), "{case:?}");
        assert!(source.port() >= 1024);
        assert_sent(&ended, &forwarded(&case.first(), source, case.backend(1)), ELSEWHERE);
        assert_eq!(taken(&balancer, case), 1);
        balancer.assert_consistent();
    }
}

#[test]
fn both_directions_of_a_connection_are_translated() {
    for case in CASES {
        let (mut balancer, _) = balancer(case, 1, 1);
        let local = establish(case, &mut balancer);
        for length in [0, 1, 2, 1001] {
            let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let to = Packet { payload: payload.clone(), ..case.next() };
            let sent = balancer.receive(&to);
            assert_sent(&sent, &forwarded(&to, local, case.backend(1)), ELSEWHERE);
            let from = Packet { payload, ..case.reply(case.backend(1), local, flags::ACK) };
            let sent = balancer.receive(&from);
            assert_sent(&sent, &answered(&from, case.vip(), case.client(1)), INTERFACE);
        }
        let entry = balancer.entry();
        let wanted = match case.protocol {
            Protocol::Tcp => state::ESTABLISHED,
            Protocol::Udp => state::UDP_SEEN,
        };
        assert_eq!(entry.control.state(), wanted, "{case:?}");
        let port = u16::from_be_bytes(entry.ties.local_port());
        let known = balancer.kernel.local(entry.ties.local_address());
        assert_eq!(SocketAddr::new(known, port), local);
        balancer.assert_consistent();
    }
}

#[test]
fn fins_and_resets_are_translated_and_followed() {
    for case in TCP_CASES {
        for (tcp, wanted) in [(flags::FIN | flags::ACK, state::FIN), (flags::RST, state::CLOSED)] {
            let (mut balancer, _) = balancer(case, 1, 1);
            let local = establish(case, &mut balancer);
            let to = case.to_vip(case.client(1), case.vip(), tcp);
            let sent = balancer.receive(&to);
            assert_sent(&sent, &forwarded(&to, local, case.backend(1)), ELSEWHERE);
            assert_eq!(balancer.entry().control.state(), wanted, "{case:?}");
            let from = case.reply(case.backend(1), local, tcp);
            let sent = balancer.receive(&from);
            assert_sent(&sent, &answered(&from, case.vip(), case.client(1)), INTERFACE);
        }
    }
}

#[test]
fn tags_options_and_extension_headers_are_followed() {
    for case in CASES {
        let mut listener = listener(case, 1);
        listener.backends[0].vlan = 7;
        let (mut balancer, _) = Balancer::with(&listener);
        set_locals(&mut balancer, case, 1);
        let extras = match case.family {
            Family::V4 => vec![(0, vec![1; 8])],
            Family::V6 => vec![(0, vec![1; 6]), (60, vec![1; 14])],
        };
        let to = Packet { tags: vec![5], extras: extras.clone(), ..case.first() };
        let sent = balancer.receive(&to);
        let (local, _) = endpoints(&sent.frame);
        let expected = Packet { tags: vec![7], ..forwarded(&to, local, case.backend(1)) };
        assert_sent(&sent, &expected, ELSEWHERE);
        let syn_ack = flags::SYN | flags::ACK;
        let from = Packet { tags: vec![7], extras, ..case.reply(case.backend(1), local, syn_ack) };
        let sent = balancer.receive(&from);
        let expected = Packet { tags: vec![5], ..answered(&from, case.vip(), case.client(1)) };
        assert_sent(&sent, &expected, INTERFACE);
    }
}

#[test]
fn a_datagram_without_checksum_stays_without_one() {
    for case in CASES.into_iter().filter(|case| case.protocol == Protocol::Udp) {
        let (mut balancer, _) = balancer(case, 1, 1);
        let transport = Transport::Udp { checksum: Checksum::None };
        let to = Packet { transport: transport.clone(), ..case.first() };
        let local = open(&mut balancer, &to);
        let sent = balancer.receive(&to);
        assert_sent(&sent, &forwarded(&to, local, case.backend(1)), ELSEWHERE);
        let from = Packet { transport, ..case.reply(case.backend(1), local, 0) };
        let sent = balancer.receive(&from);
        assert_sent(&sent, &answered(&from, case.vip(), case.client(1)), INTERFACE);
    }
}

#[test]
fn one_client_reaches_one_backend_by_two_vips_at_once() {
    for case in CASES {
        let mut listener = listener(case, 1);
        listener.vips.push(case.vip_number(2));
        let (mut balancer, _) = Balancer::with(&listener);
        set_locals(&mut balancer, case, 1);
        let client = case.client(1);
        let locals = [1, 2].map(|number| {
            let vip = case.vip_number(number);
            (vip, open(&mut balancer, &case.to_vip(client, vip, flags::SYN)))
        });
        assert_ne!(locals[0].1, locals[1].1, "{case:?}");
        for (vip, local) in locals {
            let from = case.reply(case.backend(1), local, flags::SYN | flags::ACK);
            let sent = balancer.receive(&from);
            assert_eq!(endpoints(&sent.frame), (vip, client), "{case:?}");
        }
        balancer.assert_consistent();
    }
}

#[test]
fn a_backend_may_be_a_client_of_its_own_listener() {
    for case in CASES {
        let (mut balancer, _) = balancer(case, 1, 1);
        let client = SocketAddr::new(case.backend(1).ip(), 4000);
        let to = case.to_vip(client, case.vip(), flags::SYN);
        let local = open(&mut balancer, &to);
        let from = case.reply(case.backend(1), local, flags::SYN | flags::ACK);
        let sent = balancer.receive(&from);
        assert_eq!(sent.verdict, Verdict::Transmitted, "{case:?}");
        assert_eq!(endpoints(&sent.frame), (case.vip(), client));
    }
}

#[test]
fn what_comes_to_a_local_address_without_connection_passes() {
    for case in CASES {
        let (mut balancer, _) = balancer(case, 2, 1);
        let local = establish(case, &mut balancer);
        let other_port = SocketAddr::new(local.ip(), local.port() ^ 1);
        let backend = case.backend(1);
        let other_backend = SocketAddr::new(backend.ip(), backend.port() + 1);
        for (source, destination) in
            [(backend, other_port), (other_backend, local), (case.backend(2), local)]
        {
            let packet = case.reply(source, destination, flags::ACK);
            let ended = balancer.receive(&packet);
            assert_eq!(ended.verdict, Verdict::PassNoConnection, "{source} {destination}");
            assert_eq!(ended.frame, packet.bytes());
        }
    }
}

#[test]
fn without_local_address_or_free_port_a_connection_is_refused_as_no_local_port() {
    for case in CASES {
        let mut balancer = Balancer::with_buckets(LARGE);
        balancer.listen(&listener(case, 1));
        assert_eq!(balancer.receive(&case.first()).verdict, Verdict::DropNoLocalPort, "{case:?}");
        assert!(balancer.entries().is_empty());
        set_locals(&mut balancer, case, 1);
        // Everything but one port in 64 512 is taken: so a search hardly ever finds it.
        let backend = case.backend(1);
        let ports = 1025..=u16::MAX;
        ports.for_each(|port| balancer.take_local_port(case, (local(case, 1), port), backend));
        let refused = (1..=20).filter(|number| {
            let first = case.to_vip(case.client(*number), case.vip(), flags::SYN);
            balancer.receive(&first).verdict == Verdict::DropNoLocalPort
        });
        assert!(refused.count() >= 18, "{case:?}");
        // Another local address helps at once.
        set_locals(&mut balancer, case, 2);
        let first = case.to_vip(case.client(99), case.vip(), flags::SYN);
        assert_eq!(open(&mut balancer, &first).ip(), local(case, 2));
    }
}

#[test]
fn ports_are_found_while_60_000_of_one_local_address_and_backend_are_taken() {
    for case in [CASES[0], CASES[3]] {
        let mut balancer = Balancer::with_buckets(LARGE);
        balancer.listen(&listener(case, 1));
        set_locals(&mut balancer, case, 1);
        let backend = case.backend(1);
        // Every port but one in 15, so that no two free ones lie side by side.
        let busy = (1024..=u16::MAX).filter(|port| port % 15 != 0);
        let mut count = 0;
        for port in busy {
            balancer.take_local_port(case, (local(case, 1), port), backend);
            count += 1;
        }
        assert!(count > 60_000 && count < LOCAL_PORT_COUNT);
        let mut ports = HashSet::new();
        for number in 1..=500 {
            let first = case.to_vip(case.client(number), case.vip(), flags::SYN);
            let local = open(&mut balancer, &first);
            assert!(ports.insert(local.port()) && local.port().is_multiple_of(15), "{local}");
        }
    }
}

#[test]
fn the_end_of_a_connection_gives_its_port_back() {
    for case in CASES {
        let mut listener = listener(case, 1);
        let (mut balancer, installed) = Balancer::with(&listener);
        set_locals(&mut balancer, case, 1);
        for number in 1..=5 {
            open(&mut balancer, &case.to_vip(case.client(number), case.vip(), flags::SYN));
        }
        assert_eq!(taken(&balancer, case), 5, "{case:?}");
        // The entries expire; the client comes again on the same ports and meets its old place.
        listener.timeouts = slb_common::service::Timeouts::new(0, 0, 0, 0);
        let ring = balancer.kernel.service(installed.service).ring;
        balancer.set_service(installed.service, &listener, ring);
        std::thread::sleep(std::time::Duration::from_millis(600));
        for number in 1..=5 {
            balancer.receive(&case.to_vip(case.client(number), case.vip(), flags::SYN));
        }
        let live = balancer.entries().len();
        assert_eq!((live, taken(&balancer, case)), (5, 5), "{case:?}");
        balancer.cut_all();
        assert_eq!(taken(&balancer, case), 0, "{case:?}");
        balancer.assert_consistent();
    }
}

#[test]
fn a_refused_entry_gives_its_port_back() {
    for case in CASES {
        // One bucket has four places, and established connections are never pushed out of them.
        let mut balancer = Balancer::with_buckets(1);
        balancer.listen(&listener(case, 1));
        set_locals(&mut balancer, case, 1);
        for number in 1..=4 {
            let client = case.client(number);
            let local = open(&mut balancer, &case.to_vip(client, case.vip(), flags::SYN));
            balancer.receive(&case.reply(case.backend(1), local, flags::SYN | flags::ACK));
            balancer.receive(&case.to_vip(client, case.vip(), flags::ACK));
        }
        let first = case.to_vip(case.client(9), case.vip(), flags::SYN);
        let verdict = balancer.receive(&first).verdict;
        assert_eq!(verdict, Verdict::DropTableFull, "{case:?}");
        assert_eq!(taken(&balancer, case), 4, "{case:?}");
    }
}

#[test]
fn a_client_that_shares_a_local_addresss_bit_gets_its_replies() {
    use slb_common::service::address_bit;
    use slb_userspace::maps::words::words;
    let case = CASES[0];
    let (mut balancer, _) = case.balancer(1);
    set_locals(&mut balancer, case, 1);
    let bit = address_bit(words(local(case, 1)));
    let twin = (0..=u32::from_be_bytes([198, 51, 255, 255]))
        .map(|number| IpAddr::from((0xc633_0000_u32.wrapping_add(number)).to_be_bytes()))
        .find(|address| address_bit(words(*address)) == bit)
        .expect("one of millions shares the bit");
    let client = SocketAddr::new(twin, 4000);
    balancer.receive(&case.to_vip(client, case.vip(), flags::SYN));
    let from = case.reply(case.backend(1), client, flags::SYN | flags::ACK);
    let sent = balancer.receive(&from);
    assert_eq!(endpoints(&sent.frame), (case.vip(), client));
}

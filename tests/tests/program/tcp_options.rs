//! What becomes of TCP options: the MSS and timestamps of SYNs, and the client's endpoint that
//! full NAT puts into the first segments.

use std::net::{IpAddr, SocketAddr};

use slb_common::{
    Verdict,
    service::{SERVICE_STRIP_TIMESTAMPS, mode},
};
use slb_tests::packets::{Packet, Transport, flags};
use slb_userspace::config::model::Family;

use super::{
    balancer::{Balancer, ELSEWHERE, INTERFACE},
    cases::{Case, TCP_CASES, assert_sent},
    full_nat::{answered, balancer, forwarded, listener, local, open},
};

/// A segment with these options.
pub(crate) fn with_options(packet: Packet, options: &[u8]) -> Packet {
    let Transport::Tcp { flags, .. } = packet.transport else { panic!("no segment") };
    let transport = Transport::Tcp { flags, options: options.to_vec() };
    Packet { transport, ..packet }
}

/// The option that names a client.
pub(crate) fn toa(client: SocketAddr) -> Vec<u8> {
    let address = match client.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let length = 4 + address.len() as u8;
    [&[254, length][..], &client.port().to_be_bytes(), &address].concat()
}

/// The bytes that the option takes.
fn room(case: Case) -> u16 {
    if case.family == Family::V4 { 8 } else { 20 }
}

/// MSS, SACK permitted, timestamps, no-operation, window scale: what Linux sends.
fn linux(mss: u16) -> Vec<u8> {
    let [high, low] = mss.to_be_bytes();
    vec![2, 4, high, low, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7]
}

/// The same with no-operations in place of timestamps.
fn stripped(mss: u16) -> Vec<u8> {
    let [high, low] = mss.to_be_bytes();
    vec![2, 4, high, low, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 7]
}

#[test]
fn full_nat_strips_timestamps_and_has_the_client_leave_room() {
    for case in TCP_CASES {
        let mut listener = listener(case, 1);
        listener.flags |= SERVICE_STRIP_TIMESTAMPS;
        let (mut balancer, _) = Balancer::with(&listener);
        balancer.kernel.set_locals(&[local(case, 1)]);
        let to = with_options(case.first(), &linux(1460));
        let local = open(&mut balancer, &to);
        let expected = with_options(forwarded(&to, local, case.backend(1)), &stripped(1460));
        assert_sent(&balancer.receive(&to), &expected, ELSEWHERE);
        let from = case.reply(case.backend(1), local, flags::SYN | flags::ACK);
        let from = with_options(from, &linux(1460));
        let expected = answered(&from, case.vip(), case.client(1));
        let expected = with_options(expected, &stripped(1460 - room(case)));
        assert_sent(&balancer.receive(&from), &expected, INTERFACE);
    }
}

#[test]
fn a_listeners_mss_lowers_what_both_sides_announce_and_raises_nothing() {
    for case in TCP_CASES {
        let mut listener = case.listener(1);
        listener.mss = 1300;
        let (mut balancer, _) = Balancer::with(&listener);
        for (announced, wanted) in [(1460, 1300), (1300, 1300), (900, 900)] {
            let to = with_options(case.first(), &linux(announced));
            let expected = super::cases::forwarded(&to, case.backend(1));
            let expected = with_options(expected, &linux(wanted));
            assert_sent(&balancer.receive(&to), &expected, ELSEWHERE);
            let from = with_options(case.answer(), &linux(announced));
            let expected = super::cases::answered(&from, case.vip());
            assert_sent(
                &balancer.receive(&from),
                &with_options(expected, &linux(wanted)),
                INTERFACE,
            );
        }
        // Only SYNs announce anything.
        let later = with_options(case.next(), &linux(1460));
        let expected = super::cases::forwarded(&later, case.backend(1));
        assert_sent(&balancer.receive(&later), &expected, ELSEWHERE);
    }
}

#[test]
fn timestamps_are_stripped_in_every_mode_that_sees_the_syn() {
    for case in TCP_CASES {
        let mut listener = case.listener(1);
        listener.flags |= SERVICE_STRIP_TIMESTAMPS;
        let (mut balancer, _) = Balancer::with(&listener);
        let to = with_options(case.first(), &linux(1460));
        let expected = super::cases::forwarded(&to, case.backend(1));
        let expected = with_options(expected, &stripped(1460));
        assert_sent(&balancer.receive(&to), &expected, ELSEWHERE);
        // At an odd place, and twice.
        let odd = [[1].to_vec(), vec![8, 10], vec![9; 8], vec![1], vec![8, 10], vec![7; 8]];
        let to = with_options(case.first(), &[odd.concat(), vec![0, 0]].concat());
        let expected = super::cases::forwarded(&to, case.backend(1));
        let expected = with_options(expected, &[vec![1; 22], vec![0, 0]].concat());
        assert_sent(&balancer.receive(&to), &expected, ELSEWHERE);
    }
}

/// A program with a connection whose backend has sent its SYN-ACK and nothing more.
fn answered_once(case: Case) -> (Balancer, SocketAddr) {
    let (mut balancer, _) = balancer(case, 1, 1);
    let local = open(&mut balancer, &case.first());
    balancer.receive(&case.reply(case.backend(1), local, flags::SYN | flags::ACK));
    (balancer, local)
}

#[test]
fn the_clients_endpoint_travels_until_the_backend_has_sent_more_than_its_syn_ack() {
    for case in TCP_CASES {
        let (mut balancer, local) = answered_once(case);
        let option = toa(case.client(1));
        let plain = |packet: &Packet| forwarded(packet, local, case.backend(1));
        let named = |packet: &Packet| with_options(plain(packet), &option);
        let ack = case.to_vip(case.client(1), case.vip(), flags::ACK);
        assert_sent(&balancer.receive(&ack), &named(&ack), ELSEWHERE);
        for length in [1, 2, 500] {
            let data = Packet { payload: vec![0xa5; length], ..case.next() };
            assert_sent(&balancer.receive(&data), &named(&data), ELSEWHERE);
        }
        // A repeated SYN-ACK shows that nothing has arrived.
        let again = case.reply(case.backend(1), local, flags::SYN | flags::ACK);
        balancer.receive(&again);
        assert_sent(&balancer.receive(&ack), &named(&ack), ELSEWHERE);
        // A SYN and a RST name nobody.
        let syn = case.first();
        assert_sent(&balancer.receive(&syn), &plain(&syn), ELSEWHERE);
        let from = case.reply(case.backend(1), local, flags::ACK);
        let expected = answered(&from, case.vip(), case.client(1));
        assert_sent(&balancer.receive(&from), &expected, INTERFACE);
        let data = case.next();
        assert_sent(&balancer.receive(&data), &plain(&data), ELSEWHERE);
        balancer.assert_consistent();
    }
}

#[test]
fn the_clients_endpoint_goes_before_other_options_and_behind_tags_and_extensions() {
    for case in TCP_CASES {
        let (mut balancer, local) = answered_once(case);
        let extras = match case.family {
            Family::V4 => vec![(0, vec![1; 12])],
            Family::V6 => vec![(0, vec![1; 6]), (60, vec![1; 22])],
        };
        let own = [1, 1, 5, 10, 1, 2, 3, 4, 5, 6, 7, 8];
        let packet = Packet {
            tags: vec![9],
            extras,
            payload: b"GET / HTTP/1.0\r\n\r\n".to_vec(),
            padding: 11,
            ..with_options(case.next(), &own)
        };
        let expected = with_options(
            forwarded(&packet, local, case.backend(1)),
            &[&toa(case.client(1))[..], &own].concat(),
        );
        assert_sent(&balancer.receive(&packet), &expected, ELSEWHERE);
    }
}

#[test]
fn a_segment_whose_options_are_full_goes_without_the_clients_endpoint() {
    for case in TCP_CASES {
        let (mut balancer, local) = answered_once(case);
        let most = 40 - usize::from(room(case));
        let fits = with_options(case.next(), &vec![1; most]);
        let plain = |packet: &Packet| forwarded(packet, local, case.backend(1));
        let named = [toa(case.client(1)), vec![1; most]].concat();
        assert_sent(&balancer.receive(&fits), &with_options(plain(&fits), &named), ELSEWHERE);
        for length in [most + 4, 40] {
            let full = with_options(case.next(), &vec![1; length]);
            assert_sent(&balancer.receive(&full), &plain(&full), ELSEWHERE);
        }
    }
}

#[test]
fn a_segment_that_fills_the_way_goes_without_the_clients_endpoint() {
    for case in TCP_CASES {
        let (mut balancer, local) = answered_once(case);
        let packet = Packet { payload: vec![3; 1000], ..case.next() };
        let length = packet.network_length() as u16;
        let plain = forwarded(&packet, local, case.backend(1));
        let named = with_options(plain.clone(), &toa(case.client(1)));
        for (mtu, expected) in
            [(length + room(case), &named), (length + room(case) - 1, &plain), (length, &plain)]
        {
            balancer.set_backend_mtu(0, mtu);
            assert_sent(&balancer.receive(&packet), expected, ELSEWHERE);
        }
    }
}

#[test]
fn nat_names_nobody() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(1);
        assert_eq!(case.listener(1).mode, mode::NAT);
        balancer.receive(&case.first());
        balancer.receive(&case.answer());
        let ack = case.to_vip(case.client(1), case.vip(), flags::ACK);
        let sent = balancer.receive(&ack);
        assert_eq!(sent.verdict, Verdict::Redirected);
        assert_sent(&sent, &super::cases::forwarded(&ack, case.backend(1)), ELSEWHERE);
    }
}

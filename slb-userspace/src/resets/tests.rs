use slb_common::{
    connection::{Seen, Ties, Translation},
    next_hop::{HOP_VALID, NextHop},
};

use super::*;
use crate::config::model::Family;

const KNOWN: Sequences = Sequences::new(1000, 0x10);

fn line(mode: u8, delta: u32) -> Line {
    Line {
        family: Family::V4,
        slot: 0,
        control: Control::new(0, 1, 0, state::ESTABLISHED),
        seen: Seen::new(0, 3, 0),
        service: 0,
        protocol: 6,
        client: "198.51.100.7:30000".parse().unwrap(),
        vip: "203.0.113.1:80".parse().unwrap(),
        backend: "10.0.1.1:8080".parse().unwrap(),
        client_hop: 1,
        ties: Ties::NONE,
        translation: Translation::of_mode(mode).with_delta(delta, 0),
    }
}

const fn hop(vlan: u16) -> NextHop {
    NextHop {
        destination: [2, 0, 0, 0, 0, 1],
        vlan,
        source: [2, 0, 0, 0, 0, 2],
        mtu: 1500,
        interface: 7,
        state: HOP_VALID,
    }
}

#[test]
fn both_ends_get_the_numbers_that_they_expect_in_their_own_view() {
    let line = line(mode::NAT, 0x20);
    let segment = to_client(&line, KNOWN);
    assert_eq!((segment.source, segment.destination), (line.vip, line.client));
    assert_eq!((segment.sequence, segment.acknowledges), (0x10, 1000));
    let segment = to_backend(&line, KNOWN, nobody).unwrap();
    assert_eq!((segment.source, segment.destination), (line.client, line.backend));
    // Its own numbers lie below those that the client sees by the delta.
    assert_eq!((segment.sequence, segment.acknowledges), (1000, 0xffff_fff0));
}

/// No mode but full NAT has local addresses.
fn nobody(_: u16) -> IpAddr {
    unreachable!("no local address is asked for")
}

#[test]
fn a_backend_behind_full_nat_is_told_by_the_local_endpoint_that_it_knows() {
    let ties = Ties::NONE.with_local(5, 40_000_u16.to_be_bytes());
    let line = Line { ties, ..line(mode::FULL_NAT, 0x20) };
    let local = |place: u16| {
        assert_eq!(place, 5);
        IpAddr::from([100, 64, 0, 1])
    };
    let segment = to_backend(&line, KNOWN, local).unwrap();
    assert_eq!(segment.source, "100.64.0.1:40000".parse().unwrap());
    assert_eq!(segment.destination, line.backend);
    assert_eq!((segment.sequence, segment.acknowledges), (1000, 0xffff_fff0));
}

#[test]
fn a_backend_behind_direct_routing_gets_what_the_client_would_send() {
    // In place of the delta stands the tick of the first packet.
    let line = line(mode::DIRECT, 4711);
    let segment = to_backend(&line, KNOWN, nobody).unwrap();
    assert_eq!(segment.destination, line.vip);
    assert_eq!(segment.acknowledges, KNOWN.acknowledged());
}

#[test]
fn what_expires_in_closing_is_not_told_and_what_is_cut_in_handshake_is() {
    let of = |state| Control::new(0, 0, 0, state);
    assert!(told(End::Expired, of(state::ESTABLISHED)));
    for silent in [state::SYN, state::FIN, state::TIME_WAIT, state::CLOSED, state::UDP_SEEN] {
        assert!(!told(End::Expired, of(silent)), "{}", state::name(silent));
    }
    for told_then in [state::SYN, state::ESTABLISHED, state::FIN] {
        assert!(told(End::Cut, of(told_then)), "{}", state::name(told_then));
    }
    for silent in [state::TIME_WAIT, state::CLOSED, state::UDP_NEW, state::UDP_SEEN] {
        assert!(!told(End::Cut, of(silent)), "{}", state::name(silent));
    }
}

/// Bytes written by hand from RFC 791, RFC 8200 and RFC 9293; checksums by an independent sum.
#[test]
fn a_frame_is_what_the_rfcs_say_with_and_without_a_tag() {
    let segment = to_client(&line(mode::NAT, 0), KNOWN);
    let plain = sent_by_7(frame::build(&segment, &hop(0)));
    let ip = &plain[14..];
    assert_eq!(plain[..14], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    assert_eq!(ip[..10], [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6]);
    assert_eq!(ip[12..20], [203, 0, 113, 1, 198, 51, 100, 7]);
    assert_eq!(ip[20..36], [0, 80, 0x75, 0x30, 0, 0, 0, 0x10, 0, 0, 3, 0xe8, 0x50, 0x14, 0, 0]);
    assert_eq!(sum(&ip[..20]), 0xffff);
    assert_eq!(sum(&[&ip[12..20], &[0, 6, 0, 20], &ip[20..]].concat()), 0xffff);
    let tagged = sent_by_7(frame::build(&segment, &hop(42)));
    assert_eq!(tagged[12..18], [0x81, 0, 0, 42, 8, 0]);
    assert_eq!(tagged[18..], *ip);
    // The kernel's routes know the way where no next hop is kept.
    let routed = frame::build(&segment, &NextHop::default());
    let destination = segment.destination.ip();
    assert_eq!(routed, Frame::Routed { destination, bytes: ip.to_vec() });
}

fn sent_by_7(frame: Frame) -> Vec<u8> {
    match frame {
        Frame::To { interface: 7, bytes } => bytes,
        other => panic!("not by interface 7: {other:?}"),
    }
}

#[test]
fn a_frame_of_ipv6_carries_a_checksum_over_its_pseudo_header() {
    let segment = Segment {
        source: "[2001:db8::1]:80".parse().unwrap(),
        destination: "[2001:db8:c::7]:30000".parse().unwrap(),
        sequence: 5,
        acknowledges: 6,
    };
    let frame = sent_by_7(frame::build(&segment, &hop(0)));
    let ip = &frame[14..];
    assert_eq!(frame[12..14], [0x86, 0xdd]);
    assert_eq!(ip[..8], [0x60, 0, 0, 0, 0, 20, 6, 64]);
    assert_eq!(sum(&[&ip[8..40], &[0, 0, 0, 20, 0, 0, 0, 6], &ip[40..]].concat()), 0xffff);
}

/// The Internet checksum's sum (RFC 1071): all ones if the checksum in it is right.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

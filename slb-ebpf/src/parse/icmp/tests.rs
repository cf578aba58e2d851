//! Errors built by etherparse, cut off at every byte, read by the parser.

use etherparse::{Icmpv4Type, Icmpv6Type, PacketBuilder, icmpv4, icmpv6};
use slb_common::connection::{v4_words, v6_words};

use super::{
    super::{addresses, ipv4, ipv6},
    *,
};

const SENDER: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const RECEIVER: [u8; 16] = [0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

fn frame(bytes: &mut [u8]) -> Frame {
    let range = bytes.as_mut_ptr_range();
    // SAFETY: the caller's buffer outlives every use in these tests.
    unsafe { Frame::new(range.start as usize, range.end as usize) }
}

fn quoted_v4(quoted: usize) -> Vec<u8> {
    let mut inner = Vec::new();
    let builder = PacketBuilder::ipv4([192, 0, 2, 1], [10, 0, 0, 100], 64);
    builder.tcp(1234, 80, 1, 1000).write(&mut inner, &[]).unwrap();
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([203, 0, 113, 1], [192, 0, 2, 1], 64)
        .icmpv4(Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit))
        .write(&mut bytes, &inner[..quoted])
        .unwrap();
    bytes
}

fn quoted_v6(quoted: usize) -> Vec<u8> {
    let mut inner = Vec::new();
    let builder = PacketBuilder::ipv6(SENDER, RECEIVER, 64);
    builder.udp(5000, 53).write(&mut inner, b"hello").unwrap();
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv6(RECEIVER, SENDER, 64)
        .icmpv6(Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port))
        .write(&mut bytes, &inner[..quoted])
        .unwrap();
    bytes
}

#[test]
fn a_quoted_segment_is_found_from_eight_bytes_of_it_on() {
    for quoted in 0..=40 {
        let mut bytes = quoted_v4(quoted);
        let frame = frame(&mut bytes);
        let network = ipv4::network(frame, 14).unwrap();
        assert_eq!(message::<1>(frame, &network), Message::Error);
        let expected = (quoted >= 28).then(|| Quote {
            network: 42,
            transport: 62,
            quoted: (quoted - 20) as u16,
            protocol: TCP,
        });
        assert_eq!(quote::<1>(frame, &network), expected, "{quoted}");
        if expected.is_some() {
            let inner = addresses::<1>(frame, 42).unwrap();
            assert_eq!(inner.source, v4_words([192, 0, 2, 1]));
        }
    }
}

#[test]
fn a_quoted_datagram_is_found_from_eight_bytes_of_it_on() {
    for quoted in 0..=53 {
        let mut bytes = quoted_v6(quoted);
        let frame = frame(&mut bytes);
        let network = ipv6::network(frame, 14).unwrap();
        assert_eq!(message::<3>(frame, &network), Message::Error);
        let expected = (quoted >= 48).then(|| Quote {
            network: 62,
            transport: 102,
            quoted: (quoted - 40) as u16,
            protocol: UDP,
        });
        assert_eq!(quote::<3>(frame, &network), expected, "{quoted}");
        if expected.is_some() {
            let inner = addresses::<3>(frame, 62).unwrap();
            assert_eq!(inner.destination, v6_words(RECEIVER));
        }
    }
}

#[test]
fn pings_redirects_and_neighbour_discovery_are_no_errors() {
    for (kind, expected) in [
        (0, Message::Other),
        (5, Message::Other),
        (8, Message::EchoRequest),
        (3, Message::Error),
        (12, Message::Error),
    ] {
        let mut bytes = quoted_v4(40);
        bytes[34] = kind;
        let frame = frame(&mut bytes);
        let network = ipv4::network(frame, 14).unwrap();
        assert_eq!(message::<1>(frame, &network), expected, "{kind}");
    }
    for (kind, expected) in [
        (2, Message::Error),
        (128, Message::EchoRequest),
        (129, Message::Other),
        (135, Message::Other),
        (137, Message::Other),
    ] {
        let mut bytes = quoted_v6(48);
        bytes[54] = kind;
        let frame = frame(&mut bytes);
        let network = ipv6::network(frame, 14).unwrap();
        assert_eq!(message::<3>(frame, &network), expected, "{kind}");
    }
}

#[test]
fn a_quoted_fragment_that_is_not_the_first_has_no_ports() {
    let mut bytes = quoted_v4(40);
    bytes[49] = 1;
    let frame = frame(&mut bytes);
    let network = ipv4::network(frame, 14).unwrap();
    assert_eq!(quote::<1>(frame, &network), None);
}

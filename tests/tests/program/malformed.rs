//! Headers that lie, to a VIP: dropped, counted by reason, and nothing remains of them.

use std::net::{IpAddr, SocketAddr};

use slb_common::Verdict::{self, *};
use slb_tests::packets::{Packet, Transport, flags};
use slb_userspace::{config::model::Family, maps::words::number};

use super::cases::{CASES, Case, TCP_CASES};

/// Every frame ends with this verdict and leaves no entry.
fn assert_dropped(case: Case, frames: &[(&str, Vec<u8>)], verdict: Verdict) {
    let (mut balancer, _) = case.balancer(1);
    for (what, frame) in frames {
        assert_eq!(balancer.receive_frame(frame).verdict, verdict, "{case:?}: {what}");
    }
    assert!(balancer.entries().is_empty(), "{case:?}");
    balancer.assert_consistent();
}

#[test]
fn a_header_that_the_frame_cuts_off_is_dropped() {
    for case in CASES {
        let packet = case.first();
        let frame = packet.bytes();
        // As long as the network header says, so that only the transport header is cut off.
        let short = Packet {
            payload: vec![0; 7],
            transport: Transport::Other(number(case.protocol)),
            ..packet.clone()
        };
        let frames = [
            ("one byte is missing", frame[..frame.len() - 1].to_vec()),
            ("the transport header is missing", frame[..packet.transport_at()].to_vec()),
            ("the packet is too short for a transport header", short.bytes()),
        ];
        assert_dropped(case, &frames, DropTruncated);
    }
}

#[test]
fn a_length_that_contradicts_another_is_dropped() {
    for case in CASES {
        let packet = case.first();
        let at = packet.transport_at();
        let changed = |place: usize, value: u8| {
            let mut frame = packet.bytes();
            frame[place] = value;
            frame
        };
        let network = packet.network_at();
        let mut frames = Vec::new();
        if case.family == Family::V4 {
            frames.push(("an IPv4 header of 16 bytes", changed(network, 0x44)));
            frames.push(("a total length less than the header", changed(network + 3, 19)));
        } else {
            // 8 bytes of payload, of which the extension header says that it takes 16.
            let extras = vec![(60, vec![0; 14])];
            let long = Packet { extras, ..packet.clone() };
            let mut frame = long.bytes();
            frame[network + 5] = 8;
            frames.push(("an extension header longer than the packet", frame));
        }
        match packet.transport {
            Transport::Tcp { .. } => {
                frames.push(("a TCP header of 16 bytes", changed(at + 12, 0x40)));
                frames.push(("a TCP header longer than the packet", changed(at + 12, 0xf0)));
            }
            _ => {
                frames.push(("a datagram of 7 bytes", changed(at + 5, 7)));
                frames.push(("a datagram longer than the packet", changed(at + 4, 1)));
            }
        }
        assert_dropped(case, &frames, DropBadLength);
    }
}

/// A whole packet of the other family in a frame of the case's, that leads to the VIP if its bytes
/// are read as the frame says.
fn of_the_other_family(case: Case) -> Vec<u8> {
    let between = |source: SocketAddr, destination: SocketAddr, payload| Packet {
        payload,
        ..Packet::of(source, destination, Transport::Other(number(case.protocol)))
    };
    let (packet, ethertype) = match case.vip().ip() {
        // An IPv4 header has its destination where the third quarter of an IPv6 source is.
        IpAddr::V4(vip) => {
            let [a, b, c, d] = vip.octets();
            let client = [0x20, 1, 0xd, 0xb8, 198, 51, 100, 7, a, b, c, d, 0, 0, 0, 1];
            let client = SocketAddr::from((client, 0));
            (between(client, "[2001:db8::9]:0".parse().unwrap(), vec![1; 40]), [8, 0])
        }
        // An IPv6 header has its destination 4 bytes behind the end of an IPv4 header.
        IpAddr::V6(vip) => {
            let payload = [&[1; 4][..], &vip.octets(), &[1; 40]].concat();
            let [client, server] =
                ["198.51.100.7:0", "192.0.2.1:0"].map(|end| end.parse().unwrap());
            (between(client, server, payload), [0x86, 0xdd])
        }
    };
    let mut frame = packet.bytes();
    frame[12..14].copy_from_slice(&ethertype);
    frame
}

#[test]
fn a_packet_of_another_version_than_its_frame_says_is_dropped() {
    for case in CASES {
        let packet = case.first();
        let changed = |version: u8| {
            let mut frame = packet.bytes();
            frame[packet.network_at()] = version;
            frame
        };
        let versions = match case.family {
            Family::V4 => [("version 5", changed(0x55)), ("version 6", changed(0x65))],
            Family::V6 => [("version 5", changed(0x5b)), ("version 4", changed(0x4b))],
        };
        assert_dropped(case, &versions, DropVersion);
        let other = ("a whole packet of the other family", of_the_other_family(case));
        assert_dropped(case, &[other], DropVersion);
    }
}

#[test]
fn a_fragment_as_long_as_none_is_made_is_dropped() {
    for case in CASES {
        let pieces = Packet { payload: vec![7; 150], ..case.next() }.pieces(64);
        let piece = |of: usize, fragment, length| Packet {
            fragment: Some(fragment),
            payload: pieces[of].payload[..length].to_vec(),
            ..pieces[of].clone()
        };
        let frames = [
            ("the first, no multiple of 8", piece(0, (0, true), 63).bytes()),
            ("the second, no multiple of 8", piece(1, (8, true), 62).bytes()),
            ("behind the longest datagram", piece(1, (8184, true), 64).bytes()),
            ("the last one, too", piece(1, (8191, false), 8).bytes()),
        ];
        assert_dropped(case, &frames, DropBadLength);
        let last = ("as far as it goes", piece(1, (8191, false), 7).bytes());
        assert_dropped(case, &[last], DropFragmentWithoutFirst);
    }
}

#[test]
fn a_wrong_header_checksum_is_dropped() {
    for case in CASES.into_iter().filter(|case| case.family == Family::V4) {
        let at = case.first().network_at();
        let frames = [0, 1, 4, 8, 10, 11].map(|byte| {
            let mut frame = Packet { extras: vec![(0, vec![1; 8])], ..case.first() }.bytes();
            // The version and the length stay what they are; they are judged first.
            frame[at + byte.max(1)] ^= 0x10;
            ("a byte of the header has changed", frame)
        });
        assert_dropped(case, &frames, DropBadChecksum);
        let mut frame = Packet { extras: vec![(0, vec![1; 8])], ..case.first() }.bytes();
        frame[at + 27] ^= 1;
        assert_dropped(case, &[("a byte of the options has changed", frame)], DropBadChecksum);
    }
}

#[test]
fn flags_that_no_connection_sends_are_dropped() {
    use flags::{ACK, FIN, PSH, RST, SYN, URG};
    let with_ack = [SYN | FIN | ACK, SYN | RST | ACK];
    let without = [0, PSH, URG, SYN | FIN, SYN | RST, FIN, FIN | PSH | URG];
    for case in TCP_CASES {
        let frames: Vec<_> = [&with_ack[..], &without, &[0x3f]]
            .concat()
            .into_iter()
            .map(|tcp| ("nonsense", case.to_vip(case.client(1), case.vip(), tcp).bytes()))
            .collect();
        assert_dropped(case, &frames, DropBadFlags);
        let (mut balancer, _) = case.balancer(1);
        case.establish(&mut balancer, case.client(1), case.vip());
        let before = balancer.entry();
        for (_, frame) in frames {
            assert_eq!(balancer.receive_frame(&frame).verdict, DropBadFlags);
        }
        assert_eq!(balancer.entry().control, before.control, "an open connection does not mind");
    }
}

#[test]
fn a_source_that_no_host_sends_from_opens_nothing() {
    for case in CASES {
        let sources: &[&str] = match case.family {
            Family::V4 => {
                &["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"]
            }
            Family::V6 => &["::", "::1", "ff02::1", "ffff::1", "::ffff:198.51.100.7"],
        };
        let frames: Vec<(&str, Vec<u8>)> = sources
            .iter()
            .map(|source| SocketAddr::new(source.parse().unwrap(), 4000))
            .chain([SocketAddr::new(case.vip().ip(), 4000)])
            .map(|source| ("martian", case.to_vip(source, case.vip(), flags::SYN).bytes()))
            .collect();
        assert_dropped(case, &frames, DropMartian);
    }
}

#[test]
fn more_extension_headers_than_are_looked_through_are_dropped() {
    for case in CASES.into_iter().filter(|case| case.family == Family::V6) {
        let packet = Packet { extras: vec![(60, vec![0; 6]); 7], ..case.first() };
        assert_dropped(case, &[("seven", packet.bytes())], DropExtension);
    }
}

#[test]
fn a_segment_of_no_connection_is_dropped_unless_it_is_a_syn() {
    use flags::{ACK, FIN, PSH, RST, SYN};
    for case in TCP_CASES {
        let frames = [ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, SYN | ACK]
            .map(|tcp| ("no SYN", case.to_vip(case.client(1), case.vip(), tcp).bytes()));
        assert_dropped(case, &frames, DropNoConnection);
    }
}

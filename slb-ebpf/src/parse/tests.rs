//! Packets built by etherparse, read by the parser.

mod quic;

use etherparse::PacketBuilder;
use proptest::prelude::*;
use slb_common::{
    Verdict,
    connection::{v4_words, v6_words},
};

use super::{Fragment, Network, Ports, ipv4, ipv6, link, transport};
use crate::packet::{Frame, Step};

const V6_SOURCE: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const V6_DESTINATION: [u8; 16] = [0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

fn frame(bytes: &mut [u8]) -> Frame {
    let range = bytes.as_mut_ptr_range();
    // SAFETY: the caller's buffer outlives every use in these tests.
    unsafe { Frame::new(range.start as usize, range.end as usize) }
}

fn parse(bytes: &mut [u8]) -> Step<(Network, Ports)> {
    let frame = frame(bytes);
    let link = link::link(frame)?;
    let network = match link.ethertype {
        link::IPV4 => ipv4::network(frame, link.at())?,
        link::IPV6 => ipv6::network(frame, link.at())?,
        _ => return Err(Verdict::PassNotIp),
    };
    Ok((network, transport::ports(frame, &network)?))
}

fn tcp_v4() -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([192, 0, 2, 1], [10, 0, 0, 100], 64)
        .tcp(1234, 80, 1, 1000)
        .syn();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &[]).unwrap();
    bytes
}

fn udp_v6() -> Vec<u8> {
    let builder =
        PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6(V6_SOURCE, V6_DESTINATION, 64).udp(5000, 53);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, b"hello").unwrap();
    bytes
}

#[test]
fn addresses_ports_and_flags_are_read() {
    let mut bytes = tcp_v4();
    let (network, ports) = parse(&mut bytes).unwrap();
    assert_eq!((network.protocol, network.transport, network.length), (6, 34, 40));
    assert_eq!(ports.source, 1234_u16.to_be_bytes());
    assert_eq!(ports.destination, 80_u16.to_be_bytes());
    assert_eq!(ports.flags, 2);
    let addresses = ipv4::addresses(frame(&mut bytes), 14).unwrap();
    assert_eq!(addresses.source, v4_words([192, 0, 2, 1]));
    assert_eq!(addresses.destination, v4_words([10, 0, 0, 100]));

    let mut bytes = udp_v6();
    let (network, ports) = parse(&mut bytes).unwrap();
    assert_eq!((network.protocol, network.transport, network.length), (17, 54, 53));
    assert_eq!(ports.destination, 53_u16.to_be_bytes());
    let addresses = ipv6::addresses(frame(&mut bytes), 14).unwrap();
    assert_eq!(addresses.source, v6_words(V6_SOURCE));
    assert_eq!(addresses.destination, v6_words(V6_DESTINATION));
}

#[test]
fn one_and_two_vlan_tags_are_skipped_and_the_outer_id_kept() {
    let plain = tcp_v4();
    let mut bytes = plain.clone();
    bytes.splice(12..12, [0x81, 0, 0x20, 7]);
    assert_eq!(link::link(frame(&mut bytes)).unwrap().vlan, 7);
    assert_eq!(parse(&mut bytes).unwrap().0.transport, 38);
    bytes.splice(12..12, [0x88, 0xa8, 0, 9]);
    assert_eq!(link::link(frame(&mut bytes)).unwrap().vlan, 9);
    assert_eq!(parse(&mut bytes).unwrap().0.transport, 42);
}

#[test]
fn a_frame_cut_off_at_any_byte_is_never_taken_for_whole() {
    for whole in [tcp_v4(), udp_v6()] {
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            let verdict = parse(&mut cut).unwrap_err();
            assert!(
                matches!(verdict, Verdict::PassShort | Verdict::DropTruncated),
                "{length} bytes: {verdict:?}"
            );
        }
    }
}

#[test]
fn ipv6_extension_headers_are_looked_through() {
    let mut bytes = udp_v6();
    // Hop-by-hop, then a routing header of 16 bytes, then destination options, then UDP.
    let extensions = [&[43, 0][..], &[0; 6], &[60, 1], &[0; 14], &[17, 0], &[0; 6]].concat();
    bytes.splice(54..54, extensions.iter().copied());
    bytes[20] = 0;
    bytes[18..20].copy_from_slice(&(13 + 32_u16).to_be_bytes());
    let (network, _) = parse(&mut bytes).unwrap();
    assert_eq!((network.protocol, network.transport), (17, 86));
}

#[test]
fn more_ipv6_extension_headers_than_any_sender_needs_are_dropped() {
    let mut bytes = udp_v6();
    let extensions = [60, 0, 0, 0, 0, 0, 0, 0].repeat(7);
    bytes[18..20].copy_from_slice(&(13 + extensions.len() as u16).to_be_bytes());
    bytes[20] = 60;
    bytes.splice(54..54, extensions);
    assert_eq!(parse(&mut bytes), Err(Verdict::DropExtension));
}

#[test]
fn an_atomic_ipv6_fragment_is_a_whole_packet_and_others_are_first_or_later_ones() {
    let at = |later| Fragment::of(54, later);
    for (field, expected) in [([0, 0], Fragment::WHOLE), ([0, 1], at(0)), ([0, 8], at(1))] {
        let mut bytes = udp_v6();
        bytes.splice(54..54, [17, 0, field[0], field[1], 0, 0, 0, 1]);
        bytes[20] = 44;
        bytes[18..20].copy_from_slice(&(13 + 8_u16).to_be_bytes());
        let network = ipv6::network(frame(&mut bytes), 14).unwrap();
        assert_eq!((network.protocol, network.fragment), (17, expected));
    }
}

#[test]
fn ipv4_options_belong_to_the_checksum() {
    let mut bytes = tcp_v4();
    bytes.splice(34..34, [1, 1, 1, 0]);
    bytes[14] = 0x46;
    bytes[16..18].copy_from_slice(&44_u16.to_be_bytes());
    assert_eq!(parse(&mut bytes), Err(Verdict::DropBadChecksum));
    bytes[24..26].fill(0);
    let sum: u32 =
        bytes[14..38].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    bytes[24..26].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(parse(&mut bytes).unwrap().0.transport, 38);
}

#[test]
fn martian_sources_are_told_from_others() {
    for bad in [[0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
        assert!(ipv4::martian(v4_words(bad)), "{bad:?}");
    }
    for good in [[1, 1, 1, 1], [10, 0, 0, 1], [223, 255, 255, 255]] {
        assert!(!ipv4::martian(v4_words(good)), "{good:?}");
    }
    let mut address = [0; 16];
    assert!(ipv6::martian(v6_words(address)));
    address[15] = 1;
    assert!(ipv6::martian(v6_words(address)));
    address[15] = 2;
    assert!(!ipv6::martian(v6_words(address)));
    address[0] = 0xff;
    assert!(ipv6::martian(v6_words(address)));
    let mapped = |upper: [u8; 4]| {
        let [a, b, c, d] = upper;
        ipv6::martian(v6_words([0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, 192, 0, 2, 1]))
    };
    assert!(mapped([0, 0, 0xff, 0xff]));
    // IPv4-translatable addresses (RFC 2765) and what is like them are not.
    for other in [[0xff, 0xff, 0, 0], [0, 1, 0xff, 0xff], [0, 0, 0xff, 0xfe]] {
        assert!(!mapped(other), "{other:?}");
    }
}

proptest! {
    #[test]
    fn random_bytes_never_lead_outside_the_frame(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        ethertype in prop::sample::select(vec![[8, 0], [0x86, 0xdd], [0x81, 0]]),
    ) {
        if bytes.len() >= 14 {
            bytes[12..14].copy_from_slice(&ethertype);
        }
        let length = bytes.len();
        if let Ok((network, _)) = parse(&mut bytes) {
            prop_assert!(usize::from(network.transport) + usize::from(network.payload) <= length);
        }
    }
}

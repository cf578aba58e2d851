//! The bytes of a reset.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, SingleVlanHeader, TcpHeader,
    VlanId, ether_type,
};
use slb_common::next_hop::{NO_VLAN, NextHop};

/// Hops that a reset may take.
const HOPS: u8 = 64;

/// A TCP segment with RST and ACK and nothing in it; both ends are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who seems to send it.
    pub source: SocketAddr,
    /// Who gets it.
    pub destination: SocketAddr,
    /// What the receiver expects next, exactly: else it only asks back (RFC 5961 section 3.2).
    pub sequence: u32,
    /// What the receiver has sent.
    pub acknowledges: u32,
}

/// A reset as it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// By an interface.
    To {
        /// Its index.
        interface: u32,
        /// From the Ethernet header on.
        bytes: Vec<u8>,
    },
    /// By the kernel's routes, where no next hop is kept.
    Routed {
        /// Who gets it.
        destination: IpAddr,
        /// From the network header on.
        bytes: Vec<u8>,
    },
}

/// Builds the frame of a segment for a next hop, if one is known.
pub(super) fn build(segment: &Segment, hop: &NextHop) -> Frame {
    let (packet, network_type) = packet(segment);
    if !hop.known() {
        return Frame::Routed { destination: segment.destination.ip(), bytes: packet };
    }
    let tag = VlanId::try_new(hop.vlan).ok().filter(|_| hop.vlan != NO_VLAN);
    let ethernet = Ethernet2Header {
        source: hop.source,
        destination: hop.destination,
        ether_type: if tag.is_some() { ether_type::VLAN_TAGGED_FRAME } else { network_type },
    };
    let mut bytes = ethernet.to_bytes().to_vec();
    if let Some(vlan_id) = tag {
        let tag = SingleVlanHeader { vlan_id, ether_type: network_type, ..Default::default() };
        bytes.extend(tag.to_bytes());
    }
    bytes.extend(packet);
    Frame::To { interface: hop.interface, bytes }
}

/// A segment with its network header, and what that is.
fn packet(segment: &Segment) -> (Vec<u8>, EtherType) {
    let mut tcp = TcpHeader::new(segment.source.port(), segment.destination.port(), 0, 0);
    tcp.sequence_number = segment.sequence;
    tcp.acknowledgment_number = segment.acknowledges;
    (tcp.rst, tcp.ack) = (true, true);
    let length = tcp.header_len_u16();
    let (mut bytes, network_type) = match (segment.source.ip(), segment.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut ip = Ipv4Header {
                time_to_live: HOPS,
                dont_fragment: true,
                protocol: IpNumber::TCP,
                source: source.octets(),
                destination: destination.octets(),
                total_len: Ipv4Header::MIN_LEN_U16 + length,
                ..Ipv4Header::default()
            };
            ip.header_checksum = ip.calc_header_checksum();
            tcp.checksum =
                tcp.calc_checksum_ipv4_raw(ip.source, ip.destination, &[]).unwrap_or_default();
            (ip.to_bytes().to_vec(), ether_type::IPV4)
        }
        (source, destination) => {
            let ip = Ipv6Header {
                payload_length: length,
                next_header: IpNumber::TCP,
                hop_limit: HOPS,
                source: octets(source),
                destination: octets(destination),
                ..Ipv6Header::default()
            };
            tcp.checksum =
                tcp.calc_checksum_ipv6_raw(ip.source, ip.destination, &[]).unwrap_or_default();
            (ip.to_bytes().to_vec(), ether_type::IPV6)
        }
    };
    bytes.extend(tcp.to_bytes());
    (bytes, network_type)
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

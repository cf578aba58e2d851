//! ICMP errors for tests, built and judged by etherparse.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, Ipv4HeaderSlice, NetSlice, SlicedPacket,
    TcpHeader, TransportSlice, icmpv4, icmpv6,
};

use super::packets::{Mac, Packet, Transport};

/// What an error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody listens on the port.
    PortUnreachable,
    /// No route.
    NetUnreachable,
    /// A route, and nobody at its end.
    HostUnreachable,
    /// TTL or hop limit ran out.
    TimeExceeded,
    /// The packet is longer than this MTU.
    TooBig(u16),
    /// A header that cannot be.
    ParameterProblem,
}

impl Trouble {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::PortUnreachable,
        Self::NetUnreachable,
        Self::HostUnreachable,
        Self::TimeExceeded,
        Self::TooBig(1400),
        Self::ParameterProblem,
    ];

    fn v4(self) -> Icmpv4Type {
        use icmpv4::{DestUnreachableHeader as Unreachable, ParameterProblemHeader as Problem};
        match self {
            Self::PortUnreachable => Icmpv4Type::DestinationUnreachable(Unreachable::Port),
            Self::NetUnreachable => Icmpv4Type::DestinationUnreachable(Unreachable::Network),
            Self::HostUnreachable => Icmpv4Type::DestinationUnreachable(Unreachable::Host),
            Self::TimeExceeded => {
                Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit)
            }
            Self::TooBig(next_hop_mtu) => {
                Icmpv4Type::DestinationUnreachable(Unreachable::FragmentationNeeded {
                    next_hop_mtu,
                })
            }
            Self::ParameterProblem => {
                Icmpv4Type::ParameterProblem(Problem::PointerIndicatesError(1))
            }
        }
    }

    fn v6(self) -> Icmpv6Type {
        use icmpv6::{DestUnreachableCode as Unreachable, ParameterProblemHeader as Problem};
        match self {
            Self::PortUnreachable => Icmpv6Type::DestinationUnreachable(Unreachable::Port),
            Self::NetUnreachable => Icmpv6Type::DestinationUnreachable(Unreachable::NoRoute),
            Self::HostUnreachable => Icmpv6Type::DestinationUnreachable(Unreachable::Address),
            Self::TimeExceeded => {
                Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded)
            }
            Self::TooBig(mtu) => Icmpv6Type::PacketTooBig { mtu: mtu.into() },
            Self::ParameterProblem => Icmpv6Type::ParameterProblem(Problem {
                code: icmpv6::ParameterProblemCode::ErroneousHeaderField,
                pointer: 4,
            }),
        }
    }
}

/// An error from one address to another, with what it quotes.
///
/// # Panics
/// If the addresses are of two families.
pub fn error(source: IpAddr, destination: IpAddr, trouble: Trouble, quoted: &[u8]) -> Packet {
    let (number, header) = match (source, destination) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            (1, Icmpv4Header::with_checksum(trouble.v4(), quoted).to_bytes().to_vec())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header =
                Icmpv6Header::with_checksum(trouble.v6(), from.octets(), to.octets(), quoted);
            (58, header.expect("a packet of less than 64 KiB").to_bytes().to_vec())
        }
        _ => panic!("one family"),
    };
    let endpoint = |address| SocketAddr::new(address, 0);
    Packet {
        payload: [&header, quoted].concat(),
        ..Packet::of(endpoint(source), endpoint(destination), Transport::Other(number))
    }
}

/// A ping.
///
/// # Panics
/// If the addresses are of two families.
pub fn ping(source: IpAddr, destination: IpAddr) -> Packet {
    let mut packet = error(source, destination, Trouble::TimeExceeded, b"ping");
    let (kind, before) = if source.is_ipv4() { (8, 11) } else { (128, 3) };
    // The checksum stays right: what the type gains, the sequence number loses.
    packet.payload[0] = kind;
    let difference = u16::from(before).wrapping_sub(u16::from(kind)).wrapping_mul(256);
    let negative = kind > before;
    let word = if negative { difference.wrapping_sub(1) } else { difference };
    packet.payload[6..8].copy_from_slice(&word.to_be_bytes());
    packet
}

/// The packet of a frame from its network header on.
pub fn network(packet: &Packet) -> Vec<u8> {
    packet.bytes()[packet.network_at()..].to_vec()
}

/// As much of it as an error quotes that has so many bytes for it.
pub fn quote(packet: &Packet, most: usize) -> Vec<u8> {
    let mut bytes = network(packet);
    bytes.truncate(most);
    bytes
}

/// An ICMP error as its receiver reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Ethernet source and destination.
    pub macs: (Mac, Mac),
    /// Who says it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// The kind, `None` if it is none of [`Trouble`].
    pub trouble: Option<Trouble>,
    /// What it quotes.
    pub quoted: Vec<u8>,
}

/// Reads an ICMP error; every checksum must be right and every length true.
///
/// # Panics
/// If it is none.
pub fn told(frame: &[u8]) -> Told {
    let packet = SlicedPacket::from_ethernet(frame).expect("a frame that can be read");
    let macs = macs(frame);
    let (source, destination, payload) = addresses(&packet, frame);
    let (trouble, quoted) = match &packet.transport {
        Some(TransportSlice::Icmpv4(icmp)) => {
            let header = icmp.header();
            let right = Icmpv4Header::with_checksum(header.icmp_type.clone(), icmp.payload());
            assert_eq!(header.checksum, right.checksum, "ICMP checksum");
            (said_by(&header.icmp_type), icmp.payload().to_vec())
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            let header = icmp.header();
            let (IpAddr::V6(from), IpAddr::V6(to)) = (source, destination) else {
                panic!("ICMPv6 over IPv4")
            };
            assert!(icmp.is_checksum_valid(from.octets(), to.octets()), "ICMPv6 checksum");
            let trouble = match header.icmp_type {
                Icmpv6Type::PacketTooBig { mtu } => {
                    Some(Trouble::TooBig(mtu.try_into().expect("an MTU")))
                }
                kind => Trouble::ALL.into_iter().find(|trouble| trouble.v6() == kind),
            };
            (trouble, icmp.payload().to_vec())
        }
        other => panic!("no ICMP: {other:?}, {payload} bytes"),
    };
    Told { macs, source, destination, trouble, quoted }
}

fn said_by(kind: &Icmpv4Type) -> Option<Trouble> {
    match kind {
        Icmpv4Type::DestinationUnreachable(
            icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu },
        ) => Some(Trouble::TooBig(*next_hop_mtu)),
        _ => Trouble::ALL.into_iter().find(|trouble| trouble.v4() == *kind),
    }
}

fn macs(frame: &[u8]) -> (Mac, Mac) {
    let mac = |at: usize| frame[at..at + 6].try_into().expect("six bytes");
    (mac(6), mac(0))
}

/// Addresses and payload length of a packet that fills its frame and whose header is right.
fn addresses(packet: &SlicedPacket<'_>, frame: &[u8]) -> (IpAddr, IpAddr, usize) {
    match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let whole = Ipv4HeaderSlice::from_slice(header.slice()).expect("it has been read");
            let right = whole.to_header().calc_header_checksum();
            assert_eq!(header.header_checksum(), right, "IPv4 header checksum");
            let at = header.slice().as_ptr() as usize - frame.as_ptr() as usize;
            assert_eq!(at + usize::from(header.total_len()), frame.len(), "total length");
            let (from, to) = (header.source_addr(), header.destination_addr());
            (from.into(), to.into(), ip.payload().payload.len())
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let at = header.slice().as_ptr() as usize - frame.as_ptr() as usize;
            let length = at + 40 + usize::from(header.payload_length());
            assert_eq!(length, frame.len(), "payload length");
            let (from, to) = (header.source_addr(), header.destination_addr());
            (from.into(), to.into(), ip.payload().payload.len())
        }
        other => panic!("no IP packet: {other:?}"),
    }
}

/// A TCP segment as its receiver reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Ethernet source and destination.
    pub macs: (Mac, Mac),
    /// Who sends it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// Its header.
    pub header: TcpHeader,
}

/// Reads a segment without data; every checksum must be right and every length true.
///
/// # Panics
/// If it is none.
pub fn segment(frame: &[u8]) -> Segment {
    let packet = SlicedPacket::from_ethernet(frame).expect("a frame that can be read");
    let (from, to, _) = addresses(&packet, frame);
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { panic!("no segment") };
    assert_eq!(tcp.payload(), b"");
    let header = tcp.to_header();
    let right = match (from, to) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            header.calc_checksum_ipv4_raw(a.octets(), b.octets(), &[])
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            header.calc_checksum_ipv6_raw(a.octets(), b.octets(), &[])
        }
        _ => panic!("one family"),
    };
    assert_eq!(Ok(header.checksum), right, "TCP checksum");
    Segment {
        macs: macs(frame),
        source: SocketAddr::new(from, header.source_port),
        destination: SocketAddr::new(to, header.destination_port),
        header,
    }
}

//! Packets for tests. Headers and checksums are etherparse's alone: what a right packet is, the
//! balancer's code has no say in.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2Header, IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel,
    Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, NetSlice, SingleVlanHeader, SlicedPacket,
    TcpHeader, TransportSlice, UdpHeader, VlanId, ether_type, ip_number,
};

mod outer;

pub use outer::Outer;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Sequence number of the SYN that a client of the tests sends.
pub const CLIENT_START: u32 = 0x1020_3040;
/// Sequence number of the SYN-ACK that a backend of the tests sends.
pub const BACKEND_START: u32 = 0x5060_7080;

/// Flags of a TCP segment.
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Aborts it.
    pub const RST: u8 = 0x04;
    /// Give the data to the application.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// There is urgent data.
    pub const URG: u8 = 0x20;
}

/// A packet with its frame, as words rather than bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Ethernet source and destination.
    pub macs: (Mac, Mac),
    /// VLAN ids, the outer one first.
    pub tags: Vec<u16>,
    /// Address and port; both ends are of one family.
    pub source: SocketAddr,
    /// Address and port.
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The header of a tunnel around it.
    pub outer: Option<Outer>,
    /// IPv4: bytes of options, a multiple of 4; IPv6: bytes of each extension header without its
    /// first two, 6 more than a multiple of 8, behind its protocol number.
    pub extras: Vec<(u8, Vec<u8>)>,
    /// Offset in units of 8 bytes, and whether more follow; IPv6 has a header for it if there is
    /// one, an "atomic" one at offset 0 with none to follow.
    pub fragment: Option<(u16, bool)>,
    /// What the network carries.
    pub transport: Transport,
    /// TCP: sequence number of the first byte, or of SYN or FIN.
    pub sequence: u32,
    /// TCP: acknowledgement number, whether the flag is set or not.
    pub acknowledgement: u32,
    /// TCP: receive window, not scaled.
    pub window: u16,
    /// What the transport carries.
    pub payload: Vec<u8>,
    /// Zero bytes behind the packet that bring the frame to Ethernet's least length.
    pub padding: usize,
}

/// DSCP 46 (expedited forwarding) and ECN 1, that a sender gives all its packets.
const CLASS: u8 = 0xb9;

/// A transport header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP segment.
    Tcp {
        /// Bits of [`flags`].
        flags: u8,
        /// Bytes of options, a multiple of 4.
        options: Vec<u8>,
    },
    /// A UDP datagram.
    Udp {
        /// Whether it has a checksum.
        checksum: Checksum,
    },
    /// No header at all, the protocol has this number.
    Other(u8),
}

/// The checksum of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The right one.
    Right,
    /// 0: none.
    None,
}

impl Packet {
    /// A TCP segment without data between two endpoints.
    pub fn tcp(source: SocketAddr, destination: SocketAddr, flags: u8) -> Self {
        Self::of(source, destination, Transport::Tcp { flags, options: Vec::new() })
    }

    /// The same packet with these sequence and acknowledgement numbers.
    #[must_use]
    pub fn numbered(self, sequence: u32, acknowledgement: u32) -> Self {
        Self { sequence, acknowledgement, ..self }
    }

    /// A UDP datagram of a few bytes between two endpoints.
    pub fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        let transport = Transport::Udp { checksum: Checksum::Right };
        Self { payload: b"ping".to_vec(), ..Self::of(source, destination, transport) }
    }

    /// A packet with this transport and nothing else in it.
    pub fn of(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Self {
        assert_eq!(source.is_ipv4(), destination.is_ipv4(), "one family");
        Self {
            macs: ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]),
            tags: Vec::new(),
            source,
            destination,
            ttl: 64,
            outer: None,
            extras: Vec::new(),
            fragment: None,
            transport,
            sequence: CLIENT_START,
            acknowledgement: BACKEND_START,
            window: 4096,
            payload: Vec::new(),
            padding: 0,
        }
    }

    /// Where the network header begins in the frame.
    pub fn network_at(&self) -> usize {
        Ethernet2Header::LEN + SingleVlanHeader::LEN * self.tags.len()
    }

    /// Where the transport header begins in the frame.
    pub fn transport_at(&self) -> usize {
        let behind = self.transport_header().len() + self.payload.len() + self.padding;
        self.bytes().len() - behind
    }

    /// True if it carries a TCP segment.
    pub const fn transport_is_tcp(&self) -> bool {
        matches!(self.transport, Transport::Tcp { .. })
    }

    /// Bytes of the packet as its network header counts them.
    pub fn network_length(&self) -> u64 {
        (self.bytes().len() - self.network_at() - self.padding) as u64
    }

    /// The frame.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = self.link();
        let transport = self.transport_header();
        let length = transport.len() + self.payload.len();
        let network = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ipv4(source.octets(), destination.octets(), length)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.ipv6(source.octets(), destination.octets(), length)
            }
            _ => unreachable!("both ends of a packet are of one family"),
        };
        if let Some(outer) = self.outer {
            let carries = if self.source.is_ipv4() { ip_number::IPV4 } else { ip_number::IPV6 };
            frame.extend(outer.header(carries, network.len() + length));
        }
        frame.extend(network);
        frame.extend(transport);
        frame.extend(&self.payload);
        frame.extend(vec![0; self.padding]);
        frame
    }

    /// The packet in fragments of so many bytes, a multiple of 8; the last one is shorter.
    pub fn pieces(&self, size: usize) -> Vec<Self> {
        assert_eq!(size % 8, 0, "offsets count 8 bytes");
        let bytes = self.bytes();
        let carried = &bytes[self.transport_at()..bytes.len() - self.padding];
        let last = (carried.len() - 1) / size;
        let pieces = carried.chunks(size).enumerate().map(|(number, piece)| Self {
            transport: Transport::Other(self.protocol().0),
            payload: piece.to_vec(),
            fragment: Some(((number * size / 8) as u16, number != last)),
            ..self.clone()
        });
        pieces.collect()
    }

    fn link(&self) -> Vec<u8> {
        let first = self.outer.map_or(self.source.ip(), |outer| outer.source);
        let network = if first.is_ipv4() { ether_type::IPV4 } else { ether_type::IPV6 };
        // What each header says of the one behind it: 802.1ad outside of 802.1Q.
        let mut types: Vec<EtherType> =
            self.tags.iter().map(|_| ether_type::VLAN_TAGGED_FRAME).collect();
        if types.len() > 1 {
            types[0] = ether_type::PROVIDER_BRIDGING;
        }
        types.push(network);
        let ethernet =
            Ethernet2Header { source: self.macs.0, destination: self.macs.1, ether_type: types[0] };
        let mut bytes = ethernet.to_bytes().to_vec();
        for (tag, ether_type) in self.tags.iter().zip(&types[1..]) {
            let vlan_id = VlanId::try_new(*tag).expect("12 bits");
            let tag = SingleVlanHeader { vlan_id, ether_type: *ether_type, ..Default::default() };
            bytes.extend(tag.to_bytes());
        }
        bytes
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4], length: usize) -> Vec<u8> {
        let (offset, more_fragments) = self.fragment.unwrap_or_default();
        let mut header = Ipv4Header {
            dscp: IpDscp::try_new(CLASS >> 2).expect("6 bits"),
            ecn: IpEcn::try_new(CLASS & 3).expect("2 bits"),
            identification: 0x1234,
            dont_fragment: self.fragment.is_none(),
            more_fragments,
            fragment_offset: IpFragOffset::try_new(offset).expect("13 bits"),
            time_to_live: self.ttl,
            protocol: self.protocol(),
            source,
            destination,
            ..Default::default()
        };
        for (_, options) in &self.extras {
            header.options =
                options.as_slice().try_into().expect("at most 40 bytes, a multiple of 4");
        }
        header.set_payload_len(length).expect("a packet of less than 64 KiB");
        header.header_checksum = header.calc_header_checksum();
        header.to_bytes().to_vec()
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16], length: usize) -> Vec<u8> {
        // From the last to the first, as each names the one behind it.
        let (mut next, mut behind) = (self.protocol(), Vec::new());
        if let Some((offset, more)) = self.fragment {
            let offset = IpFragOffset::try_new(offset).expect("13 bits");
            behind = Ipv6FragmentHeader::new(next, offset, more, 0x1234_5678).to_bytes().to_vec();
            next = ip_number::IPV6_FRAGMENTATION_HEADER;
        }
        for (protocol, bytes) in self.extras.iter().rev() {
            let header =
                Ipv6RawExtHeader::new_raw(next, bytes).expect("6 more than a multiple of 8");
            behind = [header.to_bytes().to_vec(), behind].concat();
            next = IpNumber(*protocol);
        }
        let mut header = Ipv6Header {
            traffic_class: CLASS,
            flow_label: Ipv6FlowLabel::try_new(0x5_4321).expect("20 bits"),
            next_header: next,
            hop_limit: self.ttl,
            source,
            destination,
            ..Default::default()
        };
        header.set_payload_length(behind.len() + length).expect("a packet of less than 64 KiB");
        [header.to_bytes().to_vec(), behind].concat()
    }

    fn protocol(&self) -> IpNumber {
        match self.transport {
            Transport::Tcp { .. } => ip_number::TCP,
            Transport::Udp { .. } => ip_number::UDP,
            Transport::Other(number) => IpNumber(number),
        }
    }

    fn transport_header(&self) -> Vec<u8> {
        let (source, destination) = (self.source.port(), self.destination.port());
        match &self.transport {
            Transport::Tcp { flags, options } => {
                let mut header = TcpHeader::new(source, destination, self.sequence, self.window);
                header.acknowledgment_number = self.acknowledgement;
                header.fin = flags & flags::FIN != 0;
                header.syn = flags & flags::SYN != 0;
                header.rst = flags & flags::RST != 0;
                header.psh = flags & flags::PSH != 0;
                header.ack = flags & flags::ACK != 0;
                header.urg = flags & flags::URG != 0;
                header.set_options_raw(options).expect("at most 40 bytes, a multiple of 4");
                header.checksum = self.tcp_checksum(&header);
                header.to_bytes().to_vec()
            }
            Transport::Udp { checksum } => {
                let length = u16::try_from(UdpHeader::LEN + self.payload.len()).expect("16 bits");
                let mut header = UdpHeader {
                    source_port: source,
                    destination_port: destination,
                    length,
                    checksum: 0,
                };
                if *checksum == Checksum::Right {
                    header.checksum = self.udp_checksum(&header);
                }
                header.to_bytes().to_vec()
            }
            Transport::Other(_) => Vec::new(),
        }
    }

    fn tcp_checksum(&self, header: &TcpHeader) -> u16 {
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                header.calc_checksum_ipv4_raw(a.octets(), b.octets(), &self.payload)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                header.calc_checksum_ipv6_raw(a.octets(), b.octets(), &self.payload)
            }
            _ => unreachable!("both ends of a packet are of one family"),
        }
        .expect("a packet of less than 64 KiB")
    }

    fn udp_checksum(&self, header: &UdpHeader) -> u16 {
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                header.calc_checksum_ipv4_raw(a.octets(), b.octets(), &self.payload)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                header.calc_checksum_ipv6_raw(a.octets(), b.octets(), &self.payload)
            }
            _ => unreachable!("both ends of a packet are of one family"),
        }
        .expect("a packet of less than 64 KiB")
    }
}

/// Source and destination of a frame that carries TCP or UDP.
///
/// # Panics
/// If it carries neither or cannot be read.
pub fn endpoints(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    let packet = SlicedPacket::from_ethernet(frame).expect("a frame that can be read");
    let (source, destination): (IpAddr, IpAddr) = match packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        Some(NetSlice::Ipv6(ip)) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        other => panic!("no IP packet: {other:?}"),
    };
    let (from, to) = match packet.transport {
        Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port()),
        Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
        other => panic!("neither TCP nor UDP: {other:?}"),
    };
    (SocketAddr::new(source, from), SocketAddr::new(destination, to))
}

/// Makes the IPv4 header checksum at `at` right again after bytes of the header were changed.
///
/// # Panics
/// If no IPv4 header can be read there.
pub fn mend_header_checksum(frame: &mut [u8], at: usize) {
    let (header, _) = Ipv4Header::from_slice(&frame[at..]).expect("an IPv4 header");
    frame[at + 10..at + 12].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
}

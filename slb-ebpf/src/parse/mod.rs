//! From bytes to what the stages need: link layer, network layer, transport layer. Nothing is
//! dropped before it is known to be ours; nothing of ours goes on with a header that lies.

pub mod fragment;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod link;
pub mod quic;
pub mod transport;

pub use fragment::{Fragment, Part};

use crate::{
    connections::store::{Key, Side},
    headers::{Ipv4, Ipv6},
    packet::{Frame, Short, Step},
};

/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of IPv4 in IP.
pub const IPV4_IN_IP: u8 = 4;
/// Protocol number of IPv6 in IP.
pub const IPV6_IN_IP: u8 = 41;

/// Source and destination as words (see [`slb_common::connection::v4_words`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Who sent it.
    pub source: [u64; 2],
    /// Who shall get it.
    pub destination: [u64; 2],
}

/// Reads the addresses of a packet, and nothing else.
#[inline(always)]
pub fn addresses<const W: usize>(frame: Frame, at: usize) -> Result<Addresses, Short> {
    if W == 1 { ipv4::addresses(frame, at) } else { ipv6::addresses(frame, at) }
}

/// Judges a packet's network header.
#[inline(always)]
pub fn network<const W: usize>(frame: Frame, at: usize) -> Step<Network> {
    if W == 1 { ipv4::network(frame, at) } else { ipv6::network(frame, at) }
}

/// Writes a header of the family for `length` bytes behind it: its class (DSCP and ECN) and the
/// protocol of what it carries.
#[inline(always)]
pub fn write<const W: usize>(
    frame: Frame,
    at: usize,
    addresses: &Addresses,
    (class, protocol): (u8, u8),
    length: u16,
) -> Result<(), Short> {
    if W == 1 {
        ipv4::write(frame, at, addresses, (class, protocol), length)
    } else {
        ipv6::write(frame, at, addresses, (class, protocol), length)
    }
}

/// Has the header count so many bytes more behind it; modulo 2¹⁶, so that they may be fewer.
#[inline(always)]
pub fn lengthen<const W: usize>(frame: Frame, at: usize, added: u16) -> Result<(), Short> {
    if W == 1 { ipv4::lengthen(frame, at, added) } else { ipv6::lengthen(frame, at, added) }
}

/// True for sources that no packet may come from.
#[inline(always)]
pub const fn martian<const W: usize>(source: [u64; 2]) -> bool {
    if W == 1 { ipv4::martian(source) } else { ipv6::martian(source) }
}

/// Equality without `memcmp`, which would be a call.
#[inline(always)]
pub const fn same(a: [u64; 2], b: [u64; 2]) -> bool {
    (a[0] ^ b[0]) | (a[1] ^ b[1]) == 0
}

impl Addresses {
    /// Those of an answer.
    #[inline(always)]
    pub const fn swapped(&self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

/// Length of a family's header without options or extensions.
#[inline(always)]
pub const fn fixed_length<const W: usize>() -> usize {
    if W == 1 { size_of::<Ipv4>() } else { size_of::<Ipv6>() }
}

/// Sum of the pseudo header that the checksum of a transport covers (RFC 9293, RFC 8200); an IPv4
/// address has nothing in its second word.
#[inline(always)]
pub const fn pseudo_sum(addresses: &Addresses, protocol: u8, length: u16) -> u64 {
    let ([a, b], [c, d]) = (addresses.source, addresses.destination);
    (a & 0xffff_ffff)
        + (a >> 32)
        + (b & 0xffff_ffff)
        + (b >> 32)
        + (c & 0xffff_ffff)
        + (c >> 32)
        + (d & 0xffff_ffff)
        + (d >> 32)
        + (protocol as u16).to_be() as u64
        + length.to_be() as u64
}

/// A network header that has been found sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Protocol behind all extension headers.
    pub protocol: u8,
    /// Offset of the transport header in the frame.
    pub transport: u16,
    /// Bytes from the transport header to the end of the packet.
    pub payload: u16,
    /// Bytes of the whole packet, headers included.
    pub length: u32,
    /// Hops left, this one included.
    pub ttl: u8,
    /// Whether it is a fragment.
    pub fragment: Fragment,
}

/// A transport header that has been found sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// As on the wire.
    pub source: [u8; 2],
    /// As on the wire.
    pub destination: [u8; 2],
    /// TCP flags; 0 for UDP.
    pub flags: u8,
}

impl Ports {
    /// Source 16 | destination 16, as numbers.
    #[inline(always)]
    pub const fn both(&self) -> u32 {
        let ([a, b], [c, d]) = (self.source, self.destination);
        u32::from_be_bytes([a, b, c, d])
    }
}

/// A packet that is ours, as the stages see it.
#[derive(Clone, Copy)]
pub struct Packet<const W: usize> {
    /// Source endpoint; extra: protocol.
    pub source: [u64; W],
    /// Destination endpoint; extra: protocol.
    pub destination: [u64; W],
    /// Link header.
    pub link: link::Link,
    /// Network header.
    pub network: Network,
    /// Ports and flags.
    pub ports: Ports,
}

impl<const W: usize> Packet<W> {
    /// What its connection is looked up by.
    #[inline(always)]
    pub const fn key(&self, side: Side) -> Key<'_, W> {
        match side {
            Side::Vip => Key { client: &self.source, server: &self.destination },
            Side::Backend => Key { client: &self.destination, server: &self.source },
        }
    }
}

#[cfg(test)]
mod tests;

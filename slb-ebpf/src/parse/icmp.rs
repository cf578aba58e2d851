//! ICMP and ICMPv6 (RFC 792, RFC 4443): which of their messages are errors, and the packets that
//! these quote.

pub mod tunnelled;

use slb_common::Verdict;

use super::{
    IPV4_IN_IP, IPV6_IN_IP, Network, TCP, UDP,
    ipv6::{self, Behind},
};
use crate::{
    headers::{Icmp, Ipv4, Ipv6},
    packet::{Frame, Short, Step},
};

/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// Types and codes of ICMP.
pub mod v4 {
    /// The packet cannot be delivered.
    pub const UNREACHABLE: u8 = 3;
    /// Nothing leads to the host.
    pub(super) const HOST: u8 = 1;
    /// Nobody listens on the port.
    pub const PORT: u8 = 3;
    /// The packet is too long and must not be fragmented.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Ping.
    pub(super) const ECHO_REQUEST: u8 = 8;
    /// TTL ran out.
    pub const TIME_EXCEEDED: u8 = 11;
    /// A header that cannot be.
    pub(super) const PARAMETER_PROBLEM: u8 = 12;
}

/// Types and codes of ICMPv6.
pub mod v6 {
    /// The packet cannot be delivered.
    pub const UNREACHABLE: u8 = 1;
    /// Nothing leads to the address.
    pub(super) const ADDRESS: u8 = 3;
    /// Nobody listens on the port.
    pub const PORT: u8 = 4;
    /// The packet is too long.
    pub const TOO_BIG: u8 = 2;
    /// The hop limit ran out.
    pub const TIME_EXCEEDED: u8 = 3;
    /// A header that cannot be.
    pub(super) const PARAMETER_PROBLEM: u8 = 4;
    /// Ping.
    pub(super) const ECHO_REQUEST: u8 = 128;
}

/// Bytes behind the network header that an error quotes at least (RFC 792): the ports are there.
const LEAST: u16 = 8;
/// Fragment offset, as it lies in memory.
const FRAGMENT_OFFSET: u16 = 0x1fff_u16.to_be();

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Something happened to a packet, which is quoted.
    Error,
    /// Ping.
    EchoRequest,
    /// Anything else, neighbour discovery among it.
    Other,
}

/// The packet that an error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Quote {
    /// Offset of its network header in the frame.
    pub network: u16,
    /// Offset of its transport header.
    pub transport: u16,
    /// Bytes quoted from the transport header on.
    pub quoted: u16,
    /// TCP or UDP, or the packet of a tunnel.
    pub protocol: u8,
}

impl Quote {
    /// True if it is the outer packet of a tunnel.
    #[inline(always)]
    pub const fn carries_packet(&self) -> bool {
        matches!(self.protocol, IPV4_IN_IP | IPV6_IN_IP)
    }
}

/// The protocol number of a family's ICMP.
#[inline(always)]
pub const fn protocol<const W: usize>() -> u8 {
    if W == 1 { ICMP } else { ICMPV6 }
}

/// True if a packet's fixed header says that ICMP follows.
#[inline(always)]
pub fn follows<const W: usize>(frame: Frame, at: usize) -> bool {
    let next = if W == 1 {
        frame.read::<Ipv4>(at).map(|header| header.protocol)
    } else {
        frame.read::<Ipv6>(at).map(|header| header.next_header)
    };
    next == Ok(protocol::<W>())
}

/// Says what a message is for; one that is cut off is none.
#[inline(always)]
pub fn message<const W: usize>(frame: Frame, network: &Network) -> Message {
    let header = frame.read::<Icmp>(usize::from(network.transport));
    let Ok(header) = header else { return Message::Other };
    if usize::from(network.payload) < size_of::<Icmp>() {
        return Message::Other;
    }
    match (W, header.kind) {
        (1, v4::UNREACHABLE | v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM) => Message::Error,
        (1, v4::ECHO_REQUEST) => Message::EchoRequest,
        (1, _) => Message::Other,
        (_, v6::UNREACHABLE | v6::TOO_BIG | v6::TIME_EXCEEDED | v6::PARAMETER_PROBLEM) => {
            Message::Error
        }
        (_, v6::ECHO_REQUEST) => Message::EchoRequest,
        _ => Message::Other,
    }
}

/// Finds the quoted packet; `None`: not enough of it is there, or nothing is sent like it.
#[inline(always)]
pub fn quote<const W: usize>(frame: Frame, network: &Network) -> Option<Quote> {
    let at = usize::from(network.transport) + size_of::<Icmp>();
    packet::<W>(frame, at, network.payload.checked_sub(size_of::<Icmp>() as u16)?)
}

/// The packet at `at`, of which so many bytes are there.
#[inline(always)]
pub fn packet<const W: usize>(frame: Frame, at: usize, bytes: u16) -> Option<Quote> {
    let (protocol, length) =
        if W == 1 { quoted_v4(frame, at).ok()? } else { quoted_v6(frame, at).ok()? };
    let quoted = bytes.checked_sub(length as u16)?;
    let known = matches!(protocol, TCP | UDP | IPV4_IN_IP | IPV6_IN_IP);
    let (network, transport) = (at as u16, (at + length) as u16);
    (known && quoted >= LEAST).then_some(Quote { network, transport, quoted, protocol })
}

/// Protocol and header length of a quoted packet, which need not be there in whole.
#[inline(always)]
fn quoted_v4(frame: Frame, at: usize) -> Step<(u8, usize)> {
    let header = frame.read::<Ipv4>(at).map_err(|Short| Verdict::DropTruncated)?;
    let length = usize::from(header.version_length & 0x0f) * 4;
    if header.version_length >> 4 != 4 || length < size_of::<Ipv4>() {
        return Err(Verdict::DropBadLength);
    }
    if header.fragment & FRAGMENT_OFFSET != 0 {
        return Err(Verdict::DropFragmentWithoutFirst);
    }
    Ok((header.protocol, length))
}

#[inline(always)]
fn quoted_v6(frame: Frame, at: usize) -> Step<(u8, usize)> {
    let header = frame.read::<Ipv6>(at).map_err(|Short| Verdict::DropTruncated)?;
    if u32::from_be(header.version_class_flow) >> 28 != 6 {
        return Err(Verdict::DropBadLength);
    }
    match ipv6::behind(frame, at, header.next_header)? {
        Behind { fragment, .. } if fragment.later() => Err(Verdict::DropFragmentWithoutFirst),
        Behind { protocol, skipped, .. } => Ok((protocol, skipped)),
    }
}

#[cfg(test)]
mod tests;

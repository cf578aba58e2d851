//! Forwarding modes: what is rewritten, one file a mode, and how the frame leaves.

pub mod error;
pub mod full_nat;
pub mod message;
pub mod mtu;
pub mod nat;
pub mod options;
pub mod room;
pub mod send;
pub mod syn;
pub mod toa;
pub mod tunnel;

use aya_ebpf::programs::XdpContext;
use slb_common::{Verdict, next_hop::NextHop, service::mode};

use crate::{
    connections::{lookup::Entry, store::Side},
    packet::{Frame, Step},
    parse::{Packet, link::Link},
};

/// Bytes of the headers that fit where they are put together: Ethernet, two VLAN tags, IPv6 with
/// common extension headers, TCP.
pub const SCRATCH_BYTES: usize = 256;

/// Rewrites a packet of a connection in place, as its mode wants it.
#[inline(always)]
pub fn rewrite<const W: usize>(
    context: &XdpContext,
    packet: &Packet<W>,
    entry: &Entry<W>,
    side: Side,
) -> Step<()> {
    let (frame, at) = (Frame::of(context), packet.link.at());
    match entry.translation.mode() {
        mode::NAT => {
            let (old, new) = match side {
                Side::Vip => (&entry.vip, &entry.backend),
                Side::Backend => (&entry.backend, &entry.vip),
            };
            nat::rewrite(frame, at, &packet.network, &[nat::Rewrite { side, old, new }])
        }
        mode::FULL_NAT => full_nat::rewrite(context, packet, side, entry),
        // A hop less, as behind any router; whoever it is addressed to stays.
        mode::DIRECT | mode::TUNNEL => nat::network::<W, 0>(frame, at, &[]),
        _ => Err(Verdict::DropInternal),
    }
}

/// How a packet leaves.
pub struct Way<'a> {
    /// Forwarding mode.
    pub mode: u8,
    /// Backend slot.
    pub slot: u32,
    /// A number that all packets of the connection have.
    pub flow: u32,
    /// Where its frame goes.
    pub hop: &'a NextHop,
}

/// Gives a rewritten packet its outer header, if its mode wants one, and addresses its frame.
#[inline(always)]
pub fn send<const W: usize>(
    context: &XdpContext,
    link: &Link,
    length: u16,
    way: &Way<'_>,
) -> Step<()> {
    if way.mode == mode::TUNNEL {
        return tunnel::encapsulate::<W>(context, link, length, way);
    }
    send::address(context, link, way.hop)
}

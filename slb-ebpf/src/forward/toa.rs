//! The client's endpoint in its segments: TCP option 254, as the well-known toa kernel module reads
//! it. It goes right behind the fixed header; everything before it moves forward.

use aya_ebpf::programs::XdpContext;
use slb_common::{
    connection::{endpoint_address, endpoint_port, flag, mark},
    next_hop::NextHop,
    service::mode,
};

use super::room;
use crate::{
    checksum::Delta,
    connections::{lookup::Entry, store::Side, tcp_state::tcp},
    headers::{Tcp, ToaAddress, ToaHead},
    packet::{Frame, Short},
    parse::{self, Network, TCP},
};

/// Kind of the option: one of those for experiments, and what everybody uses for this.
const KIND: u8 = 254;

/// Bytes of the option.
#[inline(always)]
pub const fn size<const W: usize>() -> u16 {
    if W == 1 { 8 } else { 20 }
}

/// Marks of a connection that begins: its segments carry the client's endpoint.
#[inline(always)]
pub const fn marks(mode: u8, protocol: u8) -> u8 {
    if mode == mode::FULL_NAT && protocol == TCP { mark::TOA | mark::RARE } else { 0 }
}

/// True if the option belongs into this segment, and fits the way.
#[inline(always)]
pub const fn due<const W: usize>(
    entry: &Entry<W>,
    side: Side,
    flags: u8,
    network: &Network,
    hop: &NextHop,
) -> bool {
    let fits = hop.mtu == 0 || network.length + size::<W>() as u32 <= hop.mtu as u32;
    matches!(side, Side::Vip)
        && entry.translation.marks() & mark::TOA != 0
        && flags & (tcp::SYN | tcp::RST) == 0
        && fits
}

/// Notes that the backend has sent more than its SYN-ACK: it has the connection, and the client's
/// endpoint with it. The hot path takes over unless something else is rare about the connection.
#[inline(always)]
pub fn note_reply<const W: usize>(entry: &Entry<W>, side: Side, flags: u8) {
    let marks = entry.translation.marks();
    // The first segment of a spliced connection stands for the backend's SYN-ACK.
    let first = marks & mark::SPLICED != 0 && entry.control.flags() & flag::ANSWERED == 0;
    if side == Side::Vip || marks & mark::TOA == 0 || flags & tcp::SYN != 0 || first {
        return;
    }
    let left = marks & !mark::TOA;
    let left = if left == mark::RARE { 0 } else { left };
    // Whoever was quicker has written the same, or the next reply will.
    let _swapped =
        entry.line.swap_translation(entry.translation, entry.translation.with_marks(left));
}

/// Puts the option into the segment; without room it stays as it is.
#[inline(always)]
pub fn insert<const W: usize>(
    context: &XdpContext,
    client: &[u64; W],
    network: usize,
    transport: usize,
) -> Result<(), Short> {
    let added = size::<W>();
    let length = Frame::of(context).read::<Tcp>(transport)?.length;
    if usize::from(length >> 4) * 4 + usize::from(added) > 60 {
        return Err(Short);
    }
    let head = room::make(context, transport + size_of::<Tcp>(), i32::from(added))?;
    let frame = Frame::of(context);
    let delta = write(frame, head, client)?;
    parse::lengthen::<W>(frame, network, added)?;
    let header = frame.place::<Tcp>(transport)?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        let (words, flags) = ((*header).length, (*header).flags);
        let longer = words + (added as u8 / 4 << 4);
        // The pseudo header counts the segment's bytes.
        let delta = delta
            .replace16(u16::from_ne_bytes([words, flags]), u16::from_ne_bytes([longer, flags]))
            .replace16(0, added.to_be());
        (*header).length = longer;
        (*header).checksum = delta.apply((*header).checksum);
    }
    Ok(())
}

/// Writes the option.
#[inline(always)]
fn write<const W: usize>(frame: Frame, at: usize, client: &[u64; W]) -> Result<Delta, Short> {
    let head = ToaHead {
        kind: KIND,
        length: size::<W>() as u8,
        port: u16::from_ne_bytes(endpoint_port(client)),
    };
    let address = endpoint_address(client);
    let place = frame.place::<ToaHead>(at)?;
    // SAFETY: `place` has checked that the bytes lie in the frame, here and below.
    unsafe { place.write_unaligned(head) };
    let at = at + size_of::<ToaHead>();
    if W == 1 {
        let place = frame.place::<ToaAddress<1>>(at)?;
        // SAFETY: see above.
        unsafe { place.write_unaligned(ToaAddress([address[0] as u32])) };
    } else {
        let place = frame.place::<ToaAddress<4>>(at)?;
        let words = [
            address[0] as u32,
            (address[0] >> 32) as u32,
            address[1] as u32,
            (address[1] >> 32) as u32,
        ];
        // SAFETY: see above.
        unsafe { place.write_unaligned(ToaAddress(words)) };
    }
    Ok(Delta::NONE
        .replace16(0, u16::from_ne_bytes([head.kind, head.length]))
        .replace16(0, head.port)
        .replace_address([0; 2], address))
}

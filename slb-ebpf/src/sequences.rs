//! Where a TCP connection stands, as its segments tell: kept for resets, and to see whether a
//! segment may be believed.

use slb_common::{
    connection::{Sequences, flag, mark, state},
    service::mode,
};

use crate::{
    atomic,
    connections::{
        lookup::Entry,
        store::Side,
        tcp_state::tcp,
        windows::{self, Phase, Segment},
    },
    headers::Tcp,
    maps::sequences_of,
    packet::{Frame, Short},
    parse::{Packet, TCP},
};

/// Notes what a packet tells; false if it is not to be believed. `opened`: it is the first one.
///
/// Only the client's direction writes, once the handshake is over: replies of an open connection
/// do not even read.
#[inline(always)]
pub fn note<const W: usize>(
    frame: Frame,
    packet: &Packet<W>,
    entry: &Entry<W>,
    side: Side,
    opened: bool,
) -> bool {
    const WEIGHTY: u8 = tcp::SYN | tcp::FIN | tcp::RST;
    if packet.network.protocol != TCP {
        return true;
    }
    if side == Side::Backend && packet.ports.flags & WEIGHTY == 0 {
        return true;
    }
    let Some(place) = sequences_of::<W>(entry.number) else { return true };
    let Ok(segment) = segment(frame, packet) else { return true };
    // SAFETY: the map gave the pointer to an aligned word.
    let known =
        if opened { Sequences::default() } else { Sequences(unsafe { atomic::load(place) }) };
    let after = match side {
        Side::Vip => windows::from_client(known, &with_cookie(segment, entry), phase(entry)),
        Side::Backend => {
            windows::from_backend(known, &seen_by_client(segment, entry), phase(entry))
        }
    };
    let Some(after) = after else { return false };
    if after != known {
        // SAFETY: as above.
        unsafe { atomic::store(place, after.0) };
    }
    true
}

/// True for a SYN that begins another connection than the entry's last SYN, in dr and tunnel: there
/// nobody sees that the backend has refused or closed that one, so the client is on the same ports
/// again. It goes where the entry leads, and may be forged: of what is established it changes nothing
/// but this memory, by which its repetitions are known. `opened`: it has made the entry.
#[inline(always)]
pub fn begins_another<const W: usize>(
    frame: Frame,
    packet: &Packet<W>,
    entry: &Entry<W>,
    opened: bool,
) -> bool {
    let syn = packet.ports.flags & (tcp::SYN | tcp::ACK) == tcp::SYN;
    if !syn || !mode::one_sided(entry.translation.mode()) {
        return false;
    }
    let header = frame.read::<Tcp>(usize::from(packet.network.transport));
    let Ok(Tcp { sequence, .. }) = header else { return false };
    let begun = entry.translation.with_begun(u32::from_be(sequence));
    begun != entry.translation && entry.line.swap_translation(entry.translation, begun) && !opened
}

/// The segment that a packet carries; parsing has seen that its header is sound.
#[inline(always)]
fn segment<const W: usize>(frame: Frame, packet: &Packet<W>) -> Result<Segment, Short> {
    let header = frame.read::<Tcp>(usize::from(packet.network.transport))?;
    let (flags, header_length) = (packet.ports.flags, u32::from(header.length >> 4) * 4);
    let counted = u32::from(flags & tcp::SYN != 0) + u32::from(flags & tcp::FIN != 0);
    Ok(Segment {
        sequence: u32::from_be(header.sequence),
        acknowledged: u32::from_be(header.acknowledgement),
        length: u32::from(packet.network.payload).wrapping_sub(header_length) + counted,
        flags,
    })
}

/// A backend's segment with the sequence number that the client sees.
#[inline(always)]
fn seen_by_client<const W: usize>(segment: Segment, entry: &Entry<W>) -> Segment {
    Segment { sequence: segment.sequence.wrapping_add(entry.translation.delta()), ..segment }
}

/// The SYN that was made of a client's segment, with the cookie that this one acknowledged.
#[inline(always)]
const fn with_cookie<const W: usize>(segment: Segment, entry: &Entry<W>) -> Segment {
    if segment.flags & tcp::SYN == 0 || entry.translation.marks() & mark::WAITING == 0 {
        return segment;
    }
    let acknowledged = entry.translation.delta().wrapping_add(1);
    Segment { acknowledged, flags: segment.flags | tcp::ACK, ..segment }
}

#[inline(always)]
fn phase<const W: usize>(entry: &Entry<W>) -> Phase {
    if entry.control.state() != state::SYN {
        Phase::Open
    } else if entry.control.flags() & flag::ANSWERED != 0
        && !mode::one_sided(entry.translation.mode())
    {
        Phase::Answered
    } else {
        Phase::Opening
    }
}

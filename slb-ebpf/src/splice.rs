//! Connections whose handshake with the client was made by cookie: the numbers that a backend begins
//! with are not those that its client was told. The handshake with the backend follows; afterwards
//! its sequence numbers are translated toward the client, the client's acknowledgements toward the
//! backend, and windows from one scale to the other.

use aya_ebpf::programs::XdpContext;
use slb_common::{
    Verdict,
    connection::{Sequences, mark},
};

use crate::{
    atomic,
    checksum::Delta,
    connections::{lookup::Entry, store::Side, tcp_state::tcp},
    forward::error::Numbers,
    handover,
    headers::Tcp,
    maps::sequences_of,
    packet::{Frame, Short, Step},
    parse::{Packet, TCP},
    tcp_options::Wish,
    verified,
};

/// Has the segments go on in the stage of cookies that belong to a handshake.
#[inline(always)]
pub fn handshake<const W: usize>(packet: &Packet<W>, side: Side, entry: &Entry<W>) -> Step<()> {
    let (marks, flags) = (entry.translation.marks(), packet.ports.flags);
    if marks & mark::SPLICED == 0 || packet.network.fragment.later() {
        return Ok(());
    }
    let waiting = marks & mark::WAITING != 0;
    match side {
        // It repeats its segment, or already sends data: the backend is asked once more.
        Side::Vip if waiting && flags & (tcp::SYN | tcp::RST) == 0 => {
            Err(handover::repeat(entry.number))
        }
        Side::Backend if flags & tcp::SYN != 0 && waiting => Err(handover::splice(entry.number)),
        Side::Backend if flags & tcp::SYN != 0 => Err(handover::acknowledge(entry.number)),
        // It has a former connection of these ports: told to forget it, it takes the next SYN.
        Side::Backend if waiting && flags & tcp::RST == 0 => Err(Verdict::DropNoConnection),
        _ => Ok(()),
    }
}

/// What a line's backend acknowledges when it answers the SYN that its client's segments have become.
#[inline(always)]
pub fn awaited<const W: usize>(line: u32) -> u32 {
    match sequences_of::<W>(line) {
        // SAFETY: the map gave the pointer to an aligned word.
        Some(place) => Sequences(unsafe { atomic::load(place) }).end(),
        None => 0,
    }
}

/// Translates a segment's numbers in place.
#[inline(always)]
pub fn translate<const W: usize>(
    context: &XdpContext,
    packet: &Packet<W>,
    side: Side,
    entry: &Entry<W>,
) -> Step<()> {
    let spliced = entry.translation.marks() & mark::SPLICED != 0;
    if !spliced || packet.network.protocol != TCP || packet.network.fragment.later() {
        return Ok(());
    }
    let transport = packet.network.transport;
    let header = Frame::of(context)
        .place::<Tcp>(usize::from(transport))
        .map_err(|Short| Verdict::DropTruncated)?;
    let waiting = entry.translation.marks() & mark::WAITING != 0;
    let delta = entry.translation.delta();
    match side {
        // Nobody has said which numbers it should be.
        Side::Vip if waiting => {}
        Side::Vip => {
            // SAFETY: `place` has checked that the header lies in the frame.
            let length = unsafe { acknowledge(header, delta) };
            if usize::from(length >> 4) * 4 > size_of::<Tcp>() && delta != 0 {
                verified::edit_options(
                    context,
                    transport,
                    Wish { sack: delta, ..Wish::NONE }.pack(),
                );
            }
        }
        // SAFETY: as above.
        Side::Backend => unsafe {
            let sequence = match waiting {
                // A refusal: the client expects what comes after the cookie.
                true => delta.wrapping_add(1),
                false => u32::from_be((*header).sequence).wrapping_add(delta),
            };
            advance(header, sequence, entry.translation.window_shift());
        },
    }
    Ok(())
}

/// What an error for the client ([`Side::Backend`]: it came from there) or for the backend must add
/// to the numbers of the segment that it quotes: receivers believe none about a number that they
/// have not sent (RFC 5927 section 4.1).
#[inline(always)]
pub fn quoted<const W: usize>(side: Side, entry: &Entry<W>) -> Numbers {
    let (marks, delta) = (entry.translation.marks(), entry.translation.delta());
    match side {
        _ if marks & mark::SPLICED == 0 => Numbers::KEPT,
        // The backend knows only the SYN, the client only what it sent after that.
        Side::Backend if marks & mark::WAITING != 0 => {
            Numbers { sequence: 1, acknowledgement: delta.wrapping_add(1) }
        }
        Side::Backend => Numbers { sequence: 0, acknowledgement: delta },
        // Of the backend's own the client has seen nothing yet.
        Side::Vip if marks & mark::WAITING != 0 => Numbers::KEPT,
        Side::Vip => Numbers { sequence: delta.wrapping_neg(), acknowledgement: 0 },
    }
}

/// The client's acknowledgement, in the backend's numbers. Returns the header's length field.
///
/// # Safety
/// The header must lie in the frame.
#[inline(always)]
unsafe fn acknowledge(header: *mut Tcp, delta: u32) -> u8 {
    // SAFETY: the caller vouches for the header.
    unsafe {
        if (*header).flags & tcp::ACK != 0 {
            let old = (*header).acknowledgement;
            let new = u32::from_be(old).wrapping_sub(delta).to_be();
            (*header).acknowledgement = new;
            (*header).checksum = Delta::NONE.replace32(old, new).apply((*header).checksum);
        }
        (*header).length
    }
}

/// The backend's sequence number and window, in the client's numbers and scale.
///
/// # Safety
/// The header must lie in the frame.
#[inline(always)]
unsafe fn advance(header: *mut Tcp, sequence: u32, shift: i8) {
    // SAFETY: the caller vouches for the header.
    unsafe {
        let (old, new) = ((*header).sequence, sequence.to_be());
        let window = (*header).window;
        let shifted = shifted(u16::from_be(window), shift).to_be();
        (*header).sequence = new;
        (*header).window = shifted;
        let delta = Delta::NONE.replace32(old, new).replace16(window, shifted);
        (*header).checksum = delta.apply((*header).checksum);
    }
}

/// A window in another scale, never larger than it is.
#[inline(always)]
const fn shifted(window: u16, shift: i8) -> u16 {
    if shift < 0 {
        return window >> (shift.unsigned_abs() & 15);
    }
    let wide = (window as u32) << (shift as u32 & 15);
    if wide > 0xffff { 0xffff } else { wide as u16 }
}

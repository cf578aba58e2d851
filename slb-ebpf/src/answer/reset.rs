//! RST to a TCP segment that nobody takes (RFC 9293 section 3.10.7.1).

use aya_ebpf::programs::XdpContext;

use super::{Refused, icmp};
use crate::{
    checksum::fold,
    connections::tcp_state::tcp,
    forward::message,
    handover,
    headers::Tcp,
    packet::Frame,
    parse::{self, TCP},
    pipeline::Look,
};

/// Turns a segment into the RST to it.
#[inline(always)]
pub(super) fn make<const W: usize>(context: &XdpContext, packet: &Refused) -> Option<()> {
    let frame = Frame::of(context);
    let segment = frame.read::<Tcp>(usize::from(packet.network.transport)).ok()?;
    if segment.flags & tcp::RST != 0 {
        return None;
    }
    let header = answer_to(&segment, packet.network.payload);
    let addresses = packet.addresses.swapped();
    let sum = parse::pseudo_sum(&addresses, TCP, size_of::<Tcp>() as u16) + header.sum();
    let header = Tcp { checksum: !fold(sum), ..header };
    let (at, network) = (packet.link.at(), parse::fixed_length::<W>());
    let length = size_of::<Tcp>() as u16;
    message::trim(context, at + network + size_of::<Tcp>())?;
    let frame = Frame::of(context);
    icmp::turn_round(frame)?;
    parse::write::<W>(frame, at, &addresses, (0, TCP), length).ok()?;
    let place = frame.place::<Tcp>(at + network).ok()?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe { place.write(header) };
    Some(())
}

/// The number that the sender of a SYN expects, as on the wire: 0, unless a cookie has told it
/// another.
#[inline(always)]
fn expected() -> u32 {
    if handover::look() != Look::Proven {
        return 0;
    }
    handover::proven_by().0.wrapping_add(1).to_be()
}

/// The header of the RST to a segment; `payload` counts its header too.
#[inline(always)]
fn answer_to(segment: &Tcp, payload: u16) -> Tcp {
    let header_length = u16::from(segment.length >> 4) * 4;
    let marks = u32::from(segment.flags & tcp::SYN != 0) + u32::from(segment.flags & tcp::FIN != 0);
    let length = u32::from(payload.wrapping_sub(header_length)) + marks;
    let expected = if segment.flags & tcp::SYN != 0 { expected() } else { 0 };
    let (sequence, acknowledgement, flags) = if segment.flags & tcp::ACK != 0 {
        (segment.acknowledgement, 0, tcp::RST)
    } else {
        let next = u32::from_be(segment.sequence).wrapping_add(length);
        (expected, next.to_be(), tcp::RST | tcp::ACK)
    };
    Tcp {
        source: segment.destination,
        destination: segment.source,
        sequence,
        acknowledgement,
        length: (size_of::<Tcp>() as u8 / 4) << 4,
        flags,
        window: 0,
        checksum: 0,
        urgent: 0,
    }
}

//! An ICMP error's headers before the start of the packet that it is about (RFC 792, RFC 4443).

use aya_ebpf::{helpers::generated::bpf_xdp_adjust_tail, programs::XdpContext};

use crate::{
    checksum::fold,
    headers::Icmp,
    packet::Frame,
    parse::{self, Addresses, icmp},
    verified::checksum_over,
};

/// What is quoted of a packet over IPv4: its header, options included, and enough of its payload
/// for every header of TCP.
const QUOTE_V4: usize = 128;
/// What is quoted over IPv6: as much as the least MTU of 1280 bytes takes.
const QUOTE_V6: usize = 1232;

/// How much an error quotes of a packet of which so many bytes are there: whole words, so that the
/// checksum has no half of one at its end.
#[inline(always)]
pub const fn quoted<const W: usize>(bytes: usize) -> usize {
    let most = if W == 1 { QUOTE_V4 } else { QUOTE_V6 };
    if bytes & !3 < most { bytes & !3 } else { most }
}

/// Bytes of the headers that go before what is quoted.
#[inline(always)]
pub const fn headers<const W: usize>() -> usize {
    parse::fixed_length::<W>() + size_of::<Icmp>()
}

/// Writes the headers of an error that quotes so many bytes, for which there is room at `at`.
#[inline(always)]
pub fn write<const W: usize>(
    context: &XdpContext,
    at: usize,
    addresses: &Addresses,
    header: Icmp,
    quoted: usize,
) -> Option<()> {
    let frame = Frame::of(context);
    let length = size_of::<Icmp>() + quoted;
    let start = at + parse::fixed_length::<W>();
    let protocol = icmp::protocol::<W>();
    parse::write::<W>(frame, at, addresses, (0, protocol), length as u16).ok()?;
    // The checksum of ICMPv6 covers the addresses, that of ICMP does not.
    let mut sum = match W {
        1 => 0,
        _ => parse::pseudo_sum(addresses, protocol, length as u16),
    };
    let place = frame.place::<Icmp>(start).ok()?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe { place.write(header) };
    sum += checksum_over(frame, start, length);
    let place = Frame::of(context).place::<Icmp>(start).ok()?;
    // SAFETY: as above.
    unsafe { (*place).checksum = !fold(sum) };
    Some(())
}

/// Cuts the end of the frame off; it may move, so nothing read before counts.
#[inline(always)]
pub fn trim(context: &XdpContext, length: usize) -> Option<()> {
    let change = length as i32 - Frame::of(context).length() as i32;
    // SAFETY: the helper checks its argument; it invalidates pointers, of which none is kept.
    (change <= 0 && unsafe { bpf_xdp_adjust_tail(context.ctx, change) } == 0).then_some(())
}

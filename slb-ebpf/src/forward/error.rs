//! NAT of ICMP errors: the quoted packet becomes the one that its sender knows (RFC 5508 section
//! 4.2), its checksums, as far as they are quoted, and the error's own with it.

mod numbers;

use slb_common::{Verdict, connection::endpoint_address, connection::endpoint_port};

pub use numbers::Numbers;

use super::nat::{self, Rewrite};
use crate::{
    checksum::Delta,
    connections::store::Side,
    headers::{Icmp, Ipv4, Ipv6, Udp},
    packet::{Frame, Header, Short, Step},
    parse::{TCP, icmp::Quote, ipv6},
};

/// What becomes of an error: both ends of it and both of the packet that it quotes, whether they
/// change or not. Ports of the outer ends mean nothing.
pub struct Translation<'a, const W: usize> {
    /// The error itself.
    pub outer: [Rewrite<'a, W>; 2],
    /// What it quotes.
    pub quoted: [Rewrite<'a, W>; 2],
    /// The same of its numbers, if it is a segment.
    pub numbers: Numbers,
}

/// A checksum by itself: the quote may end behind it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Checksum(u16);

// SAFETY: one integer.
unsafe impl Header for Checksum {}

/// Offset of the checksum in a TCP header.
const TCP_CHECKSUM: u16 = 16;
/// Offset of the checksum in a UDP header.
const UDP_CHECKSUM: u16 = 6;

/// Rewrites outer header, quoted headers and the checksums of all of them; `message` is the offset
/// of the ICMP header.
#[inline(always)]
pub fn rewrite<const W: usize>(
    frame: Frame,
    at: usize,
    message: u16,
    quote: &Quote,
    translation: &Translation<'_, W>,
) -> Step<()> {
    let mut delta = quoted(frame, quote, translation).map_err(|Short| Verdict::DropTruncated)?;
    if W == 1 {
        nat::ipv4(frame, at, &translation.outer)?;
    } else {
        // The checksum of ICMPv6 covers the outer addresses, that of ICMP does not.
        delta = addresses(delta, &translation.outer);
        nat::ipv6(frame, at, &translation.outer)?;
    }
    let message =
        frame.place::<Icmp>(usize::from(message)).map_err(|Short| Verdict::DropTruncated)?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe { (*message).checksum = delta.apply((*message).checksum) };
    Ok(())
}

/// Both addresses change.
#[inline(always)]
fn addresses<const W: usize>(delta: Delta, ends: &[Rewrite<'_, W>; 2]) -> Delta {
    let [first, second] = ends;
    delta
        .replace_address(endpoint_address(first.old), endpoint_address(first.new))
        .replace_address(endpoint_address(second.old), endpoint_address(second.new))
}

/// Both ports change.
#[inline(always)]
fn ports<const W: usize>(delta: Delta, ends: &[Rewrite<'_, W>; 2]) -> Delta {
    let port = |endpoint| u16::from_ne_bytes(endpoint_port(endpoint));
    let [first, second] = ends;
    delta.replace16(port(first.old), port(first.new)).replace16(port(second.old), port(second.new))
}

/// Rewrites the quoted headers; returns what that changes of the error's checksum.
#[inline(always)]
fn quoted<const W: usize>(
    frame: Frame,
    quote: &Quote,
    translation: &Translation<'_, W>,
) -> Result<Delta, Short> {
    let ends = &translation.quoted;
    let header = frame.place::<Udp>(usize::from(quote.transport))?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe { nat::set_ports(&raw mut (*header).source, &raw mut (*header).destination, ends) };
    let mut changed = addresses(ports(Delta::NONE, ends), ends);
    let tcp = quote.protocol == TCP;
    if tcp {
        changed = translation.numbers.add(frame, quote, changed)?;
    }
    let mut error = changed;
    let offset = if tcp { TCP_CHECKSUM } else { UDP_CHECKSUM };
    if usize::from(quote.quoted) >= usize::from(offset) + size_of::<Checksum>() {
        let place = frame.place::<Checksum>(usize::from(quote.transport + offset))?;
        // SAFETY: as above.
        unsafe {
            let before = (*place).0;
            // No checksum stays none (RFC 768).
            if tcp || before != 0 {
                let after = if tcp { changed.apply(before) } else { changed.apply_udp(before) };
                (*place).0 = after;
                error = error.replace16(before, after);
            }
        }
    }
    if W == 1 { quoted_v4(frame, quote, ends, error) } else { quoted_v6(frame, quote, ends, error) }
}

#[inline(always)]
fn quoted_v4<const W: usize>(
    frame: Frame,
    quote: &Quote,
    ends: &[Rewrite<'_, W>; 2],
    error: Delta,
) -> Result<Delta, Short> {
    let header = frame.place::<Ipv4>(usize::from(quote.network))?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        let checksum = (*header).checksum;
        let mended = addresses(Delta::NONE, ends).apply(checksum);
        for end in ends {
            let address = endpoint_address(end.new)[0] as u32;
            match end.side {
                Side::Vip => (*header).destination = address,
                Side::Backend => (*header).source = address,
            }
        }
        (*header).checksum = mended;
        Ok(error.replace16(checksum, mended))
    }
}

#[inline(always)]
fn quoted_v6<const W: usize>(
    frame: Frame,
    quote: &Quote,
    ends: &[Rewrite<'_, W>; 2],
    error: Delta,
) -> Result<Delta, Short> {
    let header = frame.place::<Ipv6>(usize::from(quote.network))?;
    for end in ends {
        let words = ipv6::halves(endpoint_address(end.new));
        // SAFETY: `place` has checked that the header lies in the frame.
        unsafe {
            match end.side {
                Side::Vip => (*header).destination = words,
                Side::Backend => (*header).source = words,
            }
        }
    }
    Ok(error)
}

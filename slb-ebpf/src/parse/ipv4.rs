//! IPv4 (RFC 791): addresses first, everything else once the packet is known to be ours.

use slb_common::Verdict;

use super::{Addresses, Fragment, Network, Part};
use crate::{
    checksum::{Delta, fold},
    headers::Ipv4,
    packet::{Frame, Short, Step},
};

/// More-fragments flag and fragment offset, as they lie in memory.
const FRAGMENT: u16 = 0x3fff_u16.to_be();
/// Fragment offset in units of 8 bytes.
const OFFSET: u16 = 0x1fff;
/// Whether fragments follow.
const MORE: u16 = 0x2000;

/// Reads the addresses, and nothing else.
#[inline(always)]
pub fn addresses(frame: Frame, at: usize) -> Result<Addresses, Short> {
    let header = frame.read::<Ipv4>(at)?;
    Ok(Addresses {
        source: [u64::from(header.source), 0],
        destination: [u64::from(header.destination), 0],
    })
}

/// Judges the header.
#[inline(always)]
pub fn network(frame: Frame, at: usize) -> Step<Network> {
    let header = frame.read::<Ipv4>(at).map_err(|Short| Verdict::DropTruncated)?;
    let header_length = usize::from(header.version_length & 0x0f) * 4;
    if header.version_length >> 4 != 4 {
        return Err(Verdict::DropVersion);
    }
    if header_length < size_of::<Ipv4>() {
        return Err(Verdict::DropBadLength);
    }
    let length = usize::from(u16::from_be(header.total_length));
    if length < header_length {
        return Err(Verdict::DropBadLength);
    }
    if at + length > frame.length() {
        return Err(Verdict::DropTruncated);
    }
    let mut sum = header.sum();
    if header_length > size_of::<Ipv4>() {
        sum += options_sum(frame, at + size_of::<Ipv4>(), header_length - size_of::<Ipv4>());
    }
    if fold(sum) != 0xffff {
        return Err(Verdict::DropBadChecksum);
    }
    let fragment = match header.fragment & FRAGMENT {
        0 => Fragment::WHOLE,
        _ => Fragment::of(at, u16::from_be(header.fragment) & OFFSET),
    };
    Ok(Network {
        protocol: header.protocol,
        transport: (at + header_length) as u16,
        payload: (length - header_length) as u16,
        length: length as u32,
        ttl: header.ttl,
        fragment,
    })
}

/// What the header of a fragment says; it has been found sound.
#[inline(always)]
pub fn part(frame: Frame, at: usize) -> Result<Part, Short> {
    let header = frame.read::<Ipv4>(at)?;
    let field = u16::from_be(header.fragment);
    Ok(Part {
        offset: field & OFFSET,
        more: field & MORE != 0,
        identification: u64::from(header.identification) | u64::from(header.protocol) << 32,
    })
}

/// The flag that forbids fragments, as it lies in memory.
pub const DONT_FRAGMENT: u16 = 0x4000_u16.to_be();

/// Writes a header for `length` bytes behind it, TTL 64. It is not to be fragmented: else it would
/// need an identification of its own (RFC 6864).
#[inline(always)]
pub fn write(
    frame: Frame,
    at: usize,
    addresses: &Addresses,
    (class, protocol): (u8, u8),
    length: u16,
) -> Result<(), Short> {
    let place = frame.place::<Ipv4>(at)?;
    let header = Ipv4 {
        version_length: 0x45,
        service: class,
        total_length: (size_of::<Ipv4>() as u16 + length).to_be(),
        identification: 0,
        fragment: DONT_FRAGMENT,
        ttl: 64,
        protocol,
        checksum: 0,
        source: addresses.source[0] as u32,
        destination: addresses.destination[0] as u32,
    };
    let header = Ipv4 { checksum: !fold(header.sum()), ..header };
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe { place.write(header) };
    Ok(())
}

/// Has the header count so many bytes more, modulo 2¹⁶.
#[inline(always)]
pub fn lengthen(frame: Frame, at: usize, added: u16) -> Result<(), Short> {
    let header = frame.place::<Ipv4>(at)?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        let old = (*header).total_length;
        let new = u16::from_be(old).wrapping_add(added).to_be();
        (*header).total_length = new;
        (*header).checksum = Delta::NONE.replace16(old, new).apply((*header).checksum);
    }
    Ok(())
}

/// Longest message that is summed: an ICMPv6 error of the least MTU.
pub const MESSAGE: usize = 1240;

/// Sum of the options: `length` bytes, a multiple of 4; what lies outside the frame counts as 0.
#[inline(always)]
pub fn sum_words(frame: Frame, at: usize, length: usize) -> u64 {
    sum_up_to::<40>(frame, at, length)
}

/// The same, for at most `MOST` bytes.
#[inline(always)]
pub fn sum_up_to<const MOST: usize>(frame: Frame, at: usize, length: usize) -> u64 {
    let mut sum = 0;
    let mut word = 0;
    while word < MOST {
        if word >= length {
            break;
        }
        sum += frame.read::<Word>(at + word).map_or(0, |word| u64::from(word.0));
        word += 4;
    }
    sum
}

#[cfg(target_arch = "bpf")]
use crate::verified::sum_words as options_sum;
#[cfg(not(target_arch = "bpf"))]
use sum_words as options_sum;

/// Four bytes of options.
#[derive(Clone, Copy)]
#[cfg_attr(target_arch = "bpf", repr(C))]
#[cfg_attr(not(target_arch = "bpf"), repr(C, packed))]
struct Word(u32);

// SAFETY: one integer.
unsafe impl crate::packet::Header for Word {}

/// True for sources that no packet may come from: this network, loopback, multicast, reserved
/// (RFC 1122 section 3.2.1.3, RFC 6890).
#[inline(always)]
pub const fn martian(source: [u64; 2]) -> bool {
    matches!((source[0] as u32).to_ne_bytes()[0], 0 | 127 | 224..)
}

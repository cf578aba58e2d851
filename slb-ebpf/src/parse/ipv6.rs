//! IPv6 (RFC 8200) and its extension headers.

use slb_common::Verdict;

use super::{Addresses, Fragment, Network, Part};
use crate::{
    headers::{Ipv6, Ipv6Extension},
    packet::{Frame, Short, Step},
};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Extension headers that are looked through.
const MAX_EXTENSIONS: usize = 6;
/// Offset and more-fragments flag of a fragment header, as they lie in memory.
const FRAGMENT_BITS: u16 = 0xfff9_u16.to_be();

/// Reads the addresses, and nothing else.
#[inline(always)]
pub fn addresses(frame: Frame, at: usize) -> Result<Addresses, Short> {
    let header = frame.read::<Ipv6>(at)?;
    Ok(Addresses { source: words(header.source), destination: words(header.destination) })
}

#[inline(always)]
const fn words(address: [u32; 4]) -> [u64; 2] {
    [address[0] as u64 | (address[1] as u64) << 32, address[2] as u64 | (address[3] as u64) << 32]
}

/// Judges the header and finds the transport header behind its extensions.
#[inline(always)]
pub fn network(frame: Frame, at: usize) -> Step<Network> {
    let header = frame.read::<Ipv6>(at).map_err(|Short| Verdict::DropTruncated)?;
    if u32::from_be(header.version_class_flow) >> 28 != 6 {
        return Err(Verdict::DropVersion);
    }
    let length = size_of::<Ipv6>() + usize::from(u16::from_be(header.payload_length));
    if at + length > frame.length() {
        return Err(Verdict::DropTruncated);
    }
    let Behind { protocol, skipped, fragment } = behind(frame, at, header.next_header)?;
    if skipped > length {
        return Err(Verdict::DropBadLength);
    }
    Ok(Network {
        protocol,
        transport: (at + skipped) as u16,
        payload: (length - skipped) as u16,
        length: length as u32,
        ttl: header.hop_limit,
        fragment,
    })
}

/// What lies behind extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The protocol; of a later fragment what its own header says, which may be an extension.
    pub protocol: u8,
    /// Their end, counted from the packet's start.
    pub skipped: usize,
    /// Whether there was a fragment header among them.
    pub fragment: Fragment,
}

/// Has the header count so many bytes more, modulo 2¹⁶.
#[inline(always)]
pub fn lengthen(frame: Frame, at: usize, added: u16) -> Result<(), Short> {
    let header = frame.place::<Ipv6>(at)?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        let old = u16::from_be((*header).payload_length);
        (*header).payload_length = old.wrapping_add(added).to_be();
    }
    Ok(())
}

/// What lies behind all headers of the packet at `at`.
#[inline(always)]
pub fn behind(frame: Frame, at: usize, first: u8) -> Step<Behind> {
    match is_extension(first) {
        true => extensions(frame, at, first),
        false => {
            let skipped = size_of::<Ipv6>();
            Ok(Behind { protocol: first, skipped, fragment: Fragment::WHOLE })
        }
    }
}

/// What the header of a fragment says.
#[inline(always)]
pub fn part(frame: Frame, at: usize) -> Result<Part, Short> {
    let header = frame.read::<Ipv6Extension>(at)?;
    let field = u16::from_be(header.fragment);
    Ok(Part { offset: field >> 3, more: field & 1 != 0, identification: u64::from(header.rest) })
}

/// Looks through the extension headers of the packet at `at`. Behind the header of a fragment that
/// is not the first one there are no others.
#[inline(always)]
pub fn skip_extensions(frame: Frame, at: usize, first: u8) -> Step<Behind> {
    let (mut next, mut skipped) = (first, size_of::<Ipv6>());
    let mut fragment = Fragment::WHOLE;
    let mut number = 0;
    while number < MAX_EXTENSIONS {
        if !is_extension(next) || fragment.later() {
            return Ok(Behind { protocol: next, skipped, fragment });
        }
        let extension =
            frame.read::<Ipv6Extension>(at + skipped).map_err(|Short| Verdict::DropTruncated)?;
        // An atomic fragment is a whole packet (RFC 6946).
        if next == FRAGMENT && extension.fragment & FRAGMENT_BITS != 0 {
            fragment = Fragment::of(at + skipped, u16::from_be(extension.fragment) >> 3);
        }
        skipped += match next {
            FRAGMENT => size_of::<Ipv6Extension>(),
            _ => (usize::from(extension.length) + 1) * 8,
        };
        next = extension.next_header;
        number += 1;
    }
    if is_extension(next) && !fragment.later() {
        return Err(Verdict::DropExtension);
    }
    Ok(Behind { protocol: next, skipped, fragment })
}

/// True for headers between IPv6 and the transport.
#[inline(always)]
pub const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | DESTINATION | FRAGMENT)
}

#[cfg(target_arch = "bpf")]
use crate::verified::skip_extensions as extensions;
#[cfg(not(target_arch = "bpf"))]
use skip_extensions as extensions;

/// Writes a header for `length` bytes behind it, hop limit 64.
#[inline(always)]
pub fn write(
    frame: Frame,
    at: usize,
    addresses: &Addresses,
    (class, protocol): (u8, u8),
    length: u16,
) -> Result<(), Short> {
    let place = frame.place::<Ipv6>(at)?;
    let header = Ipv6 {
        version_class_flow: (6 << 28 | u32::from(class) << 20).to_be(),
        payload_length: length.to_be(),
        next_header: protocol,
        hop_limit: 64,
        source: halves(addresses.source),
        destination: halves(addresses.destination),
    };
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe { place.write(header) };
    Ok(())
}

/// An address as the header holds it.
#[inline(always)]
pub const fn halves(address: [u64; 2]) -> [u32; 4] {
    let ([first, second], shift) = (address, 32);
    [first as u32, (first >> shift) as u32, second as u32, (second >> shift) as u32]
}

/// The upper half of what tells an IPv4 address from others in `::ffff:0:0/96`, and its mask.
const MAPPED: (u64, u64) = (
    u64::from_ne_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]),
    u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
);

/// True for sources that no packet may come from: unspecified, loopback, multicast (RFC 4291), IPv4
/// addresses in the form that sockets give them (RFC 6890).
#[inline(always)]
pub const fn martian(source: [u64; 2]) -> bool {
    if source[0] == 0 && source[1] & MAPPED.1 == MAPPED.0 {
        return true;
    }
    let multicast = source[0].to_ne_bytes()[0] == 0xff;
    let loopback_or_none = source[0] == 0 && source[1] & !(1_u64.to_be()) == 0;
    multicast || loopback_or_none
}

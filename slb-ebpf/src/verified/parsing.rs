//! Parsing that loops (tags, extension headers, options), and what few packets need.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use slb_common::Verdict;

use super::FINE;
use crate::{
    headers::Ethernet,
    packet::{Frame, Step, unknown},
    parse::{
        Fragment, ipv4, ipv6,
        link::{self, Link},
        quic,
    },
};

/// The link header of a frame with VLAN tags: [`link::skip_tags`].
#[inline(always)]
pub fn skip_tags(frame: Frame, _untagged: Link) -> Option<Link> {
    match unknown(global_skip_tags(frame.context)) {
        0 => None,
        packed => Some(Link {
            network: (packed >> 32) as u16 & 0x1f,
            ethertype: packed as u16,
            vlan: (packed >> 16) as u16,
        }),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_skip_tags(context: *mut xdp_md) -> u64 {
    let frame = Frame::of(&XdpContext::new(context));
    let outer = Link { network: size_of::<Ethernet>() as u16, ethertype: 0, vlan: 0 };
    link::skip_tags(frame, outer).map_or(0, |link| {
        u64::from(link.network) << 32 | u64::from(link.vlan) << 16 | u64::from(link.ethertype)
    })
}

/// What lies behind IPv6 extension headers: [`ipv6::skip_extensions`].
#[inline(always)]
pub fn skip_extensions(frame: Frame, at: usize, first: u8) -> Step<ipv6::Behind> {
    let packed = unknown(global_skip_extensions(frame.context, at as u32, u32::from(first)));
    match packed >> 48 {
        0 => Ok(ipv6::Behind {
            protocol: packed as u8,
            skipped: (packed >> 8) as usize & 0xffff,
            fragment: Fragment((packed >> 24) as u16),
        }),
        _ => Err(Verdict::from_index(packed as u32).unwrap_or(Verdict::DropInternal)),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_skip_extensions(context: *mut xdp_md, at: u32, first: u32) -> u64 {
    let frame = Frame::of(&XdpContext::new(context));
    match ipv6::skip_extensions(frame, at as usize & 0x3ff, first as u8) {
        Ok(ipv6::Behind { protocol, skipped, fragment }) => {
            u64::from(protocol) | (skipped as u64 & 0xffff) << 8 | u64::from(fragment.0) << 24
        }
        Err(verdict) => 1 << 48 | u64::from(verdict.index()),
    }
}

/// Sum of the words of IPv4 options: [`ipv4::sum_words`].
#[inline(always)]
pub fn sum_words(frame: Frame, at: usize, length: usize) -> u64 {
    unknown(global_sum_words(frame.context, at as u32, length as u32))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_sum_words(context: *mut xdp_md, at: u32, length: u32) -> u64 {
    let frame = Frame::of(&XdpContext::new(context));
    // The mask tells the verifier what the caller knows.
    ipv4::sum_words(frame, at as usize & 0x3ff, length as usize)
}

/// The server id in a datagram's QUIC connection ID: [`quic::server_id`].
#[inline(always)]
pub fn server_id(context: &XdpContext, transport: u16) -> Option<u16> {
    match unknown(u64::from(global_server_id(context.ctx, u32::from(transport)))) as u32 {
        FINE => None,
        id => Some(id as u16),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_server_id(context: *mut xdp_md, transport: u32) -> u32 {
    let frame = Frame::of(&XdpContext::new(context));
    quic::server_id(frame, transport as usize & 0x3ff).map_or(FINE, u32::from)
}

/// Sum of the words of a message: `length` bytes, a multiple of 4, at most [`ipv4::MESSAGE`].
#[inline(always)]
pub fn checksum_over(frame: Frame, at: usize, length: usize) -> u64 {
    unknown(global_checksum_over(frame.context, at as u32, length as u32))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_checksum_over(context: *mut xdp_md, at: u32, length: u32) -> u64 {
    let frame = Frame::of(&XdpContext::new(context));
    ipv4::sum_up_to::<{ ipv4::MESSAGE }>(frame, at as usize & 0x7f, length as usize)
}

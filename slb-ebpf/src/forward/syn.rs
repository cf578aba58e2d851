//! SYN segments on their way through: the MSS and timestamps that they announce.

use aya_ebpf::{
    helpers::generated::{bpf_xdp_load_bytes, bpf_xdp_store_bytes},
    programs::XdpContext,
};
use slb_common::service::{SERVICE_STRIP_TIMESTAMPS, Service, mode};

use super::toa;
use crate::{
    checksum::Delta,
    connections::{store::Side, tcp_state::tcp},
    headers::Tcp,
    maps::SCRATCH,
    packet::{Frame, Short, from_1_to_256},
    tcp_options::{self, BUFFER, LONGEST, Mss, Timestamps, Wish},
    verified,
};

/// What a service wants of a segment with these flags. In full NAT the SYN-ACK leaves room for the
/// client's endpoint in what the client sends.
#[inline(always)]
pub fn wish<const W: usize>(service: &Service, side: Side, mode: u8, flags: u8) -> Wish {
    if flags & tcp::SYN == 0 {
        return Wish::NONE;
    }
    let less = match side {
        Side::Backend if mode == mode::FULL_NAT => toa::size::<W>(),
        _ => 0,
    };
    let timestamps = match service.flags & SERVICE_STRIP_TIMESTAMPS {
        0 => Timestamps::Keep,
        _ => Timestamps::Strip,
    };
    Wish { mss: Mss { limit: service.mss, less }, timestamps, sack: 0 }
}

/// Loads the options of the segment whose header begins at `transport`, if it has any: how many
/// bytes they are.
#[inline(always)]
pub fn load(context: &XdpContext, transport: usize) -> Result<usize, Short> {
    let header = Frame::of(context).read::<Tcp>(transport)?;
    let length = usize::from(header.length >> 4) * 4;
    if length <= size_of::<Tcp>() || length > size_of::<Tcp>() + LONGEST {
        return Err(Short);
    }
    let length = from_1_to_256(length - size_of::<Tcp>());
    let at = (transport + size_of::<Tcp>()) as u32;
    let scratch = SCRATCH.get_ptr_mut(0).ok_or(Short)?;
    // SAFETY: the map gave the pointer to this processor's own copy, which is larger than options
    // can be; the helper checks that the bytes lie in the frame.
    match unsafe { bpf_xdp_load_bytes(context.ctx, at, scratch.cast(), length) } {
        0 => Ok(length as usize),
        _ => Err(Short),
    }
}

/// Edits the options of the segment whose header begins at `transport`.
#[inline(always)]
pub fn edit(context: &XdpContext, transport: usize, wish: u64) -> Result<(), Short> {
    let length = load(context, transport)?;
    let at = (transport + size_of::<Tcp>()) as u32;
    let delta = tcp_options::edit(|at| verified::edit_option(at, length, wish));
    let scratch = SCRATCH.get_ptr_mut(0).ok_or(Short)?;
    let written = from_1_to_256(length);
    // SAFETY: as in `load`.
    if unsafe { bpf_xdp_store_bytes(context.ctx, at, scratch.cast(), written) } != 0 {
        return Err(Short);
    }
    let header = Frame::of(context).place::<Tcp>(transport)?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe { (*header).checksum = delta.apply((*header).checksum) };
    Ok(())
}

/// Edits one option of those that [`load`] has loaded.
#[inline(always)]
pub fn edit_loaded(at: usize, length: usize, wish: u64) -> (usize, Delta) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return (LONGEST, Delta::NONE) };
    // SAFETY: as in `load`; nobody else holds a reference to it.
    let options = unsafe { &mut *scratch.cast::<[u8; BUFFER]>() };
    tcp_options::edit_one(options, at, length, Wish::unpack(wish))
}

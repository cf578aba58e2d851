//! What a SYN or SYN-ACK offers by its options.

use aya_ebpf::{helpers::generated::bpf_xdp_load_bytes, programs::XdpContext};

use crate::{
    headers::Tcp,
    maps::SCRATCH,
    packet::{Frame, Short, unknown},
    tcp_options::{self, BUFFER, LONGEST, Offered},
    verified,
};

/// Reads the options of the segment whose header begins at `transport`; what cannot be read offers
/// nothing.
#[inline(always)]
pub fn read(context: &XdpContext, transport: u16) -> Result<Offered, Short> {
    let transport = usize::from(transport);
    let header = Frame::of(context).read::<Tcp>(transport)?;
    // Unknown, so that the comparisons are made with the register that the helper gets.
    let length = unknown(u64::from(header.length >> 4) * 4) as usize;
    if length <= size_of::<Tcp>() || length > size_of::<Tcp>() + LONGEST {
        return Ok(Offered::NOTHING);
    }
    let length = length - size_of::<Tcp>();
    let at = (transport + size_of::<Tcp>()) as u32;
    let scratch = SCRATCH.get_ptr_mut(0).ok_or(Short)?;
    // SAFETY: the map gave the pointer to this processor's own copy, which is larger than options
    // can be; the helper checks that the bytes lie in the frame.
    if unsafe { bpf_xdp_load_bytes(context.ctx, at, scratch.cast(), length as u32) } != 0 {
        return Err(Short);
    }
    Ok(tcp_options::read(|at, offered| verified::read_option(at, length, offered)))
}

/// Reads one option of those that [`read`] has loaded.
#[inline(always)]
pub fn read_loaded(at: usize, length: usize, offered: Offered) -> (usize, Offered) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return (LONGEST, offered) };
    // SAFETY: as in `read`; nobody else holds a reference to it.
    let options = unsafe { &*scratch.cast::<[u8; BUFFER]>() };
    tcp_options::read_one(options, at, length, offered)
}

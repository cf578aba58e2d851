//! Room inside a frame: what stands before it moves forward. There is always head room for that; of
//! room behind a short segment a veth pair has none to give.

use aya_ebpf::{
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_load_bytes, bpf_xdp_store_bytes},
    programs::XdpContext,
};

use super::SCRATCH_BYTES;
use crate::{
    headers::Ethernet,
    maps::SCRATCH,
    packet::{Short, unknown},
};

/// Makes room for `added` bytes behind the first `head` ones; the frame moves, so nothing read
/// before counts. Returns `head`, as it has been compared with what is possible.
#[inline(always)]
pub fn make(context: &XdpContext, head: usize, added: i32) -> Result<usize, Short> {
    // Unknown, so that the comparison is made with the register that the helpers get.
    let head = unknown(head as u64) as u32;
    if head < size_of::<Ethernet>() as u32 || head > SCRATCH_BYTES as u32 {
        return Err(Short);
    }
    let scratch = SCRATCH.get_ptr_mut(0).ok_or(Short)?;
    // SAFETY: the map gave the pointer to this processor's own copy, of SCRATCH_BYTES; the helpers
    // check that the bytes lie in the frame, and that there is head room.
    unsafe {
        if bpf_xdp_load_bytes(context.ctx, 0, scratch.cast(), head) != 0
            || bpf_xdp_adjust_head(context.ctx, -added) != 0
            || bpf_xdp_store_bytes(context.ctx, 0, scratch.cast(), head) != 0
        {
            return Err(Short);
        }
    }
    Ok(head as usize)
}

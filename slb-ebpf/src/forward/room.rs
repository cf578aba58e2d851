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
    packet::{Short, from_1_to_256},
};

/// Makes room for `added` bytes behind the first `head` ones; the frame moves, so nothing read
/// before counts. Returns `head`, as it has been compared with what is possible.
#[inline(always)]
pub fn make(context: &XdpContext, head: usize, added: i32) -> Result<usize, Short> {
    if head < size_of::<Ethernet>() || head > SCRATCH_BYTES {
        return Err(Short);
    }
    let bytes = from_1_to_256(head);
    let scratch = SCRATCH.get_ptr_mut(0).ok_or(Short)?;
    // SAFETY: the map gave the pointer to this processor's own copy, of SCRATCH_BYTES; the helpers
    // check that the bytes lie in the frame, and that there is head room.
    unsafe {
        if bpf_xdp_load_bytes(context.ctx, 0, scratch.cast(), bytes) != 0
            || bpf_xdp_adjust_head(context.ctx, -added) != 0
            || bpf_xdp_store_bytes(context.ctx, 0, scratch.cast(), bytes) != 0
        {
            return Err(Short);
        }
    }
    Ok(bytes as usize)
}

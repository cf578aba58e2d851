//! The segment that a callback of a socket is about, and who sent it.

use core::arch::asm;

use aya_ebpf::programs::SockOpsContext;
use slb_common::toa::MAPPED;

use crate::option::Header;

/// `AF_INET` of the sockets API.
const INET: u32 = 2;

/// A TCP header. It ends where the kernel's pointer says, which is behind its last option: the
/// kernel hands out no data.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    start: usize,
    end: usize,
    /// Header and data.
    length: u32,
}

impl Segment {
    #[inline(always)]
    pub(crate) fn of(context: &SockOpsContext) -> Self {
        // SAFETY: the context is the kernel's.
        unsafe {
            let ops = &*context.ops;
            let start = ops.__bindgen_anon_3.skb_data as usize;
            let end = ops.__bindgen_anon_4.skb_data_end as usize;
            Self { start, end, length: ops.skb_len }
        }
    }

    /// True if it carries more than its header.
    #[inline(always)]
    pub(crate) fn has_data(self) -> bool {
        let words = self.bytes::<1>(12);
        words.is_some_and(|[words]| self.length > u32::from(words >> 4) * 4)
    }
}

impl Header for Segment {
    #[inline(always)]
    fn bytes<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        let place = self.start + self.bounded(offset);
        if place + N > self.end {
            return None;
        }
        // SAFETY: the comparison shows that all bytes are before the end.
        Some(unsafe { (place as *const [u8; N]).read() })
    }

    #[inline(always)]
    fn bounded(self, offset: usize) -> usize {
        let mut offset = offset as u64;
        // SAFETY: it changes nothing that is below 64.
        unsafe { asm!("{0} &= 63", inout(reg) offset, options(pure, nomem, preserves_flags)) };
        offset as usize
    }
}

/// True if the socket can show IPv4 addresses only.
#[inline(always)]
pub(crate) fn is_ipv4(context: &SockOpsContext) -> bool {
    context.family() == INET
}

/// Who the segment is from; an IPv4 address is IPv4-mapped.
#[inline(always)]
pub(crate) fn sender(context: &SockOpsContext) -> [u32; 4] {
    if is_ipv4(context) {
        return [0, 0, MAPPED, context.remote_ip4()];
    }
    let ops = context.ops;
    // SAFETY: the context is the kernel's; volatile, because it lets no wider load through.
    let word = |index: usize| unsafe { (&raw const (*ops).remote_ip6[index]).read_volatile() };
    [word(0), word(1), word(2), word(3)]
}

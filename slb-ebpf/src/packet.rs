//! The frame as the program holds it: two addresses and checked access between them. The only
//! file that turns offsets into pointers.

use slb_common::Verdict;

/// How a stage ends: with what the next ones need, or with the end of the packet's story.
pub type Step<T> = Result<T, Verdict>;

/// Offsets stay below this power of two: Ethernet, two VLAN tags, IPv6 and its extension headers
/// fit well, and so does the packet that an ICMP error quotes.
const MAX_OFFSET: usize = 2048;

/// A frame: memory from `start` up to `end`.
#[derive(Clone, Copy)]
pub struct Frame {
    start: usize,
    end: usize,
    /// What the kernel called the program with.
    #[cfg(target_arch = "bpf")]
    pub context: *mut aya_ebpf::bindings::xdp_md,
}

/// The frame ends before the header does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short;

/// Types that any bytes are a value of: headers in network byte order.
///
/// # Safety
/// Only for structs of integers without padding.
pub unsafe trait Header: Copy {}

impl Frame {
    /// The frame between two addresses.
    ///
    /// # Safety
    /// The memory between them must be readable and writable, and stay so.
    #[cfg(not(target_arch = "bpf"))]
    pub const unsafe fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The frame that a program was called with.
    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    pub fn of(context: &aya_ebpf::programs::XdpContext) -> Self {
        Self { start: context.data(), end: context.data_end(), context: context.ctx }
    }

    /// Bytes of the frame.
    #[inline(always)]
    pub fn length(self) -> usize {
        // Unknown: the compiler would otherwise infer from a comparison with the length that the
        // bounds of a header hold, and leave out the check that the verifier looks for.
        unknown((self.end - self.start) as u64) as usize
    }

    /// A header in place; the pointer is valid and, on a host that wants it, may be unaligned.
    #[inline(always)]
    pub fn place<T: Header>(self, offset: usize) -> Result<*mut T, Short> {
        if offset >= MAX_OFFSET {
            return Err(Short);
        }
        let place = self.start + bounded(offset);
        if place + size_of::<T>() > self.end {
            return Err(Short);
        }
        Ok(place as *mut T)
    }

    /// A copy of a header.
    #[inline(always)]
    pub fn read<T: Header>(self, offset: usize) -> Result<T, Short> {
        let place = self.place::<T>(offset)?;
        // SAFETY: `place` has checked the bounds, and any bytes are a header.
        Ok(unsafe { place.read() })
    }
}

/// The same offset, below [`MAX_OFFSET`], in the very register that is added to the start of the
/// frame. The comparison before may have been made with a copy of it, and the verifier of Linux 6.1
/// does not connect a register with its copy on the stack.
#[inline(always)]
fn bounded(offset: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut offset = offset as u64;
        // SAFETY: it changes nothing that is below MAX_OFFSET.
        unsafe {
            core::arch::asm!("{0} &= 2047", inout(reg) offset, options(pure, nomem, preserves_flags));
        }
        offset as usize
    }
    #[cfg(not(target_arch = "bpf"))]
    offset
}

const _: () = assert!(MAX_OFFSET == 2048, "the mask of `bounded` belongs to it");

/// The same length, from 1 to 256, in the very register that a helper gets; for the reason that
/// [`bounded`] has.
#[inline(always)]
pub fn from_1_to_256(length: usize) -> u32 {
    let mut less = length as u64 - 1;
    #[cfg(target_arch = "bpf")]
    // SAFETY: it changes nothing that is below 256.
    unsafe {
        core::arch::asm!("{0} &= 255", inout(reg) less, options(pure, nomem, preserves_flags));
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        less &= 255;
    }
    less as u32 + 1
}

/// The same value, of which the compiler knows nothing.
#[inline(always)]
pub fn unknown(mut value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    // An instruction that does nothing: with none, its line would be named twice in the BTF line
    // table, which the kernel refuses.
    // SAFETY: it changes nothing.
    unsafe {
        core::arch::asm!("{0} += 0", inout(reg) value, options(pure, nomem, preserves_flags));
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        value = core::hint::black_box(value);
    }
    value
}

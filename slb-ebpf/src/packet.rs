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
        let place = self.start + at_most::<{ MAX_OFFSET as u64 - 1 }>(offset);
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

/// The same number, which must not be above `MOST` (a power of two − 1), in the very register that is
/// used. A comparison before may have been made with a copy of it, and the verifier of Linux 6.1 does
/// not connect a register with its copy on the stack.
#[inline(always)]
fn at_most<const MOST: u64>(number: usize) -> usize {
    const { assert!((MOST + 1).is_power_of_two()) };
    let mut number = number as u64;
    #[cfg(target_arch = "bpf")]
    // SAFETY: it changes nothing that is at most MOST.
    unsafe {
        core::arch::asm!("{0} &= {1}", inout(reg) number, const MOST, options(pure, nomem, preserves_flags));
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        number &= MOST;
    }
    number as usize
}

/// The same length, from 1 to 256, as a helper gets it.
#[inline(always)]
pub fn from_1_to_256(length: usize) -> u32 {
    at_most::<255>(length - 1) as u32 + 1
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

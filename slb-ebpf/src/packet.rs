//! The frame as the program holds it: two addresses and checked access between them. The headers
//! are plain structs in network byte order; the only file that turns offsets into pointers.

use slb_common::Verdict;

/// How a stage ends: with what the next ones need, or with the end of the packet's story.
pub type Step<T> = Result<T, Verdict>;

/// Offsets are compared with this first, so that the verifier knows their range: Ethernet, two
/// VLAN tags, IPv6 and its extension headers fit well below.
const MAX_OFFSET: usize = 1024;

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
        if offset > MAX_OFFSET {
            return Err(Short);
        }
        let place = self.start + offset;
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

/// Declares a header: natural alignment in the kernel, where a load of any width may be
/// unaligned (x86-64, arm64), packed on the host, where Rust checks. The layout is the same.
macro_rules! headers {
    ($($(#[$meta:meta])* $name:ident ($size:literal) { $($(#[doc = $doc:literal])* $field:ident: $type:ty,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy)]
        #[cfg_attr(target_arch = "bpf", repr(C))]
        #[cfg_attr(not(target_arch = "bpf"), repr(C, packed))]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)+
        }
        const _: () = assert!(size_of::<$name>() == $size);
        // SAFETY: integers and arrays of them; the size shows that there is no padding.
        unsafe impl Header for $name {}
    )+};
}

headers! {
    /// Ethernet II; MAC addresses as 16-bit words, as they are aligned to 2 only.
    Ethernet (14) {
        /// Receiver.
        destination: [u16; 3],
        /// Sender.
        source: [u16; 3],
        /// What follows, network byte order.
        ethertype: u16,
    }
    /// IEEE 802.1Q tag, after the addresses.
    VlanTag (4) {
        /// Priority 3, drop eligible 1, id 12; network byte order.
        control: u16,
        /// What follows, network byte order.
        ethertype: u16,
    }
    /// RFC 791.
    Ipv4 (20) {
        /// Version 4 and header length in words.
        version_length: u8,
        /// DSCP and ECN.
        service: u8,
        /// Header and payload, network byte order.
        total_length: u16,
        /// Of a datagram's fragments.
        identification: u16,
        /// Flags 3, fragment offset 13; network byte order.
        fragment: u16,
        /// Hops left.
        ttl: u8,
        /// What follows.
        protocol: u8,
        /// Of the header alone.
        checksum: u16,
        /// Network byte order.
        source: u32,
        /// Network byte order.
        destination: u32,
    }
    /// RFC 8200.
    Ipv6 (40) {
        /// Version 6, traffic class, flow label; network byte order.
        version_class_flow: u32,
        /// Without this header, network byte order.
        payload_length: u16,
        /// What follows.
        next_header: u8,
        /// Hops left.
        hop_limit: u8,
        /// Network byte order.
        source: [u32; 4],
        /// Network byte order.
        destination: [u32; 4],
    }
    /// The start that IPv6 extension headers share; `length` in units of 8 bytes after the first.
    Ipv6Extension (8) {
        /// What follows.
        next_header: u8,
        /// Length, except for the fragment header.
        length: u8,
        /// For the fragment header: offset 13, reserved 2, more 1; network byte order.
        fragment: u16,
        /// Not looked at.
        rest: u32,
    }
    /// RFC 9293.
    Tcp (20) {
        /// Network byte order.
        source: u16,
        /// Network byte order.
        destination: u16,
        /// Network byte order.
        sequence: u32,
        /// Network byte order.
        acknowledgement: u32,
        /// Header length in words, in the upper half.
        length: u8,
        /// Flags.
        flags: u8,
        /// Receive window.
        window: u16,
        /// Over pseudo header, header and data.
        checksum: u16,
        /// Urgent pointer.
        urgent: u16,
    }
    /// RFC 768.
    Udp (8) {
        /// Network byte order.
        source: u16,
        /// Network byte order.
        destination: u16,
        /// Header and data, network byte order.
        length: u16,
        /// Over pseudo header, header and data; 0 over IPv4: none.
        checksum: u16,
    }
}

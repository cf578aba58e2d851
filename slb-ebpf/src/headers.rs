//! Protocol headers as plain structs, in network byte order.

use crate::packet::Header;

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
    /// RFC 792, RFC 4443.
    Icmp (8) {
        /// Type.
        kind: u8,
        /// What of the type.
        code: u8,
        /// Over the message, over IPv6 with a pseudo header.
        checksum: u16,
        /// By type; the MTU for some, network byte order.
        rest: u32,
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
    /// The start of a QUIC packet, RFC 8999, as far as a connection ID's server id may lie.
    Quic (10) {
        /// Form 1, type and more that depends on the version.
        first: u8,
        /// In the long form the version, in the short one the connection ID's first bytes.
        second: [u8; 4],
        /// In the long form the connection ID's length.
        length: u8,
        /// In the long form the connection ID's first bytes.
        third: [u8; 4],
    }
    /// The start of TCP option 254.
    ToaHead (4) {
        /// 254.
        kind: u8,
        /// Of the whole option.
        length: u8,
        /// The client's port, network byte order.
        port: u16,
    }
}

/// The address in TCP option 254, network byte order.
#[derive(Clone, Copy)]
#[cfg_attr(target_arch = "bpf", repr(C))]
#[cfg_attr(not(target_arch = "bpf"), repr(C, packed))]
pub struct ToaAddress<const WORDS: usize>(pub [u32; WORDS]);

// SAFETY: integers without padding.
unsafe impl<const WORDS: usize> Header for ToaAddress<WORDS> {}

impl Tcp {
    /// Sum of the header, for its checksum.
    #[inline(always)]
    pub const fn sum(&self) -> u64 {
        self.source as u64
            + self.destination as u64
            + self.sequence as u64
            + self.acknowledgement as u64
            + u16::from_ne_bytes([self.length, self.flags]) as u64
            + self.window as u64
            + self.checksum as u64
            + self.urgent as u64
    }
}

impl Ipv4 {
    /// Sum of the fixed part, for the checksum: with a right one it folds to all ones.
    #[inline(always)]
    pub fn sum(&self) -> u64 {
        let start = u16::from_ne_bytes([self.version_length, self.service]);
        let lifetime = u16::from_ne_bytes([self.ttl, self.protocol]);
        u64::from(start)
            + u64::from(self.total_length)
            + u64::from(self.identification)
            + u64::from(self.fragment)
            + u64::from(lifetime)
            + u64::from(self.checksum)
            + u64::from(self.source)
            + u64::from(self.destination)
    }
}

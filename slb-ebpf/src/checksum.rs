//! Incremental update of Internet checksums (RFC 1624, equation 3): what a rewrite changes is
//! summed up once and applied, the rest of the packet is never read. A wrong checksum stays wrong.
//!
//! Sums of 16-bit words modulo 2¹⁶ − 1 do not depend on byte order (RFC 1071 section 2 B), so
//! fields go in as they lie in memory, 32 bits at a time.

/// Old values out, new values in: a sum that is folded when it is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u64);

impl Delta {
    /// Nothing changes.
    pub const NONE: Self = Self(0);

    /// A 16-bit field changes; it must begin at an even offset of what is summed.
    #[inline(always)]
    pub const fn replace16(self, old: u16, new: u16) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// A 32-bit field changes.
    #[inline(always)]
    pub const fn replace32(self, old: u32, new: u32) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// Both changes together.
    #[inline(always)]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The sum, for a function that returns numbers.
    #[inline(always)]
    pub const fn sum(self) -> u64 {
        self.0
    }

    /// From [`Delta::sum`].
    #[inline(always)]
    pub const fn of_sum(sum: u64) -> Self {
        Self(sum)
    }

    /// An address changes.
    #[inline(always)]
    pub const fn replace_address(self, old: [u64; 2], new: [u64; 2]) -> Self {
        let mut delta = self;
        let mut word = 0;
        while word < 2 {
            delta = delta
                .replace32(old[word] as u32, new[word] as u32)
                .replace32((old[word] >> 32) as u32, (new[word] >> 32) as u32);
            word += 1;
        }
        delta
    }

    /// The checksum after the changes.
    #[inline(always)]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold(self.0 + (!checksum) as u64)
    }

    /// The same for UDP, where 0 stands for "no checksum" and is sent as all ones (RFC 768).
    #[inline(always)]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        match self.apply(checksum) {
            0 => 0xffff,
            other => other,
        }
    }
}

/// Folds a sum of less than 2⁴⁸ to 16 bits, carries around.
#[inline(always)]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071's own words: sum of 16-bit words in network order, carries added, complemented.
    fn recompute(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    /// As it lies in memory.
    fn stored(checksum: u16) -> u16 {
        u16::from_ne_bytes(checksum.to_be_bytes())
    }

    /// 0x0000 and 0xffff are the same number in ones' complement.
    fn same(a: u16, b: u16) -> bool {
        a == b || (a == 0 && b == 0xffff) || (a == 0xffff && b == 0)
    }

    proptest! {
        #[test]
        fn an_update_equals_a_full_recomputation(
            mut bytes in prop::collection::vec(any::<u8>(), 40..200),
            address in any::<[u8; 16]>(),
            port in any::<[u8; 2]>(),
        ) {
            let before = stored(recompute(&bytes));
            let words = |bytes: &[u8]| slb_common::connection::v6_words(bytes.try_into().unwrap());
            let delta = Delta::NONE
                .replace_address(words(&bytes[8..24]), words(&address))
                .replace16(u16::from_ne_bytes([bytes[30], bytes[31]]), u16::from_ne_bytes(port));
            bytes[8..24].copy_from_slice(&address);
            bytes[30..32].copy_from_slice(&port);
            prop_assert!(same(delta.apply(before), stored(recompute(&bytes))));
        }

        #[test]
        fn an_ipv4_update_equals_a_full_recomputation(
            mut bytes in prop::collection::vec(any::<u8>(), 20),
            address in any::<[u8; 4]>(),
        ) {
            let before = stored(recompute(&bytes));
            let old: [u8; 4] = bytes[12..16].try_into().unwrap();
            let delta = Delta::NONE
                .replace32(u32::from_ne_bytes(old), u32::from_ne_bytes(address))
                .replace16(u16::from_ne_bytes([bytes[8], bytes[9]]), u16::from_ne_bytes([bytes[8].wrapping_sub(1), bytes[9]]));
            bytes[12..16].copy_from_slice(&address);
            bytes[8] = bytes[8].wrapping_sub(1);
            prop_assert!(same(delta.apply(before), stored(recompute(&bytes))));
        }

        #[test]
        fn a_wrong_checksum_stays_wrong(
            bytes in prop::collection::vec(any::<u8>(), 40),
            error in 1_u16..0xffff,
            port in any::<u16>(),
        ) {
            let right = stored(recompute(&bytes));
            let wrong = right.wrapping_add(error);
            prop_assume!(!same(right, wrong));
            let delta = Delta::NONE.replace16(u16::from_ne_bytes([bytes[0], bytes[1]]), port);
            prop_assert!(!same(delta.apply(right), delta.apply(wrong)));
        }

        #[test]
        fn a_udp_checksum_never_becomes_none(sum in 0_u64..1 << 40, checksum in 1_u16..) {
            prop_assert_ne!(Delta(sum).apply_udp(checksum), 0);
        }
    }
}

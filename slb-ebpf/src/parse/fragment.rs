//! Fragments: which part of a datagram a packet is (RFC 791, RFC 8200).

use super::{ipv4, ipv6};
use crate::packet::{Frame, Short};

/// Which part of a datagram a packet is: 0 the whole; else the offset in the frame of the header
/// that says so, and [`Fragment::LATER`] for all but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment(pub u16);

impl Fragment {
    /// No fragment.
    pub const WHOLE: Self = Self(0);
    /// Bit of those that have no transport header.
    const LATER: u16 = 1 << 15;

    /// A fragment whose header lies at `at`, and whose data begin at `offset` of the datagram's.
    #[inline(always)]
    pub const fn of(at: usize, offset: u16) -> Self {
        Self(at as u16 & !Self::LATER | if offset == 0 { 0 } else { Self::LATER })
    }

    /// True if it is no fragment.
    #[inline(always)]
    pub const fn whole(self) -> bool {
        self.0 == 0
    }

    /// True for the one with the transport header.
    #[inline(always)]
    pub const fn first(self) -> bool {
        self.0 != 0 && !self.later()
    }

    /// True for those without.
    #[inline(always)]
    pub const fn later(self) -> bool {
        self.0 & Self::LATER != 0
    }

    /// Where its header lies in the frame.
    #[inline(always)]
    pub const fn at(self) -> usize {
        (self.0 & !Self::LATER) as usize
    }
}

/// What the header of a fragment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where its data begin in the datagram's, in units of 8 bytes.
    pub offset: u16,
    /// Whether others follow.
    pub more: bool,
    /// What tells its datagram from others between the same two hosts.
    pub identification: u64,
}

impl Part {
    /// Reads it from the header that a fragment has at `at`.
    #[inline(always)]
    pub fn read<const W: usize>(frame: Frame, at: usize) -> Result<Self, Short> {
        if W == 1 { ipv4::part(frame, at) } else { ipv6::part(frame, at) }
    }

    /// True if so many bytes can be a part of a datagram: all but the last are multiples of 8, and
    /// none ends behind the longest datagram (RFC 791, RFC 8200 section 4.5).
    #[inline(always)]
    pub const fn may_carry(&self, bytes: u16) -> bool {
        let end = self.offset as u32 * 8 + bytes as u32;
        (!self.more || bytes.is_multiple_of(8)) && end <= u16::MAX as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_datagram_is_as_long_as_it_can_be() {
        let part = |offset, more| Part { offset, more, identification: 0 };
        for (part, bytes, can) in [
            (part(0, true), 64, true),
            (part(0, true), 63, false),
            (part(0, false), 63, true),
            (part(8191, false), 7, true),
            (part(8191, false), 8, false),
            (part(8190, true), 8, true),
            (part(8190, true), 16, false),
        ] {
            assert_eq!(part.may_carry(bytes), can, "{part:?} {bytes}");
        }
    }
}

//! The table of fragmented datagrams: what a first fragment tells of the ones that come after it.
//!
//! An entry is one cache line. Its first word is the time at which it was written, in nanoseconds
//! of the monotonic clock, the lowest bit set while it is being written; so an entry that is older
//! than [`LIFETIME_NS`] is a free place, and nobody has to clean up.

/// How long later fragments may follow their first one.
pub const LIFETIME_NS: u64 = 1_000_000_000;
/// Entries of a bucket.
pub const WAYS: usize = 4;
/// Buckets that may hold a datagram.
pub const BUCKETS_PER_DATAGRAM: u32 = 2;
/// Words of an entry: time, source 2, destination 2, identification, [`Followed`], spare.
pub const ENTRY_WORDS: usize = 8;
/// Words of a bucket.
pub const BUCKET_WORDS: usize = ENTRY_WORDS * WAYS;

/// Offsets in words of what an entry holds.
pub mod offset {
    /// When it was written.
    pub const TIME: usize = 0;
    /// Source, destination and identification.
    pub const DATAGRAM: usize = 1;
    /// What its first fragment told.
    pub const FOLLOWED: usize = 6;
}

/// Words by which a datagram is told from others.
pub const DATAGRAM_WORDS: usize = 5;

/// What a first fragment told.
///
/// Bits: source port 16 | destination port 16, both as on the wire | backend slot 24 | protocol 8,
/// the source port highest. Never 0, as no such protocol is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed(pub u64);

impl Followed {
    /// Puts it together.
    #[inline(always)]
    pub const fn new(source: [u8; 2], destination: [u8; 2], slot: u32, protocol: u8) -> Self {
        let ports = (u16::from_ne_bytes(source) as u64) << 48
            | (u16::from_ne_bytes(destination) as u64) << 32;
        Self(ports | (slot as u64 & 0xff_ffff) << 8 | protocol as u64)
    }

    /// Source port, as on the wire.
    #[inline(always)]
    pub const fn source(self) -> [u8; 2] {
        ((self.0 >> 48) as u16).to_ne_bytes()
    }

    /// Destination port, as on the wire.
    #[inline(always)]
    pub const fn destination(self) -> [u8; 2] {
        ((self.0 >> 32) as u16).to_ne_bytes()
    }

    /// The slot of the backend that it went to or came from; [`NO_SLOT`]: none.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        (self.0 >> 8) as u32 & 0xff_ffff
    }

    /// 6 or 17.
    #[inline(always)]
    pub const fn protocol(self) -> u8 {
        self.0 as u8
    }
}

/// No backend's.
pub const NO_SLOT: u32 = 0xff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_first_fragment_told_comes_back() {
        let followed = Followed::new([1, 2], [3, 4], 0xab_cdef, 17);
        assert_eq!((followed.source(), followed.destination()), ([1, 2], [3, 4]));
        assert_eq!((followed.slot(), followed.protocol()), (0xab_cdef, 17));
    }
}

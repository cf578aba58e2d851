//! Listeners on a range of ports. A range stands in the trie `RANGES` as the blocks of ports that
//! it is made of; a packet finds its block by the longest prefix.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a port is looked up by in `RANGES`, behind the length of the prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RangeKey {
    /// Words of the VIP as they lie in memory: see [`crate::connection::v4_words`], `v6_words`.
    pub vip: [u64; 2],
    /// 6 or 17.
    pub protocol: u8,
    /// 4 or 6: an address of one family may have the words of one of the other.
    pub family: u8,
    /// Network byte order: the first bits are those that a block shares.
    pub port: [u8; 2],
    /// Always 0: behind all prefixes.
    pub reserved: [u8; 4],
}

impl RangeKey {
    /// Bits of a prefix that holds one port.
    pub const PORT: u32 = Self::ALL_PORTS + 16;
    /// Bits of a prefix that holds every port.
    pub const ALL_PORTS: u32 = 8 * (16 + 1 + 1);
}

const _: () = assert!(size_of::<RangeKey>() == 24);

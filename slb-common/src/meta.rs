//! The record that tells a new daemon what the pinned maps beside it are.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The one value of the map `META`; written last when the maps are created, read first when they
/// are adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Meta {
    /// [`crate::ABI_VERSION`] of the daemon that made the maps; 0: not finished.
    pub abi: u32,
    /// Buckets of the IPv4 connection table, a power of two.
    pub buckets_v4: u32,
    /// Buckets of the IPv6 connection table, a power of two.
    pub buckets_v6: u32,
    /// Always 0.
    pub reserved: u32,
    /// Secret of the connection hash; the table cannot be read with another one.
    pub seed: crate::hash::Seed,
}

//! The request that the daemon hands to the program `table_batch`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// End the entry if it has expired.
pub const EXPIRE: u16 = 0;
/// End the entry.
pub const CUT: u16 = 1;
/// Lower the reach of a bucket: `slot` is the bucket, `value` the new reach.
pub const LOWER_REACH: u16 = 2;

/// Operations of one request: the program returns a bit for each that it has done, the first one's
/// lowest.
pub const LENGTH: usize = 32;
/// Bytes before the first operation: a frame of a test run must hold an Ethernet header.
pub const HEADER: usize = 16;

/// An operation on the table, done only if the word is still the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Operation {
    /// Line (bucket × 4 + way), or the bucket for [`LOWER_REACH`].
    pub slot: u32,
    /// 4 or 6.
    pub family: u16,
    /// [`EXPIRE`], [`CUT`] or [`LOWER_REACH`].
    pub kind: u16,
    /// Control word, or bucket word, that the daemon has seen.
    pub expected: u64,
    /// New reach.
    pub value: u64,
}

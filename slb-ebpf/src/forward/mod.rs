//! Forwarding modes: what is rewritten, one file a mode, and how the frame leaves.

pub mod error;
pub mod full_nat;
pub mod nat;
pub mod send;
pub mod syn;
pub mod toa;

/// Bytes of the headers that fit where they are put together: Ethernet, two VLAN tags, IPv6 with
/// common extension headers, TCP.
pub const SCRATCH_BYTES: usize = 256;

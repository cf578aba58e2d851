//! Bitmaps of addresses: a bit that is not set says that an address is none of ours.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::hash::mix_address;

/// Bits of one direction bitmap.
pub const BITMAP_BITS: u32 = 1 << 16;
/// Words of one direction bitmap.
pub const BITMAP_WORDS: usize = BITMAP_BITS as usize / 64;

/// Value of the array `BITMAPS`: index 0 the VIPs, 1 the backends, 2 the local addresses. A clear bit proves that the
/// address is none of them; a set bit may be another address's.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddressBitmap {
    /// Bit `n` is bit `n % 64` of word `n / 64`.
    pub words: [u64; BITMAP_WORDS],
}

/// The bit of an address (words as in [`Backend::address`]).
#[inline(always)]
pub const fn address_bit(address: [u64; 2]) -> u32 {
    (mix_address(address) >> 48) as u32
}

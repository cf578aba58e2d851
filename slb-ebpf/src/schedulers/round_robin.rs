//! wrr and rr: the next place of the ring. One counter for all processors makes shares exact.

use super::Places;

/// Takes the next turn.
#[inline(always)]
pub fn pick<P: Places>(places: P, length: u32) -> Option<u32> {
    places.slot((places.turn() % u64::from(length)) as u32)
}

//! sh and mh: the place that the source address hashes to, in a weighted ring (sh) or a Maglev
//! table (mh). The hash has no secret, so that all nodes agree.

use slb_common::hash::{mix, mix_address};

use super::Places;

/// The place of an address; further attempts go to other places, the same ones every time.
#[inline(always)]
pub fn pick<P: Places>(places: P, length: u32, source: [u64; 2], attempt: u32) -> Option<u32> {
    let hash = mix_address(source);
    let hash = if attempt == 0 { hash } else { mix(hash ^ u64::from(attempt)) };
    places.slot(((hash >> 32) % u64::from(length)) as u32)
}

//! sh, mh and tch: the place that a hash leads to, in a weighted ring (sh) or a Maglev table (mh,
//! tch). The hashes have no secret, so that all nodes agree.

use slb_common::{
    hash::{mix, mix_address},
    service::scheduler,
};

use super::Places;

/// What hash schedulers go by: the source address (sh, mh), or both endpoints (tch, qch). `ports`
/// are the source port 16 | the destination port 16.
#[inline(always)]
pub const fn input(kind: u8, source: [u64; 2], destination: [u64; 2], ports: u32) -> u64 {
    let client = mix_address(source);
    if kind == scheduler::SOURCE_HASH {
        return client;
    }
    mix_address([client, mix_address(destination) ^ ports as u64])
}

/// The place of a hash; further attempts go to other places, the same ones every time.
#[inline(always)]
pub fn pick<P: Places>(places: P, length: u32, hash: u64, attempt: u32) -> Option<u32> {
    let hash = if attempt == 0 { hash } else { mix(hash ^ u64::from(attempt)) };
    places.slot(((hash >> 32) % u64::from(length)) as u32)
}

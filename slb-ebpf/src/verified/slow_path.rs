//! Drawing a backend, and ranking one among all.

use slb_common::service::Ring;

use crate::{
    maps::service_of,
    packet::unknown,
    schedulers::{
        self, Draw, NOBODY,
        least_connections::{self, Measure},
        places::ServicePlaces,
    },
};

/// Draws the backend slot of a new connection; `None`: no backend is usable.
#[inline(always)]
pub fn schedule(service: u16, draw: Draw) -> Option<u32> {
    // Both numbers in one: a function takes five arguments at most.
    let packed = u64::from(draw.attempt) << 32 | u64::from(draw.refused);
    match global_schedule(u32::from(service), draw.server_id, draw.hash, packed) {
        NOBODY => None,
        slot => Some(slot),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_schedule(service: u32, server_id: u32, hash: u64, packed: u64) -> u32 {
    let Some(found) = service_of(service as u16) else { return NOBODY };
    let places = ServicePlaces { service: service as u16, ring: found.ring };
    let draw = Draw { hash, server_id, attempt: (packed >> 32) as u32, refused: packed as u32 };
    schedulers::pick(places, places.ring, draw).unwrap_or(NOBODY)
}

/// Where a backend stands among all: [`least_connections::rank`].
#[inline(always)]
pub fn rank(ring: Ring, place: u32, measure: Measure, refused: u32) -> u64 {
    unknown(global_rank(ring.0, place, measure.packed(), refused))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_rank(ring: u64, place: u32, measure: u64, refused: u32) -> u64 {
    let places = ServicePlaces { service: 0, ring: Ring(ring) };
    least_connections::rank(places, place, Measure::unpacked(measure), refused)
}

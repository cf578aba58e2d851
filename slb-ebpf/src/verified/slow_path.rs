//! The backend of a new connection: by its client's template or drawn, and ranking one among all.

use slb_common::service::Ring;

use crate::{
    connections::insert::New,
    maps::service_of,
    packet::unknown,
    persistence,
    schedulers::{
        self, Draw, NOBODY,
        least_connections::{self, Measure},
        places::ServicePlaces,
    },
};

/// Finds the backend slot of a new connection: [`persistence::choose`].
#[inline(always)]
pub fn choose<const W: usize>(new: &mut New<W>, draw: Draw) -> Option<u32> {
    let new: *mut New<W> = new;
    let packed = u64::from(draw.attempt) << 32 | u64::from(draw.refused);
    let slot = match W {
        1 => global_choose_v4(new.cast(), draw.server_id, draw.hash, packed),
        _ => global_choose_v6(new.cast(), draw.server_id, draw.hash, packed),
    };
    match unknown(u64::from(slot)) as u32 {
        NOBODY => None,
        slot => Some(slot),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_choose_v4(new: *mut New<1>, server_id: u32, hash: u64, packed: u64) -> u32 {
    chosen(new, Draw { hash, server_id, attempt: (packed >> 32) as u32, refused: packed as u32 })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_choose_v6(new: *mut New<3>, server_id: u32, hash: u64, packed: u64) -> u32 {
    chosen(new, Draw { hash, server_id, attempt: (packed >> 32) as u32, refused: packed as u32 })
}

#[inline(always)]
fn chosen<const W: usize>(new: *mut New<W>, draw: Draw) -> u32 {
    // SAFETY: the verifier knows that a pointer argument, unless it is null, leads to a whole one.
    let new = unsafe { new.as_mut() };
    new.and_then(|new| persistence::choose(new, draw)).unwrap_or(NOBODY)
}

/// Lets go of what [`choose`] took: [`persistence::give_back`].
#[inline(always)]
pub fn give_back<const W: usize>(new: &New<W>) {
    let new: *const New<W> = new;
    unknown(u64::from(match W {
        1 => global_give_back_v4(new.cast()),
        _ => global_give_back_v6(new.cast()),
    }));
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_give_back_v4(new: *const New<1>) -> u32 {
    // SAFETY: as in `chosen`.
    unsafe { new.as_ref() }.map_or(0, |new| {
        persistence::give_back(new);
        1
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_give_back_v6(new: *const New<3>) -> u32 {
    // SAFETY: as in `chosen`.
    unsafe { new.as_ref() }.map_or(0, |new| {
        persistence::give_back(new);
        1
    })
}

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

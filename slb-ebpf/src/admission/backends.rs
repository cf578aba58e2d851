//! Limits of a backend's connections: one that has reached them is passed over.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use slb_common::{
    Verdict,
    admission::Reason,
    service::{Gauges, Limits, SERVICE_SHADOW, Service, scheduler},
};

use super::{refuse, reserve};
use crate::{
    atomic,
    maps::{self, BACKENDS, GAUGES, METERS_BACKENDS},
    packet::Step,
    schedulers::NOBODY,
    verified,
};

/// Takes the backend that was drawn or, if that has reached its limits, another with room. Tells
/// whether a reservation is held.
#[inline(always)]
pub fn enter(id: u16, service: &Service, drawn: u32, hash: u64) -> Step<(u32, bool)> {
    let limited =
        maps::backend_of(drawn).is_some_and(|backend| backend.limits != Limits::default());
    if !limited {
        return Ok((drawn, false));
    }
    let start = match service.ring.scheduler() {
        // Clients that a hash sends somewhere meet the same other one each time.
        scheduler::SOURCE_HASH | scheduler::TUPLE_HASH | scheduler::QUIC => hash,
        // SAFETY: the helper takes nothing and returns a number.
        _ => u64::from(unsafe { bpf_get_prandom_u32() }),
    };
    verified::room(id, drawn, start).ok_or_else(|| refuse(id, Reason::Backends))
}

/// Why nobody was drawn: the ring is empty, or all that are in it have reached their limits.
#[inline(always)]
pub fn nobody(id: u16, service: &Service, refused: u32) -> Verdict {
    match service.ring.length() {
        1.. if refused == NOBODY => refuse(id, Reason::Backends),
        _ => Verdict::DropNoBackend,
    }
}

/// Reserves a place at a backend: `Some` with whether a reservation is held.
#[inline(always)]
pub fn reserve_one(slot: u32) -> Option<bool> {
    let backend = BACKENDS.get_ptr(slot)?;
    // SAFETY: the map gave the pointer.
    let limits = unsafe { (*backend).limits };
    let meter = METERS_BACKENDS.get_ptr_mut(slot);
    let held = limits.connections != 0;
    if held && !verified::reserve(meter, GAUGES.get_ptr(slot), limits.connections) {
        return None;
    }
    if limits.rate != 0 && !verified::take_one(meter, maps::units(), limits.rate) {
        leave(slot, held);
        return None;
    }
    Some(held)
}

/// Ends a reservation at a backend.
#[inline(always)]
pub fn leave(slot: u32, held: bool) {
    if held && let Some(meter) = METERS_BACKENDS.get_ptr_mut(slot) {
        // SAFETY: the map gave the pointer.
        unsafe { reserve::give_back(meter) };
    }
}

/// True if a backend has as many connections as it may have, by its gauges, and is to be passed
/// over for that.
#[inline(always)]
pub fn full(slot: u32, gauges: *const Gauges) -> bool {
    let Some(backend) = maps::backend_of(slot) else { return false };
    let limit = backend.limits.connections;
    if limit == 0 {
        return false;
    }
    // SAFETY: the caller's pointer is a map's.
    let entries = unsafe {
        atomic::load(&raw const (*gauges).opening)
            .wrapping_add(atomic::load(&raw const (*gauges).active))
    };
    entries as i64 >= i64::from(limit)
        && maps::service_of(backend.service)
            .is_some_and(|service| service.flags & SERVICE_SHADOW == 0)
}

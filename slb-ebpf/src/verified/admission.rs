//! Admission: what is reserved, taken and given back.

use slb_common::{
    admission::{ClientKey, Reason},
    service::{Gauges, MAGLEV_PLACES, Meter, SERVICE_SHADOW, scheduler},
};

use super::FINE;
use crate::{
    admission::{
        backends, bandwidth,
        clients::{self, Entered},
        count, limits, reserve,
    },
    connections::store::Side,
    maps::{RINGS, service_of},
    packet::unknown,
};

/// Reserves one of `limit` entries: [`reserve::reserve`]. What is not there has no limit.
#[inline(always)]
pub fn reserve(meter: Option<*mut Meter>, gauges: Option<*const Gauges>, limit: u32) -> bool {
    let (Some(meter), Some(gauges)) = (meter, gauges) else { return true };
    unknown(u64::from(global_reserve(meter, gauges, limit))) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_reserve(meter: *mut Meter, gauges: *const Gauges, limit: u32) -> u32 {
    if meter.is_null() || gauges.is_null() {
        return 1;
    }
    // SAFETY: the verifier knows that a pointer argument, unless it is null, leads to the whole.
    u32::from(unsafe { reserve::reserve(meter, gauges, limit) })
}

/// Takes one new connection from a meter's bucket: [`reserve::take_one`].
#[inline(always)]
pub fn take_one(meter: Option<*mut Meter>, now: u64, rate: u32) -> bool {
    let Some(meter) = meter else { return true };
    unknown(u64::from(global_take_one(meter, now, rate))) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_take_one(meter: *mut Meter, now: u64, rate: u32) -> u32 {
    if meter.is_null() {
        return 1;
    }
    // SAFETY: as above.
    u32::from(unsafe { reserve::take_one(&raw mut (*meter).connections, now, rate) })
}

/// Lets a new connection in: [`limits::reserve_all`].
#[inline(always)]
pub fn enter(service: u16, client: [u64; 2]) -> Result<u32, Reason> {
    let packed = unknown(global_enter(u32::from(service), client[0], client[1]));
    match packed >> 32 {
        0 => Ok(packed as u32),
        _ => Err(Reason::from_number(packed as u32).unwrap_or(Reason::Connections)),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_enter(service: u32, first: u64, second: u64) -> u64 {
    let id = service as u16;
    let Some(service) = service_of(id) else { return 0 };
    match limits::reserve_all(id, service, [first, second]) {
        Ok(held) => u64::from(held),
        Err(reason) => 1 << 32 | reason as u64,
    }
}

/// Counts a connection for its client's prefix: [`clients::enter`].
#[inline(always)]
pub fn enter_client(service: u16, prefix: u8, v4: bool, client: [u64; 2]) -> Entered {
    let packed = packed(service, prefix, v4);
    match unknown(u64::from(global_enter_client(packed, client[0], client[1]))) as u32 {
        FINE => Entered::Counted,
        NO_PLACE => Entered::NoPlace,
        number => Entered::Full(Reason::from_number(number).unwrap_or(Reason::ClientConnections)),
    }
}

/// See [`Entered::NoPlace`].
const NO_PLACE: u32 = FINE - 1;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_enter_client(packed: u32, first: u64, second: u64) -> u32 {
    let Some(service) = service_of(packed as u16) else { return NO_PLACE };
    let shadow = service.flags & SERVICE_SHADOW != 0;
    match clients::enter(&key(packed, first, second), service.client_limits, shadow) {
        Entered::Counted => FINE,
        Entered::NoPlace => NO_PLACE,
        Entered::Full(reason) => reason as u32,
    }
}

/// Counts it no more, or again: [`clients::count`].
#[inline(always)]
pub fn count_client(service: u16, prefix: u8, v4: bool, client: [u64; 2], delta: i64) {
    let packed = packed(service, prefix, v4);
    unknown(u64::from(global_count_client(packed, client[0], client[1], delta)));
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_count_client(packed: u32, first: u64, second: u64, delta: i64) -> u32 {
    clients::count(&key(packed, first, second), delta);
    0
}

/// Whose prefix it is, in one word.
#[inline(always)]
fn packed(service: u16, prefix: u8, v4: bool) -> u32 {
    u32::from(service) | u32::from(prefix) << 16 | u32::from(v4) << 24
}

#[inline(always)]
fn key(packed: u32, first: u64, second: u64) -> ClientKey {
    let (service, prefix) = (packed as u16, (packed >> 16) as u8);
    clients::key(service, prefix, packed >> 24 != 0, [first, second])
}

/// True if a packet is within the bandwidth: [`bandwidth::within`].
#[inline(always)]
pub fn meter(service: u16, side: Side, bytes: u64) -> bool {
    unknown(u64::from(global_meter(u32::from(service), side as u32, bytes))) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_meter(service: u32, side: u32, bytes: u64) -> u32 {
    let id = service as u16;
    let Some(service) = service_of(id) else { return 1 };
    let side = if side == Side::Vip as u32 { Side::Vip } else { Side::Backend };
    u32::from(bandwidth::within(id, service, side, bytes))
}

/// Places of a ring that are looked at for a backend that has not reached its limits.
const PLACES: u32 = 256;

/// Reserves a place at the backend that was drawn or, if that has reached its limits, at the next
/// one in the ring from a place that `start` says; `None`: none has room. Tells whether a
/// reservation is held.
#[inline(always)]
pub fn room(service: u16, drawn: u32, start: u64) -> Option<(u32, bool)> {
    let packed = unknown(global_room(u32::from(service), drawn, start));
    (packed as u32 != FINE).then_some((packed as u32, packed >> 32 != 0))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_room(service: u32, drawn: u32, start: u64) -> u64 {
    const NONE: u64 = FINE as u64;
    let id = service as u16;
    let Some(service) = service_of(id) else { return NONE };
    match unknown(global_enter_backend(drawn)) {
        0 => {}
        held => return u64::from(drawn) | (held - 1) << 32,
    }
    if service.flags & SERVICE_SHADOW != 0 {
        count(id, Reason::Backends, true);
        return u64::from(drawn);
    }
    let (ring, mut looked) = (service.ring, 0);
    let length = match ring.scheduler() {
        // Behind the table there are backends that nothing may draw.
        scheduler::QUIC => ring.length().min(MAGLEV_PLACES),
        _ => ring.length(),
    };
    if length == 0 {
        return NONE;
    }
    let first = start as u32 % length;
    while looked < PLACES && looked < length {
        let place = first.wrapping_add(looked) % length;
        looked += 1;
        let Some(slot) = RINGS.get_ptr(ring.offset().wrapping_add(place)) else { continue };
        // SAFETY: the map gave the pointer.
        let slot = unsafe { slot.read_volatile() };
        if slot != drawn
            && let held @ 1.. = unknown(global_enter_backend(slot))
        {
            return u64::from(slot) | (held - 1) << 32;
        }
    }
    NONE
}

/// 0: no; 1: yes; 2: and a reservation is held.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_enter_backend(slot: u32) -> u64 {
    backends::reserve_one(slot).map_or(0, |held| 1 + u64::from(held))
}

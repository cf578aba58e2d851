//! The two kinds of limits, over words that all processors share.

use slb_common::{
    admission::Bucket,
    service::{Gauges, Meter},
};

use crate::atomic;

/// Swaps that are tried before a processor takes a bucket for empty.
const SWAPS: u32 = 16;
/// Looks at the gauges before a processor takes a limit for reached: others may be giving up.
const LOOKS: u32 = 3;

/// Reserves one of `limit` entries; [`give_back`] ends that once a gauge counts the entry. Entries
/// and reservations together never pass the limit: whoever is let in has seen all that were let in
/// before, as reservations or in the gauges, which are read in the order against which they move.
///
/// # Safety
/// Both pointers must lead to a map's element.
#[inline(always)]
pub unsafe fn reserve(meter: *mut Meter, gauges: *const Gauges, limit: u32) -> bool {
    // SAFETY: the caller vouches for the pointers; all fields are aligned words.
    unsafe {
        let reserved = &raw mut (*meter).reserved;
        atomic::fetch_add(reserved, 1);
        let mut look = 0;
        while look < LOOKS {
            let opening = atomic::load(reserved);
            let entries = atomic::load(&raw const (*gauges).opening)
                .wrapping_add(atomic::load(&raw const (*gauges).active));
            if (entries as i64).max(0).wrapping_add(opening as i64) <= i64::from(limit) {
                return true;
            }
            look += 1;
        }
    }
    // SAFETY: as above.
    unsafe { give_back(meter) };
    false
}

/// Ends a reservation.
///
/// # Safety
/// The pointer must lead to a map's element.
#[inline(always)]
pub unsafe fn give_back(meter: *mut Meter) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { atomic::fetch_add(&raw mut (*meter).reserved, u64::MAX) };
}

/// Takes one of `rate` in a second from a bucket.
///
/// # Safety
/// See [`atomic`].
#[inline(always)]
pub unsafe fn take_one(word: *mut u64, now: u64, rate: u32) -> bool {
    let mut swaps = 0;
    while swaps < SWAPS {
        // SAFETY: the caller vouches for the pointer.
        let before = unsafe { atomic::load(word) };
        let Some(after) = Bucket(before).take_one(now, rate) else { return false };
        // SAFETY: as above.
        if unsafe { atomic::compare_and_swap(word, before, after.0) } {
            return true;
        }
        swaps += 1;
    }
    false
}

/// Puts one back that was taken for nothing.
///
/// # Safety
/// See [`atomic`].
#[inline(always)]
pub unsafe fn put_back(word: *mut u64, rate: u32) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { atomic::fetch_add(word, Bucket::cost_of_one(rate).wrapping_neg()) };
}

/// Takes `bytes` of `rate` in a second from a bucket. Where another processor comes between, both
/// have passed and both are counted: the debt says so, and what comes next waits for it.
///
/// # Safety
/// See [`atomic`].
#[inline(always)]
pub unsafe fn take_bytes(word: *mut u64, now: u64, bytes: u64, rate: u64) -> bool {
    // SAFETY: the caller vouches for the pointer.
    let before = unsafe { atomic::load(word) };
    let Some(after) = Bucket(before).take_bytes(now, bytes, rate) else { return false };
    // SAFETY: as above.
    if before < now && unsafe { atomic::compare_and_swap(word, before, after.0) } {
        return true;
    }
    // SAFETY: as above.
    unsafe { atomic::fetch_add(word, after.0 - before.max(now)) };
    true
}

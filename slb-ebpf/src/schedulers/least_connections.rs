//! wlc and lc: the backend with the least load for its weight, over exact counts. lc is wlc with a
//! ring in which every weight is 1.

use slb_common::service::LEAST_CONNECTIONS_MAX;

use super::{Load, NOBODY, Places};

/// Compares all places but those of the slot that was refused.
#[inline(always)]
pub fn pick<P: Places>(places: P, length: u32, refused: u32) -> Option<u32> {
    // Plain values rather than an `Option` of both: the verifier wants every byte written.
    let mut best = Load { active: 0, inactive: 0, weight: 0 };
    let mut best_slot = NOBODY;
    let mut place = 0;
    while place < LEAST_CONNECTIONS_MAX {
        if place >= length {
            break;
        }
        if let Some(slot) = places.slot(place)
            && slot != refused
            && let Some(load) = places.load(slot)
            && load.weight != 0
            && (best_slot == NOBODY || lighter(load, best))
        {
            best = load;
            best_slot = slot;
        }
        place += 1;
    }
    (best_slot != NOBODY).then_some(best_slot)
}

/// The lighter of two places drawn at random from a ring by weight (Mitzenmacher, "The power of
/// two choices in randomized load balancing", 2001).
#[inline(always)]
pub fn pick_of_two<P: Places>(places: P, length: u32) -> Option<u32> {
    let first = places.slot(places.random() % length)?;
    let second = places.slot(places.random() % length)?;
    match lighter(places.load(second)?, places.load(first)?) {
        true => Some(second),
        false => Some(first),
    }
}

/// True if `a` has strictly less load for its weight than `b`. Connections in handshake count a
/// 256th, as in LVS: they keep a burst of SYNs from going to one backend.
#[inline(always)]
pub const fn lighter(a: Load, b: Load) -> bool {
    let (busy_a, busy_b) = ((a.active << 8) + a.inactive, (b.active << 8) + b.inactive);
    // Cross-multiplied, as BPF has no fractions.
    busy_a * (b.weight as u64) < busy_b * (a.weight as u64)
}

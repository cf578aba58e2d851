//! wlc, lc, sed and nq: the backend that comes first by a measure of its load, over exact counts.
//! lc is wlc with every weight 1.

use slb_common::service::{LEAST_CONNECTIONS_MAX, scheduler};

use super::{Load, Places};
use crate::packet::unknown;

/// By what one backend comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Load that the new connection itself counts for, in 256ths of an active one.
    coming: u64,
    /// 1: a backend with nothing to do comes first, whatever its weight; else 0.
    idle_first: u64,
}

impl Measure {
    /// wlc and lc: active connections by weight.
    pub const LEAST_CONNECTIONS: Self = Self { coming: 0, idle_first: 0 };
    /// sed: active connections, the new one included, by weight.
    pub const SHORTEST_DELAY: Self = Self { coming: 256, idle_first: 0 };
    /// nq: the same, after all backends that are idle.
    pub const NEVER_QUEUE: Self = Self { coming: 256, idle_first: 1 };

    /// The measure of a scheduler, one of [`scheduler`].
    #[inline(always)]
    pub const fn of(kind: u8) -> Self {
        match kind {
            scheduler::SHORTEST_DELAY | scheduler::SHORTEST_DELAY_OF_TWO => Self::SHORTEST_DELAY,
            scheduler::NEVER_QUEUE | scheduler::NEVER_QUEUE_OF_TWO => Self::NEVER_QUEUE,
            _ => Self::LEAST_CONNECTIONS,
        }
    }

    /// True if `a` comes strictly before `b`.
    #[inline(always)]
    pub const fn prefers(self, a: Load, b: Load) -> bool {
        self.rank(a) < self.rank(b)
    }

    /// The place of a backend in the order, the first lowest: one number, so that the verifier has
    /// nothing to tell apart. Connections in handshake count a 256th, as wlc of LVS counts inactive
    /// ones: they keep a burst of SYNs from going to one backend. The weight must not be 0.
    ///
    /// Two fractions with denominators up to 2¹⁴ differ by 2⁻²⁸ at least, so they come out in their
    /// order.
    #[inline(always)]
    pub const fn rank(self, load: Load) -> u64 {
        const BUSIEST: u64 = (1 << 34) - 1;
        let busy = (load.active << 8) + load.inactive + self.coming;
        let busy = if busy < BUSIEST { busy } else { BUSIEST };
        // BPF divides by 0 to 0, and so does this, so that there is no panic to be compiled.
        let share = match (busy << 28).checked_div(load.weight as u64) {
            Some(share) => share,
            None => 0,
        };
        (self.idle_first * queue(load)) << 62 | share
    }

    /// As a number, for a function that takes numbers.
    #[inline(always)]
    pub const fn packed(self) -> u64 {
        self.coming << 1 | self.idle_first
    }

    /// From the number.
    #[inline(always)]
    pub const fn unpacked(packed: u64) -> Self {
        Self { coming: packed >> 1, idle_first: packed & 1 }
    }
}

/// Rank of what cannot be taken.
pub const NEVER: u64 = u64::MAX;

/// The rank of the slot at a place of the ring; [`NEVER`]: it cannot be taken.
#[inline(always)]
pub fn rank<P: Places>(places: P, place: u32, measure: Measure, refused: u32) -> u64 {
    match places.slot(place) {
        Some(slot) if slot != refused => match places.load(slot) {
            Some(load) if load.weight != 0 => measure.rank(load),
            _ => NEVER,
        },
        _ => NEVER,
    }
}

/// 0 with nothing to do, 1 without an active connection, else 2: a backend that somebody already
/// shakes hands with comes after one that nobody does.
#[inline(always)]
const fn queue(load: Load) -> u64 {
    (load.active != 0) as u64 + (load.active | load.inactive != 0) as u64
}

/// Compares all places but those of the slot that was refused.
#[inline(always)]
pub fn pick<P: Places>(places: P, length: u32, measure: Measure, refused: u32) -> Option<u32> {
    let (mut best, mut best_place, mut place) = (NEVER, 0, 0);
    while place < LEAST_CONNECTIONS_MAX {
        if place >= length {
            break;
        }
        let rank = places.rank(place, measure, refused);
        let mask = before(rank, best);
        best ^= (best ^ rank) & mask;
        best_place ^= (best_place ^ place) & mask as u32;
        place += 1;
    }
    if best == NEVER { None } else { places.slot(best_place) }
}

/// All ones if `a < b`, else 0, by the borrow of the subtraction: at a branch the verifier of 6.1
/// would follow each place with each other one as the best so far, 32 896 states of a loop.
#[inline(always)]
fn before(a: u64, b: u64) -> u64 {
    let borrow = (!a & b | (!a | b) & a.wrapping_sub(b)) >> 63;
    unknown(borrow).wrapping_neg()
}

/// The better of two places drawn at random from a ring by weight (Mitzenmacher, "The power of
/// two choices in randomized load balancing", 2001).
#[inline(always)]
pub fn pick_of_two<P: Places>(places: P, length: u32, measure: Measure) -> Option<u32> {
    let first = places.slot(places.random() % length)?;
    let second = places.slot(places.random() % length)?;
    match measure.prefers(places.load(second)?, places.load(first)?) {
        true => Some(second),
        false => Some(first),
    }
}

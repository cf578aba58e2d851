//! wlc, lc, sed and nq: the backend that comes first by a measure of its load, over exact counts.
//! lc is wlc with every weight 1.

use slb_common::service::{LEAST_CONNECTIONS_MAX, scheduler};

use super::{Load, NOBODY, Places};

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

    /// True if `a` comes strictly before `b`. Connections in handshake count a 256th, as wlc of
    /// LVS counts inactive ones: they keep a burst of SYNs from going to one backend.
    #[inline(always)]
    pub const fn prefers(self, a: Load, b: Load) -> bool {
        let (queue_a, queue_b) = (self.idle_first * queue(a), self.idle_first * queue(b));
        if queue_a != queue_b {
            return queue_a < queue_b;
        }
        let busy_a = (a.active << 8) + a.inactive + self.coming;
        let busy_b = (b.active << 8) + b.inactive + self.coming;
        // Cross-multiplied, as BPF has no fractions.
        busy_a * (b.weight as u64) < busy_b * (a.weight as u64)
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
            && (best_slot == NOBODY || measure.prefers(load, best))
        {
            best = load;
            best_slot = slot;
        }
        place += 1;
    }
    (best_slot != NOBODY).then_some(best_slot)
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

//! Picking the backend slot of a new connection. The daemon has already turned weights, health and
//! roles into a ring of slots; what is left to do per connection is to draw from it.

pub mod hash;
pub mod least_connections;
#[cfg(target_arch = "bpf")]
pub mod places;
pub mod round_robin;
pub mod server_id;

use slb_common::service::{Ring, scheduler};

use self::least_connections::Measure;

/// What a scheduler draws from: a stretch of the ring arena, a counter, the backends' load.
pub trait Places: Copy {
    /// Slot at a place of the ring, counted from the ring's start.
    fn slot(self, place: u32) -> Option<u32>;
    /// Entries and weight of a slot.
    fn load(self, slot: u32) -> Option<Load>;
    /// Where the slot at a place stands among all: [`least_connections::rank`], by whatever call
    /// the surroundings want.
    fn rank(self, place: u32, measure: Measure, refused: u32) -> u64 {
        least_connections::rank(self, place, measure, refused)
    }
    /// Takes the next number of the service's counter, one for all processors.
    fn turn(self) -> u64;
    /// A random number.
    fn random(self) -> u32;
}

/// How busy a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Established connections.
    pub active: u64,
    /// Those in handshake or closing.
    pub inactive: u64,
    /// In the units of [`slb_common::service::WEIGHT_UNITS`]; 0: takes nothing.
    pub weight: u16,
}

/// What a slot is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Draw {
    /// What hash schedulers go by: [`hash::input`].
    pub hash: u64,
    /// The server id in the packet's QUIC connection ID; [`NO_SERVER`]: it has none, or nobody has
    /// looked.
    pub server_id: u32,
    /// Draws for the same packet before.
    pub attempt: u32,
    /// The slot that came out last and could not be taken; [`NOBODY`]: none.
    pub refused: u32,
}

/// No slot.
pub const NOBODY: u32 = u32::MAX;
/// No server id.
pub const NO_SERVER: u32 = u32::MAX;

/// Draws a slot.
#[inline(always)]
pub fn pick<P: Places>(places: P, ring: Ring, draw: Draw) -> Option<u32> {
    let (length, kind) = (ring.length(), ring.scheduler());
    if length == 0 {
        return None;
    }
    match kind {
        scheduler::ROUND_ROBIN => round_robin::pick(places, length),
        scheduler::LEAST_CONNECTIONS | scheduler::SHORTEST_DELAY | scheduler::NEVER_QUEUE => {
            least_connections::pick(places, length, Measure::of(kind), draw.refused)
        }
        scheduler::TWO_CHOICES
        | scheduler::SHORTEST_DELAY_OF_TWO
        | scheduler::NEVER_QUEUE_OF_TWO => {
            least_connections::pick_of_two(places, length, Measure::of(kind))
        }
        scheduler::QUIC => server_id::pick(places, length, draw),
        _ => hash::pick(places, length, draw.hash, draw.attempt),
    }
}

#[cfg(test)]
mod tests;

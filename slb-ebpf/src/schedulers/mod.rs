//! Picking the backend slot of a new connection. The daemon has already turned weights, health and
//! roles into a ring of slots; what is left to do per connection is to draw from it.

pub mod least_connections;
#[cfg(target_arch = "bpf")]
pub mod places;
pub mod round_robin;
pub mod source_hash;

use slb_common::service::{Ring, scheduler};

/// What a scheduler draws from: a stretch of the ring arena, a counter, the backends' load.
pub trait Places: Copy {
    /// Slot at a place of the ring, counted from the ring's start.
    fn slot(self, place: u32) -> Option<u32>;
    /// Entries and weight of a slot.
    fn load(self, slot: u32) -> Option<Load>;
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
    /// 0: takes nothing.
    pub weight: u16,
}

/// What a slot is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Address of the client.
    pub source: [u64; 2],
    /// Draws for the same packet before.
    pub attempt: u32,
    /// The slot that came out last and could not be taken; [`NOBODY`]: none.
    pub refused: u32,
}

/// No slot.
pub const NOBODY: u32 = u32::MAX;

/// Draws a slot.
#[inline(always)]
pub fn pick<P: Places>(places: P, ring: Ring, draw: Draw) -> Option<u32> {
    if ring.length() == 0 {
        return None;
    }
    match ring.scheduler() {
        scheduler::ROUND_ROBIN => round_robin::pick(places, ring.length()),
        scheduler::LEAST_CONNECTIONS => {
            least_connections::pick(places, ring.length(), draw.refused)
        }
        scheduler::TWO_CHOICES => least_connections::pick_of_two(places, ring.length()),
        _ => source_hash::pick(places, ring.length(), draw.source, draw.attempt),
    }
}

#[cfg(test)]
mod tests;

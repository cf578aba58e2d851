//! Rings that the program draws backend slots from: weighted round robin, Maglev, plain lists.

mod cycle;
mod lending;
mod maglev;

use std::net::SocketAddr;

use slb_common::service::{LEAST_CONNECTIONS_MAX, MAGLEV_PLACES, NO_SLOT, Ring, scheduler};

use self::{
    cycle::{FINE_PLACES, cycle},
    lending::lend,
    maglev::maglev,
};
use super::slow_start::WHOLE;
use crate::config::model::Scheduler;

/// A backend that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its slot.
    pub slot: u32,
    /// What it is known by on every node.
    pub endpoint: SocketAddr,
    /// Above 0.
    pub weight: u16,
    /// Thousandths of the weight that it gets now, above 0; all but [`WHOLE`] is a slow start.
    pub share: u16,
}

/// How the program draws, and from what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// One of [`scheduler`].
    pub scheduler: u8,
    /// Slots.
    pub slots: Vec<u32>,
}

/// The ring of a scheduler over the backends that may be drawn now, in any order. `named` are the
/// slots that qch finds by their server ids, also those that may not be drawn.
pub fn build(kind: Scheduler, candidates: &[Candidate], named: &[(u16, u32)]) -> Places {
    let mut sorted = candidates.to_vec();
    // The same order on every node and after every restart.
    sorted.sort_by_key(|candidate| candidate.endpoint);
    let few = sorted.len() <= LEAST_CONNECTIONS_MAX as usize;
    let (scheduler, slots) = match kind {
        Scheduler::Wrr => (scheduler::ROUND_ROBIN, cycle(&sorted)),
        Scheduler::Rr => (scheduler::ROUND_ROBIN, cycle(&alike(&sorted))),
        Scheduler::Wlc | Scheduler::Lc if few => (scheduler::LEAST_CONNECTIONS, each_once(&sorted)),
        Scheduler::Wlc => (scheduler::TWO_CHOICES, cycle(&sorted)),
        Scheduler::Lc => (scheduler::TWO_CHOICES, cycle(&alike(&sorted))),
        Scheduler::Sed if few => (scheduler::SHORTEST_DELAY, each_once(&sorted)),
        Scheduler::Sed => (scheduler::SHORTEST_DELAY_OF_TWO, cycle(&sorted)),
        Scheduler::Nq if few => (scheduler::NEVER_QUEUE, each_once(&sorted)),
        Scheduler::Nq => (scheduler::NEVER_QUEUE_OF_TWO, cycle(&sorted)),
        Scheduler::Sh => (scheduler::SOURCE_HASH, source_ring(&sorted)),
        Scheduler::Mh => (scheduler::SOURCE_HASH, table(&sorted)),
        Scheduler::Tch => (scheduler::TUPLE_HASH, table(&sorted)),
        Scheduler::Qch => (scheduler::QUIC, quic(table(&sorted), named)),
    };
    debug_assert!(slots.len() <= Ring::MAX_LENGTH as usize);
    Places { scheduler, slots }
}

/// The same with equal weights.
fn alike(candidates: &[Candidate]) -> Vec<Candidate> {
    candidates.iter().map(|candidate| Candidate { weight: 1, ..*candidate }).collect()
}

fn each_once(candidates: &[Candidate]) -> Vec<u32> {
    candidates.iter().map(|candidate| candidate.slot).collect()
}

fn ramping(candidates: &[Candidate]) -> bool {
    candidates.iter().any(|candidate| candidate.share != WHOLE)
}

/// The cycle of the whole weights; while a backend ramps, several times over and with places lent.
/// A source finds the same place in a repeated ring, so only what is lent moves.
fn source_ring(candidates: &[Candidate]) -> Vec<u32> {
    let whole: Vec<_> = candidates.iter().map(|one| Candidate { share: WHOLE, ..*one }).collect();
    let ring = cycle(&whole);
    if !ramping(candidates) {
        return ring;
    }
    let repeated = ring.repeat((FINE_PLACES / ring.len().max(1)).max(1));
    lend(repeated, candidates)
}

/// The Maglev table of the whole weights; while a backend ramps, with places lent.
fn table(candidates: &[Candidate]) -> Vec<u32> {
    lend(maglev(candidates, MAGLEV_PLACES), candidates)
}

/// A Maglev table, and behind it one place for each server id up to the greatest that is in use.
fn quic(table: Vec<u32>, named: &[(u16, u32)]) -> Vec<u32> {
    let Some(greatest) = named.iter().map(|(id, _)| usize::from(*id)).max() else {
        return table;
    };
    let mut slots = table;
    // Where nobody takes new connections, those that stand go on all the same.
    slots.resize(MAGLEV_PLACES as usize + greatest + 1, NO_SLOT);
    for (id, slot) in named {
        slots[MAGLEV_PLACES as usize + usize::from(*id)] = *slot;
    }
    slots
}

#[cfg(test)]
mod tests;

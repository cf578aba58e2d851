//! Rings that the program draws backend slots from: weighted round robin, Maglev, plain lists.

use std::net::SocketAddr;

use slb_common::{
    hash::{mix, mix_address},
    service::{LEAST_CONNECTIONS_MAX, Ring, scheduler},
};

use crate::{config::model::Scheduler, maps::words::words};

/// Places of a Maglev table: Google's and Katran's prime.
pub const MAGLEV_PLACES: u32 = 65_537;

/// A backend that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its slot.
    pub slot: u32,
    /// What it is known by on every node.
    pub endpoint: SocketAddr,
    /// Above 0.
    pub weight: u16,
}

/// How the program draws, and from what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// One of [`scheduler`].
    pub scheduler: u8,
    /// Slots.
    pub slots: Vec<u32>,
}

/// The ring of a scheduler over the backends that may be drawn now, in any order.
pub fn build(kind: Scheduler, candidates: &[Candidate]) -> Places {
    let mut sorted = candidates.to_vec();
    // The same order on every node and after every restart.
    sorted.sort_by_key(|candidate| candidate.endpoint);
    let few = sorted.len() <= LEAST_CONNECTIONS_MAX as usize;
    let (scheduler, slots) = match kind {
        Scheduler::Wrr => (scheduler::ROUND_ROBIN, weighted(&sorted)),
        Scheduler::Rr => (scheduler::ROUND_ROBIN, each_once(&sorted)),
        Scheduler::Wlc | Scheduler::Lc if few => (scheduler::LEAST_CONNECTIONS, each_once(&sorted)),
        Scheduler::Wlc => (scheduler::TWO_CHOICES, weighted(&sorted)),
        Scheduler::Lc => (scheduler::TWO_CHOICES, each_once(&sorted)),
        Scheduler::Sh => (scheduler::SOURCE_HASH, weighted(&sorted)),
        Scheduler::Mh => (scheduler::SOURCE_HASH, maglev(&sorted, MAGLEV_PLACES)),
    };
    debug_assert!(slots.len() <= Ring::MAX_LENGTH as usize);
    Places { scheduler, slots }
}

fn each_once(candidates: &[Candidate]) -> Vec<u32> {
    candidates.iter().map(|candidate| candidate.slot).collect()
}

/// One cycle of smooth weighted round robin (nginx, 2012): every backend gets its weight divided
/// by the greatest common divisor, spread over the cycle rather than in bursts.
fn weighted(candidates: &[Candidate]) -> Vec<u32> {
    let divisor = candidates.iter().fold(0, |divisor, candidate| gcd(divisor, candidate.weight));
    let shares: Vec<u64> =
        candidates.iter().map(|candidate| u64::from(candidate.weight / divisor.max(1))).collect();
    // The n-th turn of a backend with share s stands at (n + 1/2) / s of the cycle: the same
    // spread as by subtraction, in n log n instead of n².
    let mut turns: Vec<(u64, u64, usize)> = Vec::new();
    for (index, share) in shares.iter().enumerate() {
        turns.extend((0..*share).map(|turn| (2 * turn + 1, *share, index)));
    }
    turns.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
    turns.into_iter().map(|(_, _, index)| candidates[index].slot).collect()
}

const fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Weighted Maglev (Eisenbud et al., NSDI 2016, section 3.4; weights as in Katran: a backend
/// collects its weight each round and takes a place whenever that makes a whole turn).
fn maglev(candidates: &[Candidate], places: u32) -> Vec<u32> {
    const NOBODY: u32 = u32::MAX;
    let Some(heaviest) = candidates.iter().map(|candidate| candidate.weight).max() else {
        return Vec::new();
    };
    let mut permutations: Vec<(u64, u64)> = candidates
        .iter()
        .map(|candidate| {
            let identity = mix_address(words(candidate.endpoint.ip()));
            let hash = mix(identity ^ mix(u64::from(candidate.endpoint.port())));
            let skip = mix(hash ^ 0x736b_6970) % u64::from(places - 1) + 1;
            (hash % u64::from(places), skip)
        })
        .collect();
    let mut collected = vec![0; candidates.len()];
    let mut table = vec![NOBODY; places as usize];
    let mut taken = 0;
    loop {
        for (index, candidate) in candidates.iter().enumerate() {
            collected[index] += candidate.weight;
            if collected[index] < heaviest {
                continue;
            }
            collected[index] -= heaviest;
            let (next, skip) = &mut permutations[index];
            while table[*next as usize] != NOBODY {
                *next = (*next + *skip) % u64::from(places);
            }
            table[*next as usize] = candidate.slot;
            taken += 1;
            if taken == places {
                return table;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn candidates(weights: &[u16]) -> Vec<Candidate> {
        (0..)
            .zip(weights)
            .map(|(slot, weight)| Candidate {
                slot,
                endpoint: SocketAddr::from(([10, 0, (slot >> 8) as u8, slot as u8], 8080)),
                weight: *weight,
            })
            .collect()
    }

    fn shares(slots: &[u32]) -> HashMap<u32, usize> {
        slots.iter().fold(HashMap::new(), |mut shares, slot| {
            *shares.entry(*slot).or_default() += 1;
            shares
        })
    }

    #[test]
    fn weighted_round_robin_interleaves() {
        assert_eq!(build(Scheduler::Wrr, &candidates(&[3, 2, 1])).slots, [0, 1, 0, 2, 1, 0]);
        assert_eq!(build(Scheduler::Wrr, &candidates(&[100, 100])).slots, [0, 1]);
    }

    #[test]
    fn round_robin_ignores_weights() {
        assert_eq!(build(Scheduler::Rr, &candidates(&[3, 2, 1])).slots, [0, 1, 2]);
    }

    #[test]
    fn least_connections_draws_two_where_backends_are_too_many_to_compare() {
        assert_eq!(build(Scheduler::Wlc, &candidates(&[1; 256])).scheduler, 1);
        assert_eq!(build(Scheduler::Wlc, &candidates(&[1; 257])).scheduler, 2);
    }

    #[test]
    fn no_candidates_make_an_empty_ring() {
        for kind in Scheduler::WORDS.iter().map(|(_, kind)| *kind) {
            assert!(build(kind, &[]).slots.is_empty());
        }
    }

    #[test]
    fn maglev_shares_are_even_and_follow_weights() {
        let even = shares(&build(Scheduler::Mh, &candidates(&[100; 100])).slots);
        assert!(even.values().all(|&count| (650..=661).contains(&count)), "{even:?}");
        let weighted = shares(&build(Scheduler::Mh, &candidates(&[100, 50, 10])).slots);
        for (slot, weight) in [(0, 100), (1, 50), (2, 10)] {
            let fair = 65_537 * weight / 160;
            assert!(weighted[&slot].abs_diff(fair) <= fair / 50, "slot {slot}: {weighted:?}");
        }
    }

    #[test]
    fn taking_one_of_100_backends_away_moves_at_most_2_percent_of_the_others_places() {
        let all = candidates(&[100; 100]);
        let before = build(Scheduler::Mh, &all).slots;
        let without: Vec<_> = all.into_iter().filter(|candidate| candidate.slot != 37).collect();
        let after = build(Scheduler::Mh, &without).slots;
        let moved = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| **before != 37 && before != after)
            .count();
        assert!(moved * 50 <= 65_537, "{moved} places moved");
        assert!(moved > 0, "nothing moved at all: is it a Maglev table?");
    }

    proptest! {
        #[test]
        fn one_cycle_gives_every_backend_exactly_its_share(
            weights in prop::collection::vec(1_u16..=100, 1..20),
        ) {
            let slots = build(Scheduler::Wrr, &candidates(&weights)).slots;
            let shares = shares(&slots);
            let total: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
            prop_assert_eq!(total % slots.len(), 0);
            let cycles = total / slots.len();
            for (slot, weight) in (0..).zip(&weights) {
                prop_assert_eq!(shares[&slot] * cycles, usize::from(*weight));
            }
        }

        #[test]
        fn no_backend_waits_much_longer_than_its_share_says(
            weights in prop::collection::vec(1_u16..=20, 2..8),
        ) {
            let slots = build(Scheduler::Wrr, &candidates(&weights)).slots;
            let shares = shares(&slots);
            for (slot, share) in shares {
                let mut turns: Vec<usize> =
                    (0..slots.len()).filter(|place| slots[*place] == slot).collect();
                // The next cycle's first turn: turns in one burst are far from it.
                turns.push(turns[0] + slots.len());
                let gaps = turns.windows(2).map(|pair| pair[1] - pair[0]);
                let longest = gaps.max().unwrap_or(0);
                // Every other backend may slip in once more than its share of that time.
                prop_assert!(longest <= slots.len().div_ceil(share) + weights.len());
            }
        }

        #[test]
        fn the_order_of_candidates_does_not_matter(
            weights in prop::collection::vec(1_u16..=100, 1..10),
            turned in 0_usize..10,
        ) {
            let mut all = candidates(&weights);
            let before = build(Scheduler::Mh, &all);
            let count = all.len();
            all.rotate_left(turned % count);
            prop_assert_eq!(build(Scheduler::Mh, &all), before);
        }
    }
}

//! Rings of every scheduler; Maglev tables and slow start have files of their own.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

mod ramps;
mod tables;

fn candidates(weights: &[u16]) -> Vec<Candidate> {
    (0..)
        .zip(weights)
        .map(|(slot, weight)| Candidate {
            slot,
            endpoint: SocketAddr::from(([10, 0, (slot >> 8) as u8, slot as u8], 8080)),
            weight: *weight,
            share: WHOLE,
        })
        .collect()
}

fn plain(kind: Scheduler, candidates: &[Candidate]) -> Places {
    build(kind, candidates, &[])
}

fn shares(slots: &[u32]) -> HashMap<u32, usize> {
    slots.iter().fold(HashMap::new(), |mut shares, slot| {
        *shares.entry(*slot).or_default() += 1;
        shares
    })
}

#[test]
fn weighted_round_robin_interleaves() {
    assert_eq!(plain(Scheduler::Wrr, &candidates(&[3, 2, 1])).slots, [0, 1, 0, 2, 1, 0]);
    assert_eq!(plain(Scheduler::Wrr, &candidates(&[100, 100])).slots, [0, 1]);
}

#[test]
fn round_robin_ignores_weights() {
    assert_eq!(plain(Scheduler::Rr, &candidates(&[3, 2, 1])).slots, [0, 1, 2]);
}

#[test]
fn least_connections_draws_two_where_backends_are_too_many_to_compare() {
    for (kind, few, many) in [
        (Scheduler::Wlc, scheduler::LEAST_CONNECTIONS, scheduler::TWO_CHOICES),
        (Scheduler::Lc, scheduler::LEAST_CONNECTIONS, scheduler::TWO_CHOICES),
        (Scheduler::Sed, scheduler::SHORTEST_DELAY, scheduler::SHORTEST_DELAY_OF_TWO),
        (Scheduler::Nq, scheduler::NEVER_QUEUE, scheduler::NEVER_QUEUE_OF_TWO),
    ] {
        assert_eq!(plain(kind, &candidates(&[1; 256])).scheduler, few);
        assert_eq!(plain(kind, &candidates(&[1; 257])).scheduler, many);
    }
}

#[test]
fn no_candidates_make_an_empty_ring() {
    for kind in Scheduler::WORDS.iter().map(|(_, kind)| *kind) {
        assert!(plain(kind, &[]).slots.is_empty());
    }
}

proptest! {
    #[test]
    fn one_cycle_gives_every_backend_exactly_its_share(
        weights in prop::collection::vec(1_u16..=100, 1..20),
    ) {
        let slots = plain(Scheduler::Wrr, &candidates(&weights)).slots;
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
        let slots = plain(Scheduler::Wrr, &candidates(&weights)).slots;
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
        let before = plain(Scheduler::Mh, &all);
        let count = all.len();
        all.rotate_left(turned % count);
        prop_assert_eq!(plain(Scheduler::Mh, &all), before);
    }
}

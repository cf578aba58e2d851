//! Slow start inside rings.

use std::time::Duration;

use super::*;
use crate::plan::slow_start::share;

/// Backends of these weights that have been usable for so many seconds, in a slow start of 60 s.
fn at(backends: &[(u16, u64)], later_s: u64) -> Vec<Candidate> {
    let weights: Vec<u16> = backends.iter().map(|(weight, _)| *weight).collect();
    let ramp = Duration::from_secs(60);
    candidates(&weights)
        .into_iter()
        .zip(backends)
        .map(|(one, (_, age_s))| {
            let share = share(Duration::from_secs(age_s + later_s), ramp);
            Candidate { share, ..one }
        })
        .collect()
}

/// What each backend should have of everything.
fn fair(candidates: &[Candidate]) -> Vec<f64> {
    let parts = candidates.iter().map(|one| f64::from(one.weight) * f64::from(one.share));
    let total: f64 = parts.clone().sum();
    parts.map(|part| part / total).collect()
}

fn assert_fair(slots: &[u32], candidates: &[Candidate], off: f64) {
    let shares = shares(slots);
    for (slot, fair) in (0..).zip(fair(candidates)) {
        let got = shares[&slot] as f64 / slots.len() as f64;
        assert!((got - fair).abs() <= off, "slot {slot} has {got:.4}, fair is {fair:.4}");
    }
}

#[test]
fn a_new_backend_begins_with_a_tenth_and_ends_with_all_of_its_weight_in_every_ring() {
    for kind in [
        Scheduler::Wrr,
        Scheduler::Rr,
        Scheduler::Sh,
        Scheduler::Mh,
        Scheduler::Tch,
        Scheduler::Qch,
    ] {
        let backends = [(100, 900), (100, 900), (100, 0)];
        for (later_s, parts) in [(0, 1.0), (20, 4.0), (40, 7.0), (60, 10.0)] {
            let slots = plain(kind, &at(&backends, later_s)).slots;
            let got = shares(&slots)[&2] as f64 / slots.len() as f64;
            let fair = parts / (parts + 20.0);
            assert!(
                (got - fair).abs() < 0.005,
                "{kind} after {later_s} s: {got:.4}, not {fair:.4}"
            );
        }
        assert_eq!(plain(kind, &at(&backends, 60)), plain(kind, &candidates(&[100; 3])));
    }
}

#[test]
fn backends_that_ramp_alike_have_the_ring_of_their_whole_weights() {
    for kind in Scheduler::WORDS.iter().map(|(_, kind)| *kind) {
        let ramping = plain(kind, &at(&[(3, 5), (2, 5), (1, 5)], 0));
        assert_eq!(shares(&ramping.slots).len(), 3);
        if kind != Scheduler::Sh {
            assert_eq!(ramping, plain(kind, &candidates(&[3, 2, 1])), "{kind}");
        }
    }
}

#[test]
fn no_ramp_makes_a_cycle_much_longer_than_its_fine_places() {
    for count in [2, 100, 1000, 10_000] {
        let mut backends = vec![(100, 900); count];
        backends[0].1 = 0;
        for kind in [Scheduler::Wrr, Scheduler::Sh] {
            let length = plain(kind, &at(&backends, 3)).slots.len();
            assert!(length <= 16_384.max(count), "{count} backends: {length}");
        }
    }
}

#[test]
fn a_source_hash_keeps_its_sources_while_another_backend_ramps() {
    let whole = plain(Scheduler::Sh, &candidates(&[3, 2, 1])).slots;
    let ramping = plain(Scheduler::Sh, &at(&[(3, 900), (2, 900), (1, 30)], 0)).slots;
    for hash in 0..100_000_usize {
        let (before, after) = (ramping[hash % ramping.len()], whole[hash % whole.len()]);
        assert!(before == after || after == 2, "hash {hash} moves from {before} to {after}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_step_moves_the_part_of_all_weight_that_it_adds_and_all_of_it_to_those_that_ramp(
        weights in prop::collection::vec(1_u16..=100, 2..40),
        ages in prop::collection::vec(prop_oneof![Just(900_u64), 0_u64..60], 40),
        steady in 0_usize..40,
    ) {
        let mut backends: Vec<_> = weights.into_iter().zip(ages).collect();
        let count = backends.len();
        backends[steady % count].1 = 900;
        let (before, after) = (at(&backends, 0), at(&backends, 1));
        let tables = [&before, &after].map(|all| plain(Scheduler::Mh, all).slots);
        // Of all weight that is in use after the step, what was not in use before. Places that are
        // lent follow it: where much is lent, a place that is taken back draws others along.
        let weight = |all: &[Candidate]| -> f64 {
            all.iter().map(|one| f64::from(one.weight) * f64::from(one.share)).sum()
        };
        let added = 65_537.0 * (1.0 - weight(&before) / weight(&after));
        let pairs: Vec<_> = tables[0].iter().zip(&tables[1]).filter(|(b, a)| b != a).collect();
        for (_, to) in &pairs {
            prop_assert!(after[**to as usize].share > before[**to as usize].share);
        }
        // Each backend's places are whole ones, and lent ones fall as hashes do.
        let most = added + 5.0 * added.sqrt() + count as f64;
        prop_assert!(pairs.len() as f64 <= most, "{} places moved, {most:.0} allowed", pairs.len());
    }

    #[test]
    fn every_ring_follows_weights_and_shares_while_backends_ramp(
        weights in prop::collection::vec(1_u16..=100, 2..12),
        ages in prop::collection::vec(prop_oneof![Just(900_u64), 0_u64..60], 12),
    ) {
        let backends: Vec<_> = weights.into_iter().zip(ages).collect();
        let all = at(&backends, 0);
        for kind in [Scheduler::Wrr, Scheduler::Mh] {
            assert_fair(&plain(kind, &all).slots, &all, 0.01);
        }
    }
}

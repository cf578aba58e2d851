//! Maglev tables, and the server ids behind those of qch.

use super::*;

const PLACES: usize = MAGLEV_PLACES as usize;

/// Places that belong to other backends than `slot` before and after, and to different ones.
fn moved(before: &[u32], after: &[u32], slot: u32) -> usize {
    let pairs = before.iter().zip(after);
    pairs.filter(|(one, two)| one != two && **one != slot && **two != slot).count()
}

#[test]
fn maglev_shares_are_even_and_follow_weights() {
    for kind in [Scheduler::Mh, Scheduler::Tch] {
        let even = shares(&plain(kind, &candidates(&[100; 100])).slots);
        assert!(even.values().all(|&count| (650..=661).contains(&count)), "{even:?}");
        let weighted = shares(&plain(kind, &candidates(&[100, 50, 10])).slots);
        for (slot, weight) in [(0, 100), (1, 50), (2, 10)] {
            let fair = 65_537 * weight / 160;
            assert!(weighted[&slot].abs_diff(fair) <= fair / 50, "slot {slot}: {weighted:?}");
        }
    }
}

#[test]
fn source_and_tuple_hashes_draw_from_the_same_table_in_their_own_way() {
    let all = candidates(&[3, 2, 1]);
    let (source, tuple) = (plain(Scheduler::Mh, &all), plain(Scheduler::Tch, &all));
    assert_eq!(source.slots, tuple.slots);
    assert_eq!((source.scheduler, tuple.scheduler), (3, 4));
}

#[test]
fn server_ids_stand_behind_the_table_each_at_its_place() {
    let all = candidates(&[3, 2, 1]);
    let quic = build(Scheduler::Qch, &all, &[(5, 0), (2, 1), (0, 9)]);
    let table = plain(Scheduler::Tch, &all).slots;
    assert_eq!(quic.scheduler, scheduler::QUIC);
    assert_eq!(quic.slots[..PLACES], table);
    assert_eq!(quic.slots[PLACES..], [9, NO_SLOT, 1, NO_SLOT, NO_SLOT, 0]);
    assert_eq!(build(Scheduler::Qch, &all, &[]).slots, table);
    assert_eq!(build(Scheduler::Qch, &all, &[(65_535, 1)]).slots.len(), PLACES + 65_536);
    // No new connections, but those that stand find their backend.
    let drained = build(Scheduler::Qch, &[], &[(1, 4)]).slots;
    assert!(drained[..PLACES].iter().all(|slot| *slot == NO_SLOT));
    assert_eq!(drained[PLACES..], [NO_SLOT, 4]);
}

#[test]
fn a_table_changes_at_all_when_a_backend_goes() {
    let all = candidates(&[100; 100]);
    let (before, after) = (plain(Scheduler::Mh, &all).slots, plain(Scheduler::Mh, &all[1..]).slots);
    assert!(moved(&before, &after, 0) > 0, "nothing moved at all: is it a Maglev table?");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn taking_one_of_100_backends_away_moves_at_most_2_percent_of_the_others_places(
        gone in 0_u32..100,
    ) {
        let all = candidates(&[100; 100]);
        let without: Vec<_> = all.iter().copied().filter(|one| one.slot != gone).collect();
        let before = plain(Scheduler::Mh, &all).slots;
        let after = plain(Scheduler::Mh, &without).slots;
        prop_assert!(!after.contains(&gone));
        let moved = moved(&before, &after, gone);
        prop_assert!(moved * 50 <= PLACES, "{moved} places moved");
    }

    #[test]
    fn adding_one_to_100_backends_moves_at_most_2_percent_of_the_others_places(
        host in any::<u16>(),
        port in 1_u16..,
    ) {
        let mut all = candidates(&[100; 100]);
        let before = plain(Scheduler::Tch, &all).slots;
        let [high, low] = host.to_be_bytes();
        let endpoint = SocketAddr::from(([10, 1, high, low], port));
        all.push(Candidate { slot: 100, endpoint, weight: 100, share: WHOLE });
        let after = plain(Scheduler::Tch, &all).slots;
        prop_assert!(after.contains(&100));
        let moved = moved(&before, &after, 100);
        prop_assert!(moved * 50 <= PLACES, "{moved} places moved");
    }

    #[test]
    fn shares_of_a_table_follow_any_weights_within_2_percent(
        weights in prop::collection::vec(1_u16..=100, 1..60),
    ) {
        let shares = shares(&plain(Scheduler::Tch, &candidates(&weights)).slots);
        let total: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
        for (slot, weight) in (0..).zip(&weights) {
            let fair = PLACES * usize::from(*weight) / total;
            // A place is the least that there is.
            let off = shares[&slot].abs_diff(fair);
            prop_assert!(off <= (fair / 50).max(2), "{} places, fair are {fair}", shares[&slot]);
        }
    }
}

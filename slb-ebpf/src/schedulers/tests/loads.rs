//! Schedulers that compare loads: wlc, lc, sed, nq.

use proptest::prelude::*;
use slb_common::service::scheduler;

use super::{super::least_connections::Measure, *};

#[test]
fn least_connections_keeps_load_by_weight_within_one_connection() {
    let mut memory = memory(&[0, 1, 2], &[100, 50, 10]);
    for opened in 1..=1600_u64 {
        let slot = draw(&memory, scheduler::LEAST_CONNECTIONS, 1);
        memory.loads.get_mut(&slot).unwrap().active += 1;
        for load in memory.loads.values() {
            let fair = opened * u64::from(load.weight) / 160;
            assert!(load.active.abs_diff(fair) <= 1, "{opened} opened: {load:?}");
        }
    }
}

#[test]
fn least_connections_spreads_a_burst_of_handshakes() {
    let mut memory = memory(&[0, 1, 2], &[1, 1, 1]);
    for _ in 0..300 {
        let slot = draw(&memory, scheduler::LEAST_CONNECTIONS, 1);
        memory.loads.get_mut(&slot).unwrap().inactive += 1;
    }
    assert!(memory.loads.values().all(|load| load.inactive == 100));
}

#[test]
fn least_connections_passes_over_weight_0() {
    let memory = memory(&[0, 1], &[0, 1]);
    assert_eq!(draw(&memory, scheduler::LEAST_CONNECTIONS, 1), 1);
}

#[test]
fn least_connections_passes_over_the_slot_that_was_refused() {
    let memory = memory(&[0, 1, 2], &[1, 100, 1]);
    let again = Draw { attempt: 1, refused: 1, ..first([1, 0]) };
    assert_eq!(pick(&memory, ring(&memory, scheduler::LEAST_CONNECTIONS), again), Some(0));
}

#[test]
fn of_two_drawn_the_lighter_is_taken() {
    let mut memory = memory(&[0, 1], &[1, 1]);
    memory.loads.get_mut(&0).unwrap().active = 1000;
    let busy = (0..1000).filter(|_| draw(&memory, scheduler::TWO_CHOICES, 1) == 0).count();
    // Only when both draws hit it: a quarter.
    assert!((150..350).contains(&busy), "{busy}");
}

/// Opens so many connections and returns how many each slot has.
fn active(memory: &mut Memory, scheduler: u8, connections: u32) -> Vec<u64> {
    for _ in 0..connections {
        let slot = draw(memory, scheduler, 1);
        memory.loads.get_mut(&slot).unwrap().active += 1;
    }
    (0..memory.loads.len() as u32).map(|slot| memory.loads[&slot].active).collect()
}

#[test]
fn shortest_delay_leaves_slow_backends_alone_until_they_would_answer_sooner() {
    // (active + 1) / weight: 1/3 beats 1/1 twice, at 3/3 = 1/1 the first of the ring is taken.
    let mut memory = memory(&[0, 1], &[3, 1]);
    assert_eq!(active(&mut memory, scheduler::SHORTEST_DELAY, 3), [3, 0]);
    assert_eq!(active(&mut memory, scheduler::SHORTEST_DELAY, 1), [3, 1]);
    assert_eq!(active(&mut memory, scheduler::SHORTEST_DELAY, 396), [300, 100]);
}

#[test]
fn never_queue_gives_every_idle_backend_one_before_it_goes_by_delay() {
    let mut memory = memory(&[0, 1, 2], &[100, 2, 1]);
    assert_eq!(active(&mut memory, scheduler::NEVER_QUEUE, 3), [1, 1, 1]);
    assert_eq!(active(&mut memory, scheduler::NEVER_QUEUE, 40), [41, 1, 1]);
    memory.loads.get_mut(&2).unwrap().active = 0;
    assert_eq!(draw(&memory, scheduler::NEVER_QUEUE, 1), 2);
}

#[test]
fn never_queue_spreads_a_burst_of_handshakes_over_idle_backends() {
    let mut memory = memory(&[0, 1, 2], &[100, 2, 1]);
    for _ in 0..3 {
        let slot = draw(&memory, scheduler::NEVER_QUEUE, 1);
        memory.loads.get_mut(&slot).unwrap().inactive += 1;
    }
    assert!(memory.loads.values().all(|load| load.inactive == 1));
}

#[test]
fn of_two_drawn_the_one_is_taken_that_sed_or_nq_prefers() {
    let mut memory = memory(&[0, 1], &[100, 1]);
    memory.loads.get_mut(&0).unwrap().active = 1;
    let drawn = |kind| (0..1000).filter(|_| draw(&memory, kind, 1) == 0).count();
    // sed: 2/100 beats 1/1 unless both draws hit slot 1; nq: slot 1 is idle, so the reverse.
    assert!((650..850).contains(&drawn(scheduler::SHORTEST_DELAY_OF_TWO)));
    assert!((150..350).contains(&drawn(scheduler::NEVER_QUEUE_OF_TWO)));
}

proptest! {
    #[test]
    fn every_measure_is_a_strict_order(
        // As many as the largest table holds, and weights as fine as slow start makes them.
        a in (0_u64..1 << 25, 0_u64..1 << 20, 1_u16..=10_000),
        b in (0_u64..1 << 25, 0_u64..1 << 20, 1_u16..=10_000),
    ) {
        let load = |(active, inactive, weight)| Load { active, inactive, weight };
        let (least, delay) = (Measure::LEAST_CONNECTIONS, Measure::SHORTEST_DELAY);
        for measure in [least, delay, Measure::NEVER_QUEUE] {
            prop_assert!(!(measure.prefers(load(a), load(b)) && measure.prefers(load(b), load(a))));
        }
        for (measure, coming) in [(least, 0), (delay, 256)] {
            let busy = |(active, inactive, _): (u64, u64, u16)| active * 256 + inactive + coming;
            let (mine, others) = (busy(a) * u64::from(b.2), busy(b) * u64::from(a.2));
            prop_assert_eq!(measure.prefers(load(a), load(b)), mine < others);
        }
    }
}

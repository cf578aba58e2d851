//! Schedulers on rings in ordinary memory.

use std::{cell::Cell, collections::HashMap};

use proptest::prelude::*;
use slb_common::{
    connection::v4_words,
    service::{Ring, scheduler},
};

use super::{Draw, Load, NOBODY, Places, least_connections::lighter, pick};

struct Memory {
    ring: Vec<u32>,
    loads: HashMap<u32, Load>,
    turn: Cell<u64>,
    seed: Cell<u32>,
}

impl Places for &Memory {
    fn slot(self, place: u32) -> Option<u32> {
        self.ring.get(place as usize).copied()
    }

    fn load(self, slot: u32) -> Option<Load> {
        self.loads.get(&slot).copied()
    }

    fn turn(self) -> u64 {
        self.turn.replace(self.turn.get() + 1)
    }

    fn random(self) -> u32 {
        self.seed.replace(self.seed.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223)) >> 8
    }
}

fn memory(ring: &[u32], weights: &[u16]) -> Memory {
    let load = |weight| Load { active: 0, inactive: 0, weight };
    Memory {
        ring: ring.to_vec(),
        loads: (0..).zip(weights.iter().map(|&weight| load(weight))).collect(),
        turn: Cell::new(0),
        seed: Cell::new(1),
    }
}

fn ring(memory: &Memory, scheduler: u8) -> Ring {
    Ring::new(0, memory.ring.len() as u32, scheduler)
}

fn first(source: [u64; 2]) -> Draw {
    Draw { source, attempt: 0, refused: NOBODY }
}

fn draw(memory: &Memory, scheduler: u8, source: u8) -> u32 {
    let source = v4_words([192, 0, 2, source]);
    pick(memory, ring(memory, scheduler), first(source)).expect("a slot")
}

#[test]
fn round_robin_gives_every_place_of_the_ring_its_turn_in_order() {
    let memory = memory(&[0, 1, 0, 2, 0, 1], &[3, 2, 1]);
    let drawn: Vec<u32> = (0..12).map(|_| draw(&memory, scheduler::ROUND_ROBIN, 1)).collect();
    assert_eq!(drawn, [memory.ring.clone(), memory.ring.clone()].concat());
}

#[test]
fn an_empty_ring_gives_nothing() {
    let memory = memory(&[], &[]);
    for kind in 0..4 {
        assert_eq!(pick(&memory, Ring::new(0, 0, kind), first([1, 0])), None);
    }
}

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

#[test]
fn a_source_always_hashes_to_the_same_place_and_another_attempt_elsewhere() {
    let ring: Vec<u32> = (0..100).collect();
    let memory = memory(&ring, &[1; 100]);
    let source = v4_words([192, 0, 2, 7]);
    let of = |attempt| {
        pick(&memory, Ring::new(0, 100, scheduler::SOURCE_HASH), Draw { attempt, ..first(source) })
    };
    assert_eq!(of(0), of(0));
    assert_ne!(of(0), of(1));
}

#[test]
fn sources_spread_evenly_over_the_ring() {
    let memory = memory(&[0, 1, 2, 3], &[1; 4]);
    let mut counts = [0; 4];
    for n in 0..40_000_u32 {
        let source = v4_words((0x0a00_0000 + n).to_be_bytes());
        counts[pick(&memory, ring(&memory, scheduler::SOURCE_HASH), first(source)).unwrap()
            as usize] += 1;
    }
    assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
}

proptest! {
    #[test]
    fn lighter_is_a_strict_order(
        a in (0_u64..1 << 30, 0_u64..1 << 20, 1_u16..=100),
        b in (0_u64..1 << 30, 0_u64..1 << 20, 1_u16..=100),
    ) {
        let load = |(active, inactive, weight)| Load { active, inactive, weight };
        prop_assert!(!(lighter(load(a), load(b)) && lighter(load(b), load(a))));
        let ratio = |(active, inactive, weight): (u64, u64, u16)| {
            (active as f64 * 256.0 + inactive as f64) / f64::from(weight)
        };
        if (ratio(a) - ratio(b)).abs() > 1e-3 {
            prop_assert_eq!(lighter(load(a), load(b)), ratio(a) < ratio(b));
        }
    }
}

//! Schedulers on rings in ordinary memory.

mod hashes;
mod loads;

use std::{cell::Cell, collections::HashMap};

use slb_common::{
    connection::v4_words,
    service::{Ring, scheduler},
};

use super::{Draw, Load, NO_SERVER, NOBODY, Places, hash, pick};

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
    let hash = hash::input(scheduler::SOURCE_HASH, source, [0; 2], 0);
    Draw { hash, server_id: NO_SERVER, attempt: 0, refused: NOBODY }
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
    for kind in 0..10 {
        assert_eq!(pick(&memory, Ring::new(0, 0, kind), first([1, 0])), None);
    }
}

//! Eight threads at random on a small table, held against a model.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use slb_common::connection::{Class, Control, Ties, endpoint_extra, offset, state};

use super::{
    insert::{New, Refused, open},
    lookup::find,
    memory::{Memory, by_vip, new_entry},
    store::Side,
    transition::{change, close},
};

const THREADS: u64 = 8;
const OPERATIONS: u64 = 150_000;
const CLIENTS: u64 = 24;
const VIPS: u64 = 6;

/// xorshift64* (Vigna 2016): repeatable, one per thread.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// Entries of one key by the word of those who made and ended them: never below 0 or above 1 once
/// everybody has stopped.
type Model = HashMap<(u64, u64), i64>;

fn work<const W: usize>(table: &Memory<W>, seed: u64, model: &Mutex<Model>, closing: &AtomicU64) {
    let mut random = Random(seed);
    let mut mine = Model::new();
    for operation in 0..OPERATIONS {
        let (client, vip) = (random.below(CLIENTS), random.below(VIPS));
        // A backend of its own for each VIP: the clash of tuples has tests of its own.
        let mut new = new_entry(client as u16, vip as u8, vip as u8, state::SYN, 0);
        new.ties = Ties::NONE.with_client(24);
        match random.below(4) {
            0 => match counted(table, &new) {
                Ok(_line) => *mine.entry((client, vip)).or_default() += 1,
                Err(Refused::Exists | Refused::Contended) => {}
                Err(other) => panic!("operation {operation}: {other:?}"),
            },
            kind => {
                let Some(entry) = find(table, &by_vip(&new), Side::Vip, 0) else { continue };
                assert_eq!(endpoint_extra(&entry.vip), 7);
                assert_eq!(entry.seen.slot(), vip as u32);
                let (flags, now) = (entry.control.flags(), entry.control.state());
                match (kind, now) {
                    (1, state::SYN) => {
                        let to = entry.control.with(flags, state::ESTABLISHED);
                        change(table, &entry, entry.control, to);
                    }
                    // Keys that come to closing states are reopened in place, out of the model's
                    // sight; the others let it be exact.
                    (1, _) if may_close(client, vip) => {
                        let to = entry.control.with(flags, state::TIME_WAIT);
                        change(table, &entry, entry.control, to);
                        closing.fetch_add(1, SeqCst);
                    }
                    (2, _) => entry.line.touch(entry.seen, 0),
                    _ => {
                        if close(table, entry.line, entry.control) {
                            *mine.entry((client, vip)).or_default() -= 1;
                        }
                    }
                }
            }
        }
    }
    let mut model = model.lock().unwrap();
    for (key, count) in mine {
        *model.entry(key).or_default() += count;
    }
}

/// Opens an entry that its client's prefix counts, as admission does: before it is made.
fn counted<const W: usize>(table: &Memory<W>, new: &New<W>) -> Result<u32, Refused> {
    table.clients.fetch_add(1, SeqCst);
    let opened = open(table, new, 0);
    if opened.is_err() {
        table.clients.fetch_sub(1, SeqCst);
    }
    opened
}

fn stress<const W: usize>() {
    let table = Memory::<W>::new(1024);
    let (model, closing) = (Mutex::new(Model::new()), AtomicU64::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (table, model, closing) = (&table, &model, &closing);
            scope.spawn(move || work(table, 0x9e37_79b9 + thread * 7919, model, closing));
        }
    });
    assert!(closing.load(SeqCst) > 1000, "closing entries were hardly reached");

    let live = table.live();
    let mut keys = HashMap::<_, u32>::new();
    let mut gauges = [(0, 0); 16];
    for (line, control) in &live {
        *keys
            .entry((line.endpoint(offset::CLIENT), line.endpoint(offset::vip::<W>())))
            .or_default() += 1;
        count(&mut gauges[line.seen().slot() as usize], *control);
    }
    assert!(keys.values().all(|&times| times == 1), "a key stands twice in the table");
    for (slot, expected) in gauges.into_iter().enumerate() {
        assert_eq!(table.counted(slot), expected, "gauges of slot {slot}");
    }
    let limited = live.iter().filter(|(_, control)| control.class().limited()).count();
    assert_eq!(table.clients.load(SeqCst), limited as i64, "connections of the client's prefix");
    let model = model.into_inner().unwrap();
    for client in 0..CLIENTS {
        for vip in 0..VIPS {
            let new = new_entry(client as u16, vip as u8, vip as u8, state::SYN, 0);
            let present = find(&table, &by_vip::<W>(&new), Side::Vip, 0).is_some();
            let counted = model.get(&(client, vip)).copied().unwrap_or(0);
            match may_close(client, vip) {
                true => assert!(counted >= i64::from(present), "client {client} vip {vip}"),
                false => assert_eq!(counted, i64::from(present), "client {client} vip {vip}"),
            }
        }
    }
}

const fn may_close(client: u64, vip: u64) -> bool {
    (client + vip) % 2 == 1
}

fn count(gauges: &mut (i64, i64), control: Control) {
    match control.class() {
        Class::Active => gauges.0 += 1,
        Class::Opening | Class::Closing => gauges.1 += 1,
        Class::None => unreachable!("a live line has a class"),
    }
}

#[test]
fn eight_threads_lose_double_or_miscount_no_ipv4_entry() {
    stress::<1>();
}

#[test]
fn eight_threads_lose_double_or_miscount_no_ipv6_entry() {
    stress::<3>();
}

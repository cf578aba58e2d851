//! The connection table in the kernel: filled, stressed and swept from two processors at once.
//! The oracle is a recount of every line through the daemon's mapping.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use anyhow::ensure;
use aya::programs::TestRunOptions;
use slb_common::{
    connection::{
        BUCKET_WORDS_V4, BucketWord, Control, WAYS,
        batch::{self, Operation},
        line_words, offset,
    },
    hash::Seed,
};
use slb_tests::table_lab::{TableLab, Word, client};
use slb_userspace::{
    bpf::{buckets, mapping::Access},
    config::model::Family,
    expiry::{self, Swept},
    maps::{Kernel, table::Line},
};
use zerocopy::IntoBytes;

/// A table of the other family that is of no interest.
const SMALL: u32 = 64;

fn lab(family: Family, buckets: u32) -> TableLab {
    match family {
        Family::V4 => TableLab::new(buckets, SMALL),
        Family::V6 => TableLab::new(SMALL, buckets),
    }
    .unwrap()
}

fn program(family: Family, v4: &'static str, v6: &'static str) -> &'static str {
    match family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}

/// Opens the flows from 0 on from two processors, and again those that were given up to others.
fn fill(lab: &mut TableLab, family: Family, flows: u32) {
    let fill = program(family, "fill_v4", "fill_v6");
    for round in 0.. {
        assert!(round < 10, "flows still contended after {round} rounds");
        for word in [Word::Next, Word::Opened, Word::Existed, Word::Refused, Word::Contended] {
            lab.set_word(word, 0).unwrap();
        }
        lab.run_on_two(fill, flows / 2, |_, _| Ok(())).unwrap();
        let counted = [Word::Opened, Word::Existed, Word::Refused, Word::Contended]
            .map(|word| lab.word(word).unwrap());
        assert_eq!(counted.iter().sum::<u64>(), u64::from(flows), "every open has one outcome");
        if counted[3] == 0 {
            return;
        }
    }
}

/// Every flow is there exactly once, no other is, and the gauges count them.
fn assert_holds_exactly(lab: &TableLab, family: Family, flows: impl ExactSizeIterator<Item = u32>) {
    let recount = lab.recount(family);
    assert_eq!(recount.clients.len(), flows.len(), "clients in the table");
    for flow in flows {
        let (ip, port): (IpAddr, u16) = client(family, flow);
        assert_eq!(recount.clients.get(&(ip, port)), Some(&1), "flow {flow}, {ip} port {port}");
    }
    assert_eq!(lab.gauges(), recount.gauges);
}

fn a_million_fit(family: Family) {
    const CONNECTIONS: u32 = 1_000_000;
    let mut lab = lab(family, buckets(CONNECTIONS));
    fill(&mut lab, family, CONNECTIONS);
    assert_eq!(lab.word(Word::Refused).unwrap(), 0);
    assert_holds_exactly(&lab, family, 0..CONNECTIONS);
}

#[test]
fn a_table_for_a_million_connections_takes_a_million_ipv4_flows_from_two_processors() {
    a_million_fit(Family::V4);
}

#[test]
fn a_table_for_a_million_connections_takes_a_million_ipv6_flows_from_two_processors() {
    a_million_fit(Family::V6);
}

/// Two lines that hold the same connection at the same time, while others go on writing. A place's
/// generation changes whenever it is taken: if the first line is still the same once the second
/// has been read, both were there then.
fn doubled(kernel: &Kernel, family: Family) -> Option<(Line, Line)> {
    let mut first = HashMap::new();
    kernel.table.lines(family).find_map(|second| {
        let earlier: Line = *first.entry((second.client, second.vip)).or_insert(second);
        let now = kernel.table.line(family, earlier.slot)?;
        let same = now.control.generation() == earlier.control.generation();
        (earlier.slot != second.slot && same).then_some((now, second))
    })
}

/// Two processors open, close and change `flows` flows at random while the daemon cuts.
fn stressed(family: Family, flows: u64, buckets: u32) -> (TableLab, u64) {
    const TIMES: u32 = 3_000_000;
    let mut lab = lab(family, buckets);
    lab.set_word(Word::Flows, flows).unwrap();
    let mut cut = 0;
    lab.run_on_two(program(family, "stress_v4", "stress_v6"), TIMES, |object, kernel| {
        cut += expiry::cut(object, kernel, family, |line| line.seen.slot() != 0)?.ended;
        let doubled = doubled(kernel, family);
        ensure!(doubled.is_none(), "twice in the table at once: {doubled:#?}");
        Ok(())
    })
    .unwrap();
    assert!(cut > 0, "the daemon had nothing to cut");
    let recount = lab.recount(family);
    let twice: Vec<_> = recount.clients.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "flows that stand twice in the table: {twice:?}");
    assert_eq!(lab.gauges(), recount.gauges);
    assert_eq!(lab.word(Word::Wrong).unwrap(), 0, "entries found under another's key");
    assert!((0..buckets).all(|bucket| !lab.kernel.table.bucket_word(family, bucket).locked()));
    (lab, cut)
}

fn no_entry_is_lost_or_doubled(family: Family) {
    // Room for all: an entry goes only when a program or the daemon ends it.
    let (lab, cut) = stressed(family, 64, 256);
    let live = lab.recount(family).clients.len() as u64;
    let ended = lab.word(Word::Closed).unwrap() + cut;
    assert_eq!(lab.word(Word::Opened).unwrap() - ended, live);
    assert_eq!(lab.word(Word::Refused).unwrap(), 0);
}

#[test]
fn two_processors_and_the_daemon_lose_double_or_miscount_no_ipv4_entry() {
    no_entry_is_lost_or_doubled(Family::V4);
}

#[test]
fn two_processors_and_the_daemon_lose_double_or_miscount_no_ipv6_entry() {
    no_entry_is_lost_or_doubled(Family::V6);
}

#[test]
fn two_processors_that_fight_for_the_same_eight_places_double_no_entry() {
    for family in [Family::V4, Family::V6] {
        stressed(family, 7, 2);
    }
}

#[test]
fn two_processors_double_and_miscount_nothing_in_a_table_too_small_for_its_flows() {
    for family in [Family::V4, Family::V6] {
        let (lab, _) = stressed(family, 2000, 64);
        assert!(lab.word(Word::Refused).unwrap() > 0, "the table was never full");
    }
}

#[test]
fn a_full_table_refuses_new_flows_and_keeps_every_established_one() {
    for family in [Family::V4, Family::V6] {
        let (buckets, places) = (1024, 1024 * WAYS);
        let mut lab = lab(family, buckets);
        fill(&mut lab, family, 4 * places);
        assert!(lab.word(Word::Refused).unwrap() > 0);
        let first = lab.recount(family).clients;
        // With eight buckets to choose from hardly a place stays free.
        assert!(first.len() as u32 > places * 98 / 100, "{} of {places}", first.len());
        fill(&mut lab, family, 4 * places);
        assert_eq!(lab.word(Word::Existed).unwrap() as usize, first.len());
        let second = lab.recount(family);
        assert!(first.keys().all(|client| second.clients.get(client) == Some(&1)));
        assert_eq!(lab.gauges(), second.gauges);
    }
}

fn sweep(lab: &mut TableLab, family: Family) -> Swept {
    let mut client_hops = HashSet::new();
    expiry::sweep(&mut lab.object, &lab.kernel, family, &mut client_hops).unwrap()
}

/// Makes the entries of the flows that `old` names look as if nothing had come for `ticks`.
fn age(lab: &TableLab, ticks: u32, old: impl Fn(u32) -> bool) -> u64 {
    let table =
        lab.object.mapping::<[u64; BUCKET_WORDS_V4]>("CONNECTIONS4", Access::Write).unwrap();
    let mut aged = 0;
    for bucket in 0..table.len() {
        for line in table.words(bucket).chunks(line_words::<1>()) {
            use std::sync::atomic::Ordering::Relaxed;
            let live = Control(line[offset::CONTROL].load(Relaxed)).live();
            let [_, b, c, d, low, high, ..] = line[offset::CLIENT].load(Relaxed).to_ne_bytes();
            if live && old(u32::from_ne_bytes([low, b, c, d])) {
                assert_eq!(high, b ^ 0x55, "a client of the lab");
                line[offset::seen::<1>()].fetch_sub(u64::from(ticks), Relaxed);
                aged += 1;
            }
        }
    }
    aged
}

#[test]
fn the_sweep_ends_exactly_the_entries_whose_time_is_over() {
    const FLOWS: u32 = 20_000;
    const TIMEOUT: u32 = 900;
    let mut lab = lab(Family::V4, buckets(FLOWS));
    fill(&mut lab, Family::V4, FLOWS);
    lab.set_timeout(TIMEOUT).unwrap();
    let idle_enough = |flow: u32| flow.is_multiple_of(3);
    let over = age(&lab, TIMEOUT + 1, idle_enough);
    // Twenty ticks are five seconds for the test to get on with.
    age(&lab, TIMEOUT - 20, |flow| flow % 3 == 1);
    let swept = sweep(&mut lab, Family::V4);
    assert_eq!((swept.live, swept.ended), (u64::from(FLOWS), over));
    let left: Vec<u32> = (0..FLOWS).filter(|flow| !idle_enough(*flow)).collect();
    assert_holds_exactly(&lab, Family::V4, left.into_iter());
}

#[test]
fn the_sweep_ends_the_entries_of_a_service_that_is_gone() {
    for family in [Family::V4, Family::V6] {
        let mut lab = lab(family, SMALL);
        fill(&mut lab, family, 100);
        assert_eq!(sweep(&mut lab, family).ended, 0);
        lab.remove_service().unwrap();
        assert_eq!(sweep(&mut lab, family).ended, 100);
        assert_holds_exactly(&lab, family, 0..0);
    }
}

#[test]
fn the_batch_program_does_only_what_still_holds() {
    let mut lab = lab(Family::V4, SMALL);
    fill(&mut lab, Family::V4, 2);
    let line = lab.kernel.table.lines(Family::V4).next().unwrap();
    let operation =
        |kind| Operation { slot: line.slot, family: 4, kind, expected: line.control.0, value: 0 };
    let cut = operation(batch::CUT);
    // The entry's former state, a former entry, another line, no line at all, no kind at all.
    let state = Operation { expected: line.control.0 ^ 1, ..cut };
    let generation = Operation { expected: line.control.0 ^ 1 << 8, ..cut };
    let elsewhere = Operation { slot: line.slot ^ WAYS, ..cut };
    let nowhere = Operation { slot: SMALL * WAYS, ..cut };
    let unknown = operation(9);
    let reach = Operation { slot: 0, kind: batch::LOWER_REACH, expected: u64::MAX, ..cut };
    // Its time is not over: a packet has come since the daemon looked.
    let alive = operation(batch::EXPIRE);
    for refused in [state, generation, elsewhere, nowhere, unknown, reach, alive] {
        assert_eq!(run_batch(&mut lab, &[refused]), 0, "{refused:?}");
        assert_eq!(lab.recount(Family::V4).clients.len(), 2);
    }
    assert_eq!(run_batch(&mut lab, &[alive, cut, cut]), 0b010, "the second finds it gone");
    assert_eq!(lab.recount(Family::V4).clients.len(), 1);
    assert_eq!(lab.gauges(), lab.recount(Family::V4).gauges);
}

/// Runs operations as the daemon does; returns a bit for each that was done.
fn run_batch(lab: &mut TableLab, operations: &[Operation]) -> u32 {
    let frame = [&[0; batch::HEADER], operations.as_bytes()].concat();
    let options = TestRunOptions { data_in: Some(&frame), repeat: 1, ..TestRunOptions::default() };
    lab.object.run("table_batch", options).unwrap().return_value
}

#[test]
fn an_expired_entry_is_found_by_nobody_before_the_sweep_has_come() {
    let mut lab = lab(Family::V4, SMALL);
    fill(&mut lab, Family::V4, 2);
    lab.set_timeout(900).unwrap();
    age(&lab, 901, |flow| flow == 1);
    assert!(lab.finds(Family::V4, 0).unwrap());
    assert!(!lab.finds(Family::V4, 1).unwrap());
}

#[test]
fn lowering_the_reach_hides_no_entry() {
    for family in [Family::V4, Family::V6] {
        const BUCKETS: u32 = 1024;
        let mut lab = lab(family, BUCKETS);
        // So full that many entries lie past the two buckets that are always looked at.
        let flows = BUCKETS * WAYS * 9 / 10;
        fill(&mut lab, family, flows);
        let there = lab.recount(family).clients;
        let stays = |flow: &u32| flow & 7 < 4 && there.contains_key(&client(family, *flow));
        let reach = |lab: &TableLab| -> Vec<u32> {
            let word = |bucket| lab.kernel.table.bucket_word(family, bucket);
            (0..BUCKETS).map(|bucket| BucketWord::reach(word(bucket))).collect()
        };
        let full = reach(&lab);
        assert!(full.iter().sum::<u32>() > 100, "nothing reaches far");
        // Half of the flows go: by slot, which is the flow's last bits.
        expiry::cut(&mut lab.object, &lab.kernel, family, |line| line.seen.slot() >= 4).unwrap();
        let seed = Seed::fixed();
        let lowered = expiry::lower_reach(&mut lab.object, &lab.kernel, family, &seed).unwrap();
        let less = reach(&lab);
        assert!(lowered > 0);
        let differing = full.iter().zip(&less).filter(|(before, after)| before != after).count();
        assert_eq!(lowered, differing as u64);
        assert!(full.iter().zip(&less).all(|(before, after)| after <= before));
        for flow in 0..flows {
            assert_eq!(lab.finds(family, flow).unwrap(), stays(&flow), "flow {flow}");
        }
        let again = expiry::lower_reach(&mut lab.object, &lab.kernel, family, &seed).unwrap();
        assert_eq!(again, 0, "what can be lowered was lowered at once");
        let stayed: Vec<u32> = (0..flows).filter(stays).collect();
        assert_holds_exactly(&lab, family, stayed.into_iter());
    }
}

#[test]
fn the_daemon_reads_the_clock_that_entries_are_stamped_with() {
    let mut lab = lab(Family::V4, SMALL);
    let before = slb_userspace::maps::table::tick();
    fill(&mut lab, Family::V4, 2);
    let after = slb_userspace::maps::table::tick();
    lab.kernel.table.scan(Family::V4, |line| {
        let tick = line.seen.tick();
        assert!((before..=after).contains(&tick), "{before} {tick} {after}");
    });
}

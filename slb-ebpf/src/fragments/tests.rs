use std::cell::UnsafeCell;

use slb_common::fragment::{BUCKET_WORDS, WAYS};

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A table of a power of two of buckets.
struct Table(Vec<UnsafeCell<[u64; BUCKET_WORDS]>>);

impl Table {
    fn of(buckets: usize) -> Self {
        Self((0..buckets).map(|_| UnsafeCell::new([0; BUCKET_WORDS])).collect())
    }

    fn bucket(&self, place: u32) -> Option<Bucket> {
        let bucket = &self.0[place as usize & (self.0.len() - 1)];
        // SAFETY: the words live as long as the table, and only atomics touch them.
        Some(unsafe { Bucket::new(bucket.get().cast()) })
    }

    fn remember(&self, datagram: &Datagram, followed: Followed, now: u64) -> bool {
        let hash = datagram.hash(&Seed::fixed());
        remember(|place| self.bucket(place), hash, datagram, followed, now)
    }

    fn recall(&self, datagram: &Datagram, now: u64) -> Option<Followed> {
        recall(|place| self.bucket(place), datagram.hash(&Seed::fixed()), datagram, now)
    }
}

fn datagram(identification: u64) -> Datagram {
    Datagram::new([1, 2], [3, 4], identification)
}

fn followed(port: u8) -> Followed {
    Followed::new([port, 1], [0, 53], 7, 17)
}

#[test]
fn what_a_first_fragment_told_is_known_for_a_second_and_no_longer() {
    let table = Table::of(8);
    assert!(table.remember(&datagram(1), followed(1), 10 * SECOND));
    for (at, known) in [(10, true), (11, true)] {
        assert_eq!(table.recall(&datagram(1), at * SECOND).is_some(), known);
    }
    assert_eq!(table.recall(&datagram(1), 11 * SECOND + 2), None);
    assert_eq!(table.recall(&datagram(2), 10 * SECOND), None);
}

#[test]
fn each_word_of_a_datagram_tells_it_from_others() {
    let table = Table::of(8);
    assert!(table.remember(&datagram(1), followed(1), 9 * SECOND));
    for other in [
        Datagram::new([9, 2], [3, 4], 1),
        Datagram::new([1, 9], [3, 4], 1),
        Datagram::new([1, 2], [9, 4], 1),
        Datagram::new([1, 2], [3, 9], 1),
        Datagram::new([1, 2], [3, 4], 9),
    ] {
        assert_eq!(table.recall(&other, 9 * SECOND), None);
        assert_ne!(other.hash(&Seed::fixed()), datagram(1).hash(&Seed::fixed()));
    }
}

#[test]
fn a_first_fragment_that_comes_again_takes_no_second_place() {
    let table = Table::of(1);
    for round in 0..20 {
        assert!(table.remember(&datagram(1), followed(round), 9 * SECOND + u64::from(round)));
    }
    for other in 2..=WAYS as u64 {
        assert!(table.remember(&datagram(other), followed(0), 9 * SECOND + 30));
    }
    assert_eq!(table.recall(&datagram(1), 9 * SECOND + 30), Some(followed(19)));
}

#[test]
fn a_full_table_refuses_until_what_is_in_it_is_too_old() {
    let table = Table::of(1);
    for number in 0..WAYS as u64 {
        assert!(table.remember(&datagram(number), followed(0), 5 * SECOND));
    }
    assert!(!table.remember(&datagram(99), followed(1), 5 * SECOND));
    assert!(!table.remember(&datagram(99), followed(1), 6 * SECOND));
    assert!(table.remember(&datagram(99), followed(1), 6 * SECOND + 2));
    assert_eq!(table.recall(&datagram(99), 6 * SECOND + 2), Some(followed(1)));
}

#[test]
fn a_table_takes_three_eighths_of_its_places_before_it_refuses_any() {
    let table = Table::of(1024);
    for number in 0..1536 {
        assert!(table.remember(&datagram(number), followed(0), 5 * SECOND), "the {number}th");
    }
}

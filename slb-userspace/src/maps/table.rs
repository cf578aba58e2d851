//! The connection tables through read-only mappings.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use slb_common::connection::{
    BUCKET_WORDS_V4, BUCKET_WORDS_V6, BucketWord, Control, EXTRA_SHIFT, Seen, Sequences,
    TICK_SHIFT, Ties, Translation, WAYS, endpoint_address, endpoint_extra, endpoint_port,
    line_words, offset,
};

use super::words::address;
use crate::{
    bpf::{
        Error,
        load::Object,
        mapping::{Access, Mapping},
    },
    config::model::Family,
};

/// Both tables.
#[derive(Debug)]
pub struct Table {
    v4: Mapping<[u64; BUCKET_WORDS_V4]>,
    v6: Mapping<[u64; BUCKET_WORDS_V6]>,
    sequences_v4: Mapping<u64>,
    sequences_v6: Mapping<u64>,
}

/// One line as it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Family of its table.
    pub family: Family,
    /// Bucket × 4 + way.
    pub slot: u32,
    /// Control word.
    pub control: Control,
    /// Last sight and backend slot.
    pub seen: Seen,
    /// Service id.
    pub service: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Client.
    pub client: SocketAddr,
    /// VIP.
    pub vip: SocketAddr,
    /// Backend; in dr and tunnel the VIP, as which the backend answers.
    pub backend: SocketAddr,
    /// Index of the next hop to the client; 0: none is kept.
    pub client_hop: u16,
    /// What it holds elsewhere.
    pub ties: Ties,
    /// How its packets are rewritten.
    pub translation: Translation,
}

/// What a sweep looks at of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Bucket × 4 + way.
    pub slot: u32,
    /// Control word.
    pub control: Control,
    /// Last sight and backend slot.
    pub seen: Seen,
    /// Service id.
    pub service: u16,
    /// Index of the next hop to the client.
    pub client_hop: u16,
}

impl Table {
    /// Maps the tables of an object.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(object: &Object) -> Result<Self, Error> {
        Ok(Self {
            v4: object.mapping("CONNECTIONS4", Access::Read)?,
            v6: object.mapping("CONNECTIONS6", Access::Read)?,
            sequences_v4: object.mapping("SEQUENCES4", Access::Read)?,
            sequences_v6: object.mapping("SEQUENCES6", Access::Read)?,
        })
    }

    /// Buckets of a family's table.
    pub const fn buckets(&self, family: Family) -> u32 {
        match family {
            Family::V4 => self.v4.len(),
            Family::V6 => self.v6.len(),
        }
    }

    /// The word that guards a bucket's inserts.
    pub fn bucket_word(&self, family: Family, bucket: u32) -> BucketWord {
        let word = match family {
            Family::V4 => &self.v4.words(bucket)[offset::bucket_word::<1>()],
            Family::V6 => &self.v6.words(bucket)[offset::bucket_word::<3>()],
        };
        BucketWord(word.load(Ordering::Acquire))
    }

    /// Calls `visit` for every live line, cheaply: the whole table is walked this way once per
    /// sweep.
    pub fn scan(&self, family: Family, mut visit: impl FnMut(&Glance)) {
        match family {
            Family::V4 => scan::<1, _>(&self.v4, &mut visit),
            Family::V6 => scan::<3, _>(&self.v6, &mut visit),
        }
    }

    /// A whole line; `None` if nothing lives there or it changed hands while it was read.
    pub fn line(&self, family: Family, slot: u32) -> Option<Line> {
        match family {
            Family::V4 => line::<1>(self.v4.words(slot / WAYS), family, slot),
            Family::V6 => line::<3>(self.v6.words(slot / WAYS), family, slot),
        }
    }

    /// The sequence numbers of a line; 0 in both: none were seen.
    pub fn sequences(&self, family: Family, slot: u32) -> Sequences {
        let numbers = match family {
            Family::V4 => &self.sequences_v4,
            Family::V6 => &self.sequences_v6,
        };
        Sequences(numbers.get(slot))
    }

    /// Every live line of a family.
    pub fn lines(&self, family: Family) -> impl Iterator<Item = Line> {
        (0..self.buckets(family) * WAYS).filter_map(move |slot| self.line(family, slot))
    }
}

fn scan<const W: usize, T>(table: &Mapping<T>, visit: &mut impl FnMut(&Glance))
where
    T: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable,
{
    for bucket in 0..table.len() {
        let words = table.words(bucket);
        for way in 0..WAYS {
            let first = way as usize * line_words::<W>();
            let control = Control(words[first].load(Ordering::Acquire));
            if control.live() {
                let word = |at: usize| words[first + at].load(Ordering::Relaxed);
                let extra = |at: usize| (word(at + W - 1) >> EXTRA_SHIFT) as u16;
                visit(&Glance {
                    slot: bucket * WAYS + way,
                    control,
                    seen: Seen(word(offset::seen::<W>())),
                    service: extra(offset::vip::<W>()),
                    client_hop: extra(offset::backend::<W>()),
                });
            }
        }
    }
}

fn line<const W: usize>(bucket: &[AtomicU64], family: Family, slot: u32) -> Option<Line> {
    let first = (slot % WAYS) as usize * line_words::<W>();
    let word = |at: usize| bucket[first + at].load(Ordering::Acquire);
    let control = Control(word(offset::CONTROL));
    if !control.live() {
        return None;
    }
    let words = |at: usize| -> [u64; W] { std::array::from_fn(|number| word(at + number)) };
    let client = words(offset::CLIENT);
    let vip = words(offset::vip::<W>());
    let backend = words(offset::backend::<W>());
    let seen = Seen(word(offset::seen::<W>()));
    let ties = Ties(word(offset::ties::<W>()));
    let translation = Translation(word(offset::translation::<W>()));
    let after = Control(word(offset::CONTROL));
    (after.live() && after.generation() == control.generation()).then(|| Line {
        family,
        slot,
        control: after,
        seen,
        service: endpoint_extra(&vip),
        protocol: endpoint_extra(&client) as u8,
        client: socket_address(family, &client),
        vip: socket_address(family, &vip),
        backend: socket_address(family, &backend),
        client_hop: endpoint_extra(&backend),
        ties,
        translation,
    })
}

fn socket_address<const W: usize>(family: Family, words: &[u64; W]) -> SocketAddr {
    let address = address(family, endpoint_address(words));
    SocketAddr::new(address, u16::from_be_bytes(endpoint_port(words)))
}

/// Nanoseconds of the clock that the program reads (`CLOCK_MONOTONIC_COARSE`).
pub fn now_ns() -> u64 {
    let clock = nix::time::ClockId::CLOCK_MONOTONIC_COARSE;
    nix::time::clock_gettime(clock).map_or(0, |time| {
        time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs()
    })
}

/// The tick of the same clock.
pub fn tick() -> u32 {
    (now_ns() >> TICK_SHIFT) as u32
}

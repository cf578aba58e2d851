//! Fragmented datagrams: the first fragment has the ports, those that come later find them here.
//! Nobody cleans up: what is older than a second is a free place.

#[cfg(target_arch = "bpf")]
pub mod following;

use slb_common::{
    fragment::{
        BUCKETS_PER_DATAGRAM, DATAGRAM_WORDS, ENTRY_WORDS, Followed, LIFETIME_NS, WAYS, offset,
    },
    hash::{Hash, Seed},
};

use crate::atomic;

/// What tells a fragmented datagram from others (RFC 791, RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source 2, destination 2, identification.
    words: [u64; DATAGRAM_WORDS],
}

impl Datagram {
    /// A datagram between two addresses.
    #[inline(always)]
    pub const fn new(source: [u64; 2], destination: [u64; 2], identification: u64) -> Self {
        let ([a, b], [c, d]) = (source, destination);
        Self { words: [a, b, c, d, identification] }
    }

    /// Where it may stand. Who does not know the secret cannot aim.
    #[inline(always)]
    pub fn hash(&self, seed: &Seed) -> Hash {
        let [a, b, c, d, identification] = self.words;
        let Hash { first, second } = seed.hash(&[a, b, identification]);
        seed.hash(&[c, d, (first as u64) << 32 | second as u64])
    }
}

/// A bucket of the table, in place.
#[derive(Clone, Copy)]
pub struct Bucket {
    words: *mut u64,
}

/// One entry, in place.
#[derive(Clone, Copy)]
struct Entry {
    words: *mut u64,
}

impl Bucket {
    /// A bucket from its first word.
    ///
    /// # Safety
    /// The aligned words of a bucket must lie there and outlive every use, and be accessed by
    /// [`crate::atomic`] alone.
    #[inline(always)]
    pub const unsafe fn new(words: *mut u64) -> Self {
        Self { words }
    }

    #[inline(always)]
    fn entry(self, way: usize) -> Entry {
        // SAFETY: a bucket has WAYS entries, and the way is reduced to them.
        Entry { words: unsafe { self.words.add((way & (WAYS - 1)) * ENTRY_WORDS) } }
    }

    /// What the first fragment of a datagram told; `None`: it is not here.
    #[inline(always)]
    pub fn find(self, datagram: &Datagram, now: u64) -> Option<Followed> {
        let mut way = 0;
        while way < WAYS {
            let entry = self.entry(way);
            let time = entry.word(offset::TIME);
            if lives(time, now) && time & WRITING == 0 && entry.is(datagram) {
                let followed = Followed(entry.word(offset::FOLLOWED));
                // Nobody has written meanwhile.
                if entry.word(offset::TIME) == time {
                    return Some(followed);
                }
            }
            way += 1;
        }
        None
    }

    /// Remembers a datagram in the place that it has, or in a free one if `anew`; false: there is
    /// none.
    #[inline(always)]
    pub fn put(self, datagram: &Datagram, followed: Followed, now: u64, anew: bool) -> bool {
        let mut way = 0;
        while way < WAYS {
            let entry = self.entry(way);
            let time = entry.word(offset::TIME);
            let mine = match anew {
                true => !lives(time, now),
                false => lives(time, now) && time & WRITING == 0 && entry.is(datagram),
            };
            if mine && entry.claim(time, now) {
                entry.fill(datagram, followed);
                entry.publish(now);
                return true;
            }
            way += 1;
        }
        false
    }
}

impl Bucket {
    /// How many places nobody needs.
    #[inline(always)]
    fn free(self, now: u64) -> u32 {
        let (mut free, mut way) = (0, 0);
        while way < WAYS {
            free += u32::from(!lives(self.entry(way).word(offset::TIME), now));
            way += 1;
        }
        free
    }
}

/// Bit of the time of an entry that is being written.
const WRITING: u64 = 1;

/// True for an entry that is not too old; another processor's clock may be ahead.
#[inline(always)]
const fn lives(time: u64, now: u64) -> bool {
    now.wrapping_sub(time & !WRITING) as i64 <= LIFETIME_NS as i64
}

impl Entry {
    #[inline(always)]
    fn word(self, at: usize) -> u64 {
        // SAFETY: the offsets lie in the entry.
        unsafe { atomic::load(self.words.add(at)) }
    }

    #[inline(always)]
    fn is(self, datagram: &Datagram) -> bool {
        let (mut differs, mut word) = (0, 0);
        while word < DATAGRAM_WORDS {
            differs |= self.word(offset::DATAGRAM + word) ^ datagram.words[word];
            word += 1;
        }
        differs == 0
    }

    #[inline(always)]
    fn claim(self, time: u64, now: u64) -> bool {
        // SAFETY: as in `word`.
        unsafe { atomic::compare_and_swap(self.words.add(offset::TIME), time, now | WRITING) }
    }

    #[inline(always)]
    fn fill(self, datagram: &Datagram, followed: Followed) {
        let mut word = 0;
        while word < DATAGRAM_WORDS {
            // SAFETY: as in `word`.
            unsafe {
                atomic::store(self.words.add(offset::DATAGRAM + word), datagram.words[word]);
            }
            word += 1;
        }
        // SAFETY: as in `word`.
        unsafe { atomic::store(self.words.add(offset::FOLLOWED), followed.0) };
    }

    #[inline(always)]
    fn publish(self, now: u64) {
        // SAFETY: as in `word`.
        unsafe { atomic::publish(self.words.add(offset::TIME), now & !WRITING) };
    }
}

/// Finds what the first fragment of a datagram told, in a table of buckets.
#[inline(always)]
pub fn recall(
    bucket: impl Fn(u32) -> Option<Bucket>,
    hash: Hash,
    datagram: &Datagram,
    now: u64,
) -> Option<Followed> {
    let mut number = 0;
    while number < BUCKETS_PER_DATAGRAM {
        if let Some(followed) = bucket(place(hash, number))?.find(datagram, now) {
            return Some(followed);
        }
        number += 1;
    }
    None
}

/// Remembers what the first fragment of a datagram told; false: there is no place.
#[inline(always)]
pub fn remember(
    bucket: impl Fn(u32) -> Option<Bucket>,
    hash: Hash,
    datagram: &Datagram,
    followed: Followed,
    now: u64,
) -> bool {
    let (Some(one), Some(other)) = (bucket(place(hash, 0)), bucket(place(hash, 1))) else {
        return false;
    };
    // First where it stands already: a first fragment that comes twice.
    if one.put(datagram, followed, now, false) || other.put(datagram, followed, now, false) {
        return true;
    }
    let (emptier, fuller) =
        if other.free(now) > one.free(now) { (other, one) } else { (one, other) };
    emptier.put(datagram, followed, now, true) || fuller.put(datagram, followed, now, true)
}

/// The `number`-th bucket of a hash, of 2³².
#[inline(always)]
const fn place(hash: Hash, number: u32) -> u32 {
    if number == 0 { hash.first } else { hash.second }
}

#[cfg(test)]
mod tests;

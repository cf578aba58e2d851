//! A bucket of the table of fragments: what a first fragment told, until it is too old.

use slb_common::fragment::{DATAGRAM_WORDS, ENTRY_WORDS, Followed, LIFETIME_NS, WAYS, offset};

use super::Datagram;
use crate::atomic;

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
    pub fn free(self, now: u64) -> u32 {
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

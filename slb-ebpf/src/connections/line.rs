//! A line of the table, in place: every access to its words.

use slb_common::connection::{
    Control, EXTRA_SHIFT, Seen, Ties, Translation, WAYS, expired, offset,
};

use super::{
    bucket::Bucket,
    store::{Side, Store},
};
use crate::atomic;

/// A line of the table, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<const W: usize> {
    words: *mut u64,
}

/// Ports are compared together with the address; what lies above them is not.
const WITHOUT_EXTRA: u64 = (1 << EXTRA_SHIFT) - 1;

impl<const W: usize> Line<W> {
    /// The `way`-th line of a bucket.
    #[inline(always)]
    pub fn of_bucket(bucket: Bucket<W>, way: u32) -> Self {
        Self { words: bucket.line(way) }
    }

    /// The line with a number: bucket × [`WAYS`] + way.
    #[inline(always)]
    pub fn of_slot<S: Store<W>>(store: S, slot: u32) -> Option<Self> {
        Some(Self::of_bucket(store.bucket(slot / WAYS)?, slot % WAYS))
    }

    /// Its first word, for a function that gets it as an argument.
    #[inline(always)]
    pub const fn words(self) -> *mut u64 {
        self.words
    }

    /// The line at a place.
    ///
    /// # Safety
    /// As of [`Bucket::new`], for one line.
    #[inline(always)]
    pub const unsafe fn new(words: *mut u64) -> Self {
        Self { words }
    }

    /// Control word, read afresh.
    #[inline(always)]
    pub fn control(self) -> Control {
        // SAFETY: a line's words lie in its bucket.
        Control(unsafe { atomic::load(self.words) })
    }

    /// Swaps the control word; true for the one who did.
    #[inline(always)]
    pub fn swap_control(self, old: Control, new: Control) -> bool {
        // SAFETY: as in `control`.
        unsafe { atomic::compare_and_swap(self.words, old.0, new.0) }
    }

    /// Publishes a line that this program has claimed and filled.
    #[inline(always)]
    pub fn publish(self, control: Control) {
        // SAFETY: as in `control`.
        unsafe { atomic::publish(self.words, control.0) };
    }

    /// Last sight and slot, read afresh.
    #[inline(always)]
    pub fn seen(self) -> Seen {
        // SAFETY: the offset lies in the line.
        Seen(unsafe { atomic::load(self.words.add(offset::seen::<W>())) })
    }

    /// Notes that a packet was seen; stores only if the tick is another one, because a line that
    /// two processors write costs both of them 25 ns.
    #[inline(always)]
    pub fn touch(self, seen: Seen, now: u32) {
        if seen.tick() != now {
            // SAFETY: the offset lies in the line.
            unsafe { atomic::store_low_u32(self.words.add(offset::seen::<W>()), now) };
        }
    }

    /// Replaces the next hop to the client.
    #[inline(always)]
    pub fn set_client_hop(self, hop: u16) {
        // SAFETY: the last word of the backend endpoint lies in the line.
        unsafe {
            atomic::store_high_u16(self.words.add(offset::backend::<W>() + W - 1), hop);
        }
    }

    /// Copies an endpoint out.
    #[inline(always)]
    pub fn endpoint(self, at: usize) -> [u64; W] {
        let mut words = [0; W];
        let mut word = 0;
        while word < W {
            // SAFETY: `at` is one of the offsets of an endpoint, which has W words.
            words[word] = unsafe { atomic::load(self.words.add(at + word)) };
            word += 1;
        }
        words
    }

    /// Protocol of the line's connection.
    #[inline(always)]
    pub fn protocol(self) -> u16 {
        // SAFETY: the last word of the client endpoint lies in the line.
        (unsafe { atomic::load(self.words.add(offset::CLIENT + W - 1)) } >> EXTRA_SHIFT) as u16
    }

    /// Writes an endpoint of a line that this program has claimed.
    #[inline(always)]
    pub fn set_endpoint(self, at: usize, endpoint: &[u64; W]) {
        let mut word = 0;
        while word < W {
            // SAFETY: as in `endpoint`.
            unsafe { atomic::store(self.words.add(at + word), endpoint[word]) };
            word += 1;
        }
    }

    /// Writes last sight and slot, ties and translation of a line that this program has claimed.
    #[inline(always)]
    pub fn set_rest(self, seen: Seen, ties: Ties, translation: Translation) {
        // SAFETY: the three words from this offset lie before the bucket word.
        unsafe {
            let at = self.words.add(offset::seen::<W>());
            atomic::store(at, seen.0);
            atomic::store(at.add(1), ties.0);
            atomic::store(at.add(2), translation.0);
        }
    }

    /// What the entry is tied to, read afresh.
    #[inline(always)]
    pub fn ties(self) -> Ties {
        // SAFETY: the offset lies in the line.
        Ties(unsafe { atomic::load(self.words.add(offset::ties::<W>())) })
    }

    /// How its packets are rewritten, read afresh.
    #[inline(always)]
    pub fn translation(self) -> Translation {
        // SAFETY: the offset lies in the line.
        Translation(unsafe { atomic::load(self.words.add(offset::translation::<W>())) })
    }

    /// Swaps the translation; true for the one who did.
    #[inline(always)]
    pub fn swap_translation(self, old: Translation, new: Translation) -> bool {
        // SAFETY: the offset lies in the line.
        unsafe {
            let place = self.words.add(offset::translation::<W>());
            atomic::compare_and_swap(place, old.0, new.0)
        }
    }

    /// True if the line's client is this one, protocol included.
    #[inline(always)]
    pub fn client_is(self, client: &[u64; W]) -> bool {
        let (words, mut bits, mut word) = (self.endpoint(offset::CLIENT), 0, 0);
        while word < W {
            bits |= words[word] ^ client[word];
            word += 1;
        }
        // All words over each other: one branch, and no call of `memcmp`.
        bits == 0
    }

    /// True if the line's endpoint on `side` is this one.
    #[inline(always)]
    pub fn server_is(self, side: Side, server: &[u64; W]) -> bool {
        let at = if side == Side::Vip { offset::vip::<W>() } else { offset::backend::<W>() };
        let (words, mut bits, mut word) = (self.endpoint(at), 0, 0);
        while word < W - 1 {
            bits |= words[word] ^ server[word];
            word += 1;
        }
        bits | (words[W - 1] ^ server[W - 1]) & WITHOUT_EXTRA == 0
    }

    /// True if the entry must be taken for absent: its service is gone or its time is over.
    #[inline(always)]
    pub fn expired<S: Store<W>>(self, store: S, control: Control, now: u32) -> bool {
        let vip_last = offset::vip::<W>() + W - 1;
        // SAFETY: the offset lies in the line.
        let service = (unsafe { atomic::load(self.words.add(vip_last)) } >> EXTRA_SHIFT) as u16;
        match store.timeout(service, control.state()) {
            Some(timeout) => expired(self.seen(), now, timeout),
            None => true,
        }
    }
}

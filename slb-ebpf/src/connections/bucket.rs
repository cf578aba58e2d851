//! Four lines of the table, and the word that guards inserts among them.

use slb_common::connection::{BucketWord, WAYS, line_words, offset};

use crate::atomic;

/// A bucket, in place.
#[derive(Clone, Copy)]
pub struct Bucket<const W: usize> {
    words: *mut u64,
}

impl<const W: usize> Bucket<W> {
    /// A bucket from its first word.
    ///
    /// # Safety
    /// [`line_words`] × [`WAYS`] aligned words must lie there and outlive every use, and be
    /// accessed by [`crate::atomic`] alone.
    #[inline(always)]
    pub const unsafe fn new(words: *mut u64) -> Self {
        Self { words }
    }

    /// First word of a line.
    #[inline(always)]
    pub(super) fn line(self, way: u32) -> *mut u64 {
        // SAFETY: a bucket has WAYS lines, and the way is reduced to them.
        unsafe { self.words.add((way & (WAYS - 1)) as usize * line_words::<W>()) }
    }
}

/// The word of a bucket that guards its inserts.
#[derive(Clone, Copy)]
pub struct Guard<const W: usize> {
    word: *mut u64,
}

impl<const W: usize> Guard<W> {
    /// The guard of a bucket.
    #[inline(always)]
    pub fn of_bucket(bucket: Bucket<W>) -> Self {
        // SAFETY: the offset lies in the bucket's first line.
        Self { word: unsafe { bucket.words.add(offset::bucket_word::<W>()) } }
    }

    /// Reads it.
    #[inline(always)]
    pub fn read(self) -> BucketWord {
        // SAFETY: see `of_bucket`.
        BucketWord(unsafe { atomic::load(self.word) })
    }

    /// Swaps it; true for the one who did.
    #[inline(always)]
    pub fn swap(self, old: BucketWord, new: BucketWord) -> bool {
        // SAFETY: see `of_bucket`.
        unsafe { atomic::compare_and_swap(self.word, old.0, new.0) }
    }

    /// Writes it, by the holder of the lock.
    #[inline(always)]
    pub fn publish(self, word: BucketWord) {
        // SAFETY: see `of_bucket`.
        unsafe { atomic::publish(self.word, word.0) };
    }
}

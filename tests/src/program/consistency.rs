//! What must be true of the tables whatever packets came.

use std::sync::atomic::Ordering;

use slb_common::connection::{
    BUCKET_WORDS_V4, BUCKET_WORDS_V6, Class, Control, line_words, offset, state,
};
use slb_userspace::{bpf::mapping::Access, config::model::Family};

use super::{balancer::Balancer, loaded::BACKENDS};

impl Balancer {
    /// The gauges equal a recount of the tables, nobody holds a bucket and no line is half made.
    pub fn assert_consistent(&self) {
        let mut expected = vec![(0, 0); BACKENDS as usize];
        for entry in self.entries() {
            let (active, inactive) = &mut expected[entry.seen.slot() as usize];
            match entry.control.class() {
                Class::Active => *active += 1,
                Class::Opening | Class::Closing => *inactive += 1,
                Class::None => unreachable!("a live line has a class"),
            }
        }
        let gauges: Vec<_> = (0..BACKENDS).map(|slot| self.gauges(slot)).collect();
        assert_eq!(gauges, expected);
        for family in [Family::V4, Family::V6] {
            for bucket in 0..self.kernel.table.buckets(family) {
                let word = self.kernel.table.bucket_word(family, bucket);
                assert!(!word.locked(), "bucket {bucket} stays locked");
            }
        }
        self.assert_no_claim::<BUCKET_WORDS_V4>("CONNECTIONS4", line_words::<1>());
        self.assert_no_claim::<BUCKET_WORDS_V6>("CONNECTIONS6", line_words::<3>());
    }

    fn assert_no_claim<const WORDS: usize>(&self, map: &'static str, line: usize) {
        let table = self.object.mapping::<[u64; WORDS]>(map, Access::Read).unwrap();
        for bucket in 0..table.len() {
            for words in table.words(bucket).chunks(line) {
                let word = words[offset::CONTROL].load(Ordering::Acquire);
                assert_ne!(Control(word).state(), state::CLAIMED, "in bucket {bucket}");
            }
        }
    }
}

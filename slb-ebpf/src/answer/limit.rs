//! How many answers a processor sends in a second: a token bucket each for ICMP errors and for
//! RSTs, of a tenth of a second's worth.

use slb_common::{
    Answer,
    admission::Bucket,
    answer::{BURST_PARTS, ICMP_RATE, RESET_RATE},
};

use crate::maps::{self, ANSWER_BUCKETS};

const SECOND_NS: u64 = 1_000_000_000;

/// Takes a token for an answer; false: none is left.
#[inline(always)]
pub(super) fn allows(answer: Answer) -> bool {
    let (bucket, rate) = match answer {
        Answer::Reset => (0, RESET_RATE),
        _ => (1, ICMP_RATE),
    };
    let Some(word) = ANSWER_BUCKETS.get_ptr_mut(bucket) else { return false };
    // SAFETY: the map gave the pointer to this processor's own copy.
    let word = unsafe { &mut *word };
    let (cost, burst) = (SECOND_NS / u64::from(rate), SECOND_NS / BURST_PARTS as u64);
    let Some(after) = Bucket(*word).take(maps::now_ns(), cost, burst - 1) else { return false };
    *word = after.0;
    true
}

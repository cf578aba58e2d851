//! How many answers a processor sends in a second: a token bucket each for ICMP errors and for
//! RSTs, of a tenth of a second's worth.

use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use slb_common::{
    Answer,
    answer::{BURST_PARTS, ICMP_RATE, RESET_RATE},
};

use crate::maps::ANSWER_BUCKETS;

const SECOND_NS: u64 = 1_000_000_000;

/// Takes a token for an answer; false: none is left.
#[inline(always)]
pub(super) fn allows(answer: Answer) -> bool {
    let (bucket, rate) = match answer {
        Answer::Reset => (0, RESET_RATE),
        _ => (1, ICMP_RATE),
    };
    let Some(full_again) = ANSWER_BUCKETS.get_ptr_mut(bucket) else { return false };
    // SAFETY: the helper takes nothing and returns a number.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    // SAFETY: the map gave the pointer to this processor's own copy.
    let full_again = unsafe { &mut *full_again };
    let from = if *full_again > now { *full_again } else { now };
    let allowed = from - now < SECOND_NS / BURST_PARTS as u64;
    if allowed {
        *full_again = from + SECOND_NS / u64::from(rate);
    }
    allowed
}

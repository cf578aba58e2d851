//! Who is let in, and how much: access lists, limits of new connections, bandwidth, blackholed
//! VIPs. A limit is reserved before the connection's entry is made and given back once a gauge
//! counts the entry, so that processors together never pass it.

pub mod acl;
pub mod backends;
pub mod bandwidth;
pub mod blackhole;
pub mod clients;
pub mod limits;
pub mod reserve;

use slb_common::{Verdict, admission::Reason};

use crate::{maps::COUNT_REFUSED, packet::unknown};

/// Counts what a service refuses, or would refuse if its limits were more than a shadow.
#[inline(always)]
pub fn count(service: u16, reason: Reason, shadow: bool) {
    let Some(counters) = COUNT_REFUSED.get_ptr_mut(u32::from(service)) else { return };
    // The compiler knows that it is below the length; the verifier wants to see it.
    let number = unknown(reason as u64) as usize;
    if number >= Reason::COUNT {
        return;
    }
    // SAFETY: the map gave the pointer to this processor's own copy; the index is below the length.
    unsafe {
        let words = match shadow {
            true => (&raw mut (*counters).shadow).cast::<u64>(),
            false => (&raw mut (*counters).refused).cast::<u64>(),
        };
        *words.add(number) += 1;
    }
}

/// The end of a packet's story that a service refuses, counted.
#[inline(always)]
pub fn refuse(service: u16, reason: Reason) -> Verdict {
    count(service, reason, false);
    reason.verdict()
}

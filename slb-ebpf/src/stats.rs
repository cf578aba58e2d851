//! Counters: one per verdict, and packets and bytes per service and backend. Per CPU, so that
//! counting costs no atomic operation; the daemon adds them up.

use aya_ebpf::btf_maps::PerCpuArray;
use slb_common::{Answer, Verdict, service::Counters};

use crate::{
    connections::store::Side,
    maps::{COUNT_ANSWERS, COUNT_BACKENDS, COUNT_NO_TEMPLATE, COUNT_SERVICES, COUNT_VERDICTS},
};

/// Counts the end of a packet's story.
#[inline(always)]
pub fn verdict(verdict: Verdict) {
    if let Some(count) = COUNT_VERDICTS.get_ptr_mut(verdict.index()) {
        // SAFETY: the map gave the pointer to this processor's own copy.
        unsafe { *count += 1 };
    }
}

/// Counts an answer to a refused packet.
#[inline(always)]
pub fn answer(answer: Answer) {
    if let Some(count) = COUNT_ANSWERS.get_ptr_mut(answer.index()) {
        // SAFETY: the map gave the pointer to this processor's own copy.
        unsafe { *count += 1 };
    }
}

/// Counts a packet of a connection; `bytes` from its network header on.
#[inline(always)]
pub fn packet(side: Side, service: u16, slot: u32, bytes: u64) {
    traffic(&COUNT_SERVICES, u32::from(service), side, bytes);
    traffic(&COUNT_BACKENDS, slot, side, bytes);
}

#[inline(always)]
fn traffic<const N: usize>(
    counters: &PerCpuArray<Counters, N>,
    index: u32,
    side: Side,
    bytes: u64,
) {
    let Some(counters) = counters.get_ptr_mut(index) else { return };
    // SAFETY: the map gave the pointer to this processor's own copy.
    let counters = unsafe { &mut *counters };
    match side {
        Side::Vip => {
            counters.packets_in += 1;
            counters.bytes_in += bytes;
        }
        Side::Backend => {
            counters.packets_out += 1;
            counters.bytes_out += bytes;
        }
    }
}

/// Counts a connection that has been opened.
#[inline(always)]
pub fn connection(service: u16, slot: u32) {
    for counters in
        [COUNT_SERVICES.get_ptr_mut(u32::from(service)), COUNT_BACKENDS.get_ptr_mut(slot)]
            .into_iter()
            .flatten()
    {
        // SAFETY: the map gave the pointer to this processor's own copy.
        unsafe { (*counters).connections += 1 };
    }
}

/// Counts a connection that found no room for a template.
#[inline(always)]
pub fn no_template<const W: usize>() {
    if let Some(count) = COUNT_NO_TEMPLATE.get_ptr_mut(u32::from(W != 1)) {
        // SAFETY: the map gave the pointer to this processor's own copy.
        unsafe { *count += 1 };
    }
}

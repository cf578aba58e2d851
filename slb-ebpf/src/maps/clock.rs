//! The time, as packets look at it.

use aya_ebpf::{
    btf_maps::PerCpuArray,
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns},
    macros::btf_map,
};
use slb_common::{admission::UNIT_SHIFT, connection::TICK_SHIFT};

/// The count of timer interrupts and the coarse clock then: [`now_ns`].
#[btf_map]
static CLOCK: PerCpuArray<[u64; 2], 1> = PerCpuArray::new();

/// Ticks of the monotonic clock.
#[inline(always)]
pub fn tick() -> u32 {
    (now_ns() >> TICK_SHIFT) as u32
}

/// Nanoseconds of the same clock, as of the kernel's last or last but one timer interrupt.
///
/// The coarse clock moves with the kernel's count of timer interrupts. That count is one load, as
/// the kernel replaces the helper's call by it; the clock itself is a real call, so a processor
/// looks at it once for each interrupt.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper takes nothing and returns a number.
    let jiffies = unsafe { bpf_jiffies64() };
    let clock = CLOCK.get_ptr_mut(0);
    if let Some(clock) = clock {
        // SAFETY: the map gave the pointer to this processor's own copy.
        let [seen, then] = unsafe { *clock };
        if seen == jiffies {
            return then;
        }
    }
    // SAFETY: as above.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    if let Some(clock) = clock {
        // SAFETY: as above.
        unsafe { *clock = [jiffies, now] };
    }
    now
}

/// The time as buckets count it.
#[inline(always)]
pub fn units() -> u64 {
    now_ns() << UNIT_SHIFT
}

//! VIPs that too much comes for: while the settings say so, packets are counted by VIP, and what
//! is to a blackholed one is dropped whatever it is.

use slb_common::{
    Verdict,
    vip::{SETTING_METER_VIPS, VIP_BLACKHOLED},
};

use crate::{
    maps::{self, COUNT_VIPS, SETTINGS, VIP_STATES, VIPS},
    packet::Step,
};

/// Counts a packet that may be to a VIP, and drops it if that is blackholed; `bytes` from its
/// network header on.
#[inline(always)]
pub fn watch(destination: [u64; 2], bytes: u64) -> Step<()> {
    let Some(settings) = SETTINGS.get_ptr(0) else { return Ok(()) };
    // SAFETY: the map gave the pointer.
    if unsafe { (*settings).flags } & SETTING_METER_VIPS == 0 {
        return Ok(());
    }
    let [first, second] = destination;
    if blackholed(first, second, bytes) != 0 { Err(Verdict::DropBlackholed) } else { Ok(()) }
}

/// On a stack frame of its own.
#[inline(never)]
fn blackholed(first: u64, second: u64, bytes: u64) -> u32 {
    // SAFETY: the value is a number that the daemon replaces whole.
    let Some(place) = (unsafe { VIPS.get(&[first, second]) }) else { return 0 };
    let place = *place;
    if let Some(counters) = COUNT_VIPS.get_ptr_mut(place) {
        // SAFETY: the map gave the pointer to this processor's own copy.
        unsafe {
            (*counters).packets += 1;
            (*counters).bytes += bytes;
        }
    }
    let Some(state) = VIP_STATES.get_ptr(place) else { return 0 };
    // SAFETY: the map gave the pointer.
    let (flags, until) = unsafe { ((*state).flags, (*state).blackholed_until) };
    u32::from(flags & VIP_BLACKHOLED != 0 && maps::now_ns() < until)
}

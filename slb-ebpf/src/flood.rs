//! Whether a VIP is flooded: by its half-open connections of this second, with hysteresis.

use slb_common::{connection::ticks, cookie::Window, vip::VipState};

use crate::atomic;

/// Ticks of the second: a little longer, which [`bound`] makes up for.
const SECOND: u32 = ticks(1);
/// Ticks that the defence stays on below half of the threshold.
const HOLD: u64 = ticks(30) as u64;

/// How many half-open connections a second of ticks may have.
#[inline(always)]
const fn bound(threshold: u32, on: bool) -> u32 {
    let bound = if on { threshold / 2 } else { threshold };
    bound.saturating_add(bound / 14)
}

const _: () = assert!(SECOND == 4, "four ticks are a fourteenth longer than a second");

/// Counts a connection that is about to be opened; true if it had better be proven first.
///
/// # Safety
/// `state` must lead to a VIP's state.
#[inline(always)]
pub unsafe fn opens(state: *mut VipState, now: u32, threshold: u32) -> bool {
    // SAFETY: the caller vouches for the pointer; both are aligned words in it.
    let (place, until) = unsafe { (&raw mut (*state).syn_window, &raw mut (*state).cookies_until) };
    // SAFETY: as above.
    let (window, end) = unsafe { (Window(atomic::load(place)), atomic::load(until)) };
    let (now, on) = (u64::from(now), end > u64::from(now));
    let half_open = if window.over(now as u32, SECOND) {
        // Whoever is quicker begins the second; a connection that it does not count is one of many.
        // SAFETY: as above.
        unsafe { atomic::compare_and_swap(place, window.0, Window::begun(now as u32).0) };
        1
    } else {
        // SAFETY: as above.
        Window(unsafe { atomic::fetch_add(place, 1) }).half_open() + 1
    };
    if half_open <= bound(threshold, on) {
        return on;
    }
    if end != now + HOLD {
        // SAFETY: as above.
        unsafe { atomic::store(until, now + HOLD) };
    }
    true
}

/// True if the defence is on, or was until not long ago.
///
/// # Safety
/// As of [`opens`].
#[inline(always)]
pub unsafe fn was_on(state: *const VipState, now: u32, grace: u64) -> bool {
    // SAFETY: the caller vouches for the pointer.
    let until = unsafe { atomic::load(&raw const (*state).cookies_until) };
    until != 0 && until + grace > u64::from(now)
}

/// Notes that a handshake is complete: the connection is half open no more. Of one that was opened
/// in the second before, this takes one off the wrong second.
///
/// # Safety
/// As of [`opens`].
#[inline(always)]
pub unsafe fn completes(state: *mut VipState) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { atomic::fetch_add(&raw mut (*state).syn_window, u64::MAX) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half-open connections of one second, from `now` on; how many of them had to be proven.
    fn second(state: &mut VipState, now: u32, connections: u32) -> u32 {
        // SAFETY: it is a reference.
        (0..connections).map(|_| u32::from(unsafe { opens(state, now, 100) })).sum()
    }

    /// The threshold in ticks.
    const MOST: u32 = 100 + 100 / 14;

    #[test]
    fn it_begins_above_the_threshold_of_one_second() {
        let mut state = VipState::default();
        assert_eq!(second(&mut state, 100, MOST), 0);
        assert_eq!(second(&mut state, 103, 1), 1, "still the same second");
        let mut state = VipState::default();
        assert_eq!(second(&mut state, 100, MOST), 0);
        assert_eq!(second(&mut state, 104, MOST), 0, "another second");
    }

    #[test]
    fn it_ends_after_half_a_minute_below_half_of_the_threshold_and_not_before() {
        let mut state = VipState::default();
        second(&mut state, 100, MOST + 1);
        let hold = HOLD as u32;
        // More than half of it: on and on.
        for turn in 1..10 {
            assert_eq!(second(&mut state, 100 + turn * 50, 60), 60, "{turn}");
        }
        let last = 100 + 9 * 50;
        assert_eq!(second(&mut state, last + hold - 1, 20), 20, "less, but not for long enough");
        assert_eq!(second(&mut state, last + hold, 20), 0);
        // SAFETY: it is a reference.
        let was_on = |now| unsafe { was_on(&raw const state, now, 8) };
        assert!(was_on(last + hold + 7) && !was_on(last + hold + 8));
    }

    #[test]
    fn what_is_completed_is_no_flood() {
        let mut state = VipState::default();
        for _ in 0..10 * MOST {
            // SAFETY: it is a reference.
            unsafe {
                assert!(!opens(&raw mut state, 100, 100));
                completes(&raw mut state);
            }
        }
        // SAFETY: as above.
        unsafe { (0..1000).for_each(|_| completes(&raw mut state)) };
        assert_eq!(Window(state.syn_window).half_open(), 0, "late ones count for nothing");
    }

    #[test]
    fn who_was_never_flooded_takes_no_answers_to_cookies() {
        // SAFETY: it is a reference.
        assert!(!unsafe { was_on(&VipState::default(), 3, 512) });
    }
}

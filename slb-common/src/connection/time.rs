//! Ticks, and when an entry's time is over.

use super::control::{Seen, state};
use crate::service::Timeouts;

/// Nanoseconds of a tick, as a shift: 2²⁸ ns, about 268 ms.
pub const TICK_SHIFT: u32 = 28;

/// Ticks that cover `seconds`: never less than asked.
pub const fn ticks(seconds: u64) -> u32 {
    ((seconds * 1_000_000_000 + (1 << TICK_SHIFT) - 1) >> TICK_SHIFT) as u32
}

/// How long an entry stays after a RST: time for what is still on the way.
pub const CLOSED_TIMEOUT: u32 = ticks(10);

impl Timeouts {
    /// Idle times in ticks: established (TCP, and UDP), handshake, one FIN seen, both seen.
    pub const fn new(established: u32, syn: u32, fin: u32, time_wait: u32) -> Self {
        let mut by_state = [established; 16];
        by_state[state::SYN as usize] = syn;
        by_state[state::FIN as usize] = fin;
        by_state[state::TIME_WAIT as usize] = time_wait;
        by_state[state::CLOSED as usize] = CLOSED_TIMEOUT;
        Self { by_state }
    }

    /// Ticks without a packet after which an entry in this state is gone.
    #[inline(always)]
    pub const fn of(&self, state: u8) -> u32 {
        self.by_state[(state & 0xf) as usize]
    }
}

/// True if nothing has been seen for longer than `timeout`. Ticks wrap after 36 years.
#[inline(always)]
pub const fn expired(seen: Seen, now: u32, timeout: u32) -> bool {
    let idle = now.wrapping_sub(seen.tick());
    // A packet on another processor may carry a tick that is ahead of `now`: not idle at all.
    idle > timeout && idle < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_cover_less_than_the_seconds_asked_for() {
        for seconds in [1, 2, 30, 60, 90, 900, 3600] {
            let nanoseconds = u64::from(ticks(seconds)) << TICK_SHIFT;
            assert!(nanoseconds >= seconds * 1_000_000_000);
            assert!(nanoseconds < seconds * 1_000_000_000 + (1 << TICK_SHIFT));
        }
    }

    #[test]
    fn an_entry_seen_in_a_later_tick_than_now_is_not_expired() {
        assert!(!expired(Seen::new(100, 0, 0), 99, 1));
        assert!(!expired(Seen::new(100, 0, 0), 101, 1));
        assert!(expired(Seen::new(100, 0, 0), 102, 1));
        assert!(expired(Seen::new(u32::MAX, 0, 0), 5, 3));
    }
}

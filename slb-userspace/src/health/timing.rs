//! When a check starts, and how long an outage can stay unseen. Pure: the clock is an argument.
//!
//! A check starts one interval after the start of the one before, never before that one has
//! ended. Targets are spread over the interval by a hash of their key, so that they are never
//! checked in step; each keeps its place, also after the host has stood still for a while.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use tokio::time::Instant;

use crate::config::model::HealthCheck;

/// The smallest interval that is taken at its word; it keeps a faulty 0 from spinning.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// The starts of one target's checks.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    interval: Duration,
    due: Instant,
}

impl Schedule {
    /// The first check of a target: within one interval from `now`, at a place of its own.
    pub fn first(target: &impl Hash, interval: Duration, now: Instant) -> Self {
        let interval = interval.max(SHORTEST_INTERVAL);
        Self { interval, due: now + place(target, interval) }
    }

    /// When the next check is to start.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Sets the start of the next check, once one that took `took` has ended at `now`.
    ///
    /// It is reckoned from when the check should have started: a late start must not move the
    /// target, or one stall of the host would put all of them in step for good.
    pub fn ended(&mut self, took: Duration, now: Instant) {
        self.due += took.max(self.interval);
        let late = now.saturating_duration_since(self.due);
        if late >= self.interval {
            // The host stood still: the starts that were missed are not made up for.
            let missed = late.as_nanos() / self.interval.as_nanos() + 1;
            self.due += self.interval.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
        }
    }
}

/// A target's own place within the interval; the same in every run of the daemon.
fn place(target: &impl Hash, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    interval.mul_f64(f64::from(u32::from_le_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0))
}

/// How a backend fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Nothing comes back (host down, firewall): every check runs into its timeout.
    Silent,
    /// It refuses at once (service down, host up).
    Refusing,
}

/// The longest time from the start of the first check that meets an outage to the moment the
/// backend is unhealthy.
///
/// The outage itself begins at most one interval (or, where a timeout is longer, one check)
/// before that start.
pub fn worst_case_detection(check: &HealthCheck, outage: Outage) -> Duration {
    let between = check.unhealthy.saturating_sub(1);
    match outage {
        Outage::Silent => check.interval.max(check.timeout) * between + check.timeout,
        Outage::Refusing => check.interval * between,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::model::CheckKind;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn first_checks_are_spread_evenly_over_one_interval() {
        let now = Instant::now();
        let mut tenths = [0_u32; 10];
        for target in 0..10_000_u32 {
            let start = Schedule::first(&target, seconds(10), now).due();
            let second = (start - now).as_secs();
            tenths[usize::try_from(second).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|n| (850..1150).contains(n)), "{tenths:?}");
    }

    #[test]
    fn a_target_has_the_same_place_in_every_run() {
        let now = Instant::now();
        let starts = [(); 2].map(|()| Schedule::first(&"shop", seconds(2), now).due());
        assert_eq!(starts[0], starts[1]);
    }

    #[test]
    fn the_documented_defaults_take_15_s_when_silent_and_4_s_when_refusing() {
        let check = HealthCheck {
            kind: CheckKind::Tcp,
            interval: seconds(2),
            timeout: seconds(5),
            healthy: 3,
            unhealthy: 3,
            port: None,
        };
        assert_eq!(worst_case_detection(&check, Outage::Silent), seconds(15));
        assert_eq!(worst_case_detection(&check, Outage::Refusing), seconds(4));

        let patient = HealthCheck { interval: seconds(10), ..check };
        assert_eq!(worst_case_detection(&patient, Outage::Silent), seconds(25));
    }

    #[test]
    fn a_stall_of_the_host_leaves_every_target_in_its_place() {
        let now = Instant::now();
        for target in 0..100_u32 {
            let mut schedule = Schedule::first(&target, seconds(2), now);
            let place = schedule.due() - now;
            // Whatever was due starts when the host runs again, 61 s later, and is quick.
            schedule.ended(Duration::from_millis(3), now + seconds(61));
            let next = schedule.due() - now;
            assert!(next > seconds(61) && next <= seconds(63), "{next:?}");
            assert_eq!((next - place).as_nanos() % seconds(2).as_nanos(), 0);
        }
    }

    proptest! {
        #[test]
        fn punctual_starts_are_one_interval_apart_or_one_long_check(
            interval_ms in 1_u64..50_000,
            took_ms in prop::collection::vec(0_u64..300_000, 1..20),
        ) {
            let interval = Duration::from_millis(interval_ms);
            let mut schedule = Schedule::first(&"t", interval, Instant::now());
            for took in took_ms.into_iter().map(Duration::from_millis) {
                let start = schedule.due();
                schedule.ended(took, start + took);
                let until_next = schedule.due() - start;
                prop_assert!(until_next >= took, "started before the one before had ended");
                prop_assert!(until_next == interval || until_next == took);
                prop_assert!(until_next >= interval);
            }
        }

        #[test]
        fn late_starts_neither_pile_up_nor_wait_longer_than_one_interval(
            interval_ms in 1_u64..50_000,
            checks in prop::collection::vec((0_u64..1_000, 0_u64..200_000), 1..20),
        ) {
            let interval = Duration::from_millis(interval_ms);
            let mut schedule = Schedule::first(&"t", interval, Instant::now());
            for (took_ms, late_ms) in checks {
                let took = Duration::from_millis(took_ms);
                let ended = schedule.due() + Duration::from_millis(late_ms) + took;
                schedule.ended(took, ended);
                prop_assert!(schedule.due() + interval > ended, "more than one start is missed");
                prop_assert!(schedule.due() <= ended + interval);
            }
        }
    }
}

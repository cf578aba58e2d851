//! The life of one target: wait, check, tell, for ever.

use tokio::time::{Instant, sleep_until};

use super::{state::Outcome, timing::Schedule};

/// Checks at the times of `schedule` and tells every outcome, until it is dropped.
pub(super) async fn watch<Checked, Told>(
    mut schedule: Schedule,
    check: impl Fn() -> Checked,
    tell: impl Fn(Outcome) -> Told,
) where
    Checked: Future<Output = Outcome>,
    Told: Future<Output = ()>,
{
    loop {
        sleep_until(schedule.due()).await;
        let outcome = check().await;
        let took = outcome.took;
        tell(outcome).await;
        schedule.ended(took, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        future::ready,
        time::{Duration, SystemTime},
    };

    use tokio::{
        sync::oneshot,
        time::{sleep, timeout},
    };

    use super::*;
    use crate::{
        config::model::{CheckKind, HealthCheck},
        health::{
            state::{BackendHealth, CheckResult, Health, Thresholds},
            timing::{Outage, worst_case_detection},
        },
    };

    /// The kernel's timers are kept to the millisecond.
    const TICK: Duration = Duration::from_millis(2);

    fn check(interval_s: u64, timeout_s: u64, unhealthy: u32) -> HealthCheck {
        HealthCheck {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(interval_s),
            timeout: Duration::from_secs(timeout_s),
            healthy: 2,
            unhealthy,
            port: None,
        }
    }

    /// What an outage looks like from the first check that meets it, on a paused clock.
    struct Detection {
        first_failing_check: Duration,
        decided: Duration,
    }

    /// Watches a backend that answers at once until `good_for` and then fails as `outage` says;
    /// all times are counted from that moment.
    async fn detect(check: &HealthCheck, outage: Outage, good_for: Duration) -> Detection {
        let broken = Instant::now() + good_for;
        let backend =
            RefCell::new(BackendHealth::new(Thresholds::from(check), SystemTime::UNIX_EPOCH));
        let first_failing = RefCell::new(None);
        let (decided, decision) = oneshot::channel();
        let decided = RefCell::new(Some(decided));

        let probe = async || {
            let start = Instant::now();
            let result = if start < broken {
                CheckResult::Success
            } else {
                first_failing.borrow_mut().get_or_insert(start - broken);
                if outage == Outage::Silent {
                    sleep(check.timeout).await;
                }
                CheckResult::Failure
            };
            Outcome {
                result,
                reason: String::new(),
                took: start.elapsed(),
                at: SystemTime::UNIX_EPOCH,
            }
        };
        let tell = |outcome| {
            let transition = backend.borrow_mut().observe(outcome);
            if transition.is_some_and(|transition| transition.to == Health::Unhealthy) {
                let decided = decided.borrow_mut().take().unwrap();
                decided.send(Instant::now() - broken).unwrap();
            }
            ready(())
        };
        let schedule = Schedule::first(&good_for, check.interval, Instant::now());
        let decided = tokio::select! {
            () = watch(schedule, probe, tell) => unreachable!(),
            decided = decision => decided.unwrap(),
        };
        Detection { first_failing_check: first_failing.take().unwrap(), decided }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_seen_within_the_documented_time() {
        for (interval_s, timeout_s, unhealthy) in
            [(2, 5, 3), (5, 2, 3), (1, 300, 2), (50, 1, 10), (3, 3, 4), (1, 1, 2)]
        {
            let check = check(interval_s, timeout_s, unhealthy);
            for outage in [Outage::Silent, Outage::Refusing] {
                let formula = worst_case_detection(&check, outage);
                for good_for_ms in [120_000, 120_333, 121_750] {
                    let seen = detect(&check, outage, Duration::from_millis(good_for_ms)).await;
                    let took = seen.decided - seen.first_failing_check;
                    // The worst case is reached, not only kept below.
                    assert!(
                        took <= formula + TICK * unhealthy && took + TICK >= formula,
                        "{outage:?} {check:?}: {took:?}, the formula says {formula:?}"
                    );
                    assert!(seen.first_failing_check <= check.interval + TICK);
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_never_starts_before_the_one_before_has_ended() {
        let running = RefCell::new(0);
        let starts = RefCell::new(Vec::new());
        let probe = async || {
            let start = Instant::now();
            assert_eq!(running.replace(1), 0);
            starts.borrow_mut().push(start);
            sleep(Duration::from_secs(5)).await;
            running.replace(0);
            Outcome {
                result: CheckResult::Failure,
                reason: String::new(),
                took: start.elapsed(),
                at: SystemTime::UNIX_EPOCH,
            }
        };
        let schedule = Schedule::first(&"t", Duration::from_secs(2), Instant::now());
        let watching = watch(schedule, probe, |_| ready(()));
        timeout(Duration::from_secs(60), watching).await.unwrap_err();
        let starts = starts.into_inner();
        assert!((11..=12).contains(&starts.len()), "{}", starts.len());
        for pair in starts.windows(2) {
            let apart = pair[1] - pair[0];
            assert!(apart >= Duration::from_secs(5) && apart <= Duration::from_secs(5) + TICK);
        }
    }
}

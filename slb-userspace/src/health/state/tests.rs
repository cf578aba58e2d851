//! The thresholds, read from cases and from the rule itself.

use proptest::prelude::*;

use super::*;

const T0: SystemTime = SystemTime::UNIX_EPOCH;
const THREE: Thresholds = Thresholds { healthy: 3, unhealthy: 3 };

fn outcome(result: CheckResult, second: u64) -> Outcome {
    Outcome {
        result,
        reason: format!("reason {second}"),
        took: Duration::from_millis(1),
        at: T0 + Duration::from_secs(second),
    }
}

/// Health after each result of the row, one a second.
fn healths(mut backend: BackendHealth, row: &[CheckResult]) -> Vec<Health> {
    let observe = |(second, result): (u64, &CheckResult)| {
        backend.observe(outcome(*result, second));
        backend.observed().health
    };
    (1..).zip(row).map(observe).collect()
}

#[test]
fn the_first_result_decides_alone() {
    for (result, health) in
        [(CheckResult::Success, Health::Healthy), (CheckResult::Failure, Health::Unhealthy)]
    {
        let mut backend = BackendHealth::new(THREE, T0);
        assert_eq!(backend.observed().health, Health::Checking);
        let transition = backend.observe(outcome(result, 1));
        assert_eq!(transition, Some(Transition { from: Health::Checking, to: health }));
    }
}

#[test]
fn a_success_between_failures_starts_the_row_anew() {
    use CheckResult::{Failure as F, Success as S};
    use Health::{Healthy as H, Unhealthy as U};
    let row = [S, F, F, S, F, F, F, S, S, F, S, S, S];
    let want = [H, H, H, H, H, H, U, U, U, U, U, U, H];
    assert_eq!(healths(BackendHealth::new(THREE, T0), &row), want);
}

#[test]
fn the_last_known_health_holds_after_a_restart_until_a_threshold_says_otherwise() {
    use CheckResult::{Failure as F, Success as S};
    use Health::{Healthy as H, Unhealthy as U};
    assert_eq!(healths(BackendHealth::resumed(H, THREE, T0), &[F, F, F]), [H, H, U]);
    assert_eq!(healths(BackendHealth::resumed(U, THREE, T0), &[S, S, S]), [U, U, H]);
    for nothing_known in [Health::Checking, Health::Unchecked] {
        let resumed = BackendHealth::resumed(nothing_known, THREE, T0);
        assert_eq!(resumed.observed().health, Health::Checking);
        assert_eq!(healths(resumed, &[F]), [U]);
    }
}

#[test]
fn an_exhausted_balancer_takes_no_backend_out() {
    use CheckResult::{Failure as F, Inconclusive as I};
    use Health::{Checking as C, Healthy as H, Unhealthy as U};
    assert_eq!(healths(BackendHealth::resumed(H, THREE, T0), &[I; 5]), [H; 5]);
    assert_eq!(healths(BackendHealth::resumed(H, THREE, T0), &[F, I, F, I, F]), [H, H, H, H, U]);
    assert_eq!(healths(BackendHealth::new(THREE, T0), &[I, I, F]), [C, C, U]);
}

#[test]
fn another_check_keeps_the_health_and_starts_the_row_anew() {
    let mut backend = BackendHealth::resumed(Health::Healthy, THREE, T0);
    backend.observe(outcome(CheckResult::Failure, 1));
    backend.recheck_by(Thresholds { healthy: 2, unhealthy: 2 });
    assert_eq!(backend.observed().health, Health::Healthy);
    let row = [CheckResult::Failure; 2];
    assert_eq!(healths(backend, &row), [Health::Healthy, Health::Unhealthy]);
}

#[test]
fn status_shows_the_last_reason_the_time_of_the_change_and_the_counts() {
    let mut backend = BackendHealth::new(THREE, T0);
    backend.observe(outcome(CheckResult::Success, 1));
    backend.observe(outcome(CheckResult::Failure, 2));
    let want = Observed {
        health: Health::Healthy,
        reason: "reason 2".into(),
        since: T0 + Duration::from_secs(1),
        last_check: Some(T0 + Duration::from_secs(2)),
        last_duration: Some(Duration::from_millis(1)),
        against: 1,
        successes: 1,
        failures: 1,
    };
    assert_eq!(backend.observed(), &want);
}

#[test]
fn the_words_of_json_are_those_of_the_status() {
    for health in [Health::Checking, Health::Healthy, Health::Unhealthy, Health::Unchecked] {
        let json = serde_json::to_string(&health).unwrap();
        assert_eq!(json, format!("\"{health}\""));
    }
}

/// The rule read literally, from the whole history: the health changes where the last
/// `threshold` conclusive results since the change before all say the same, and it is news.
fn by_the_book(history: &[CheckResult], healthy: usize, unhealthy: usize) -> Health {
    let conclusive: Vec<CheckResult> =
        history.iter().copied().filter(|result| *result != CheckResult::Inconclusive).collect();
    let Some((first, rest)) = conclusive.split_first() else {
        return Health::Checking;
    };
    let mut is_healthy = *first == CheckResult::Success;
    let mut since_change: &[CheckResult] = rest;
    'changes: loop {
        let (opposite, needed) = match is_healthy {
            true => (CheckResult::Failure, unhealthy),
            false => (CheckResult::Success, healthy),
        };
        for (at, window) in since_change.windows(needed).enumerate() {
            if window.iter().all(|result| *result == opposite) {
                is_healthy = !is_healthy;
                since_change = &since_change[at + needed..];
                continue 'changes;
            }
        }
        return if is_healthy { Health::Healthy } else { Health::Unhealthy };
    }
}

proptest! {
    #[test]
    fn any_history_ends_where_the_rule_read_literally_ends(
        history in prop::collection::vec(
            prop_oneof![
                5 => Just(CheckResult::Success),
                5 => Just(CheckResult::Failure),
                1 => Just(CheckResult::Inconclusive),
            ],
            0..60,
        ),
        healthy in 1_u8..5,
        unhealthy in 1_u8..5,
    ) {
        let thresholds = Thresholds { healthy: healthy.into(), unhealthy: unhealthy.into() };
        let mut backend = BackendHealth::new(thresholds, T0);
        for (second, result) in (1_u64..).zip(&history) {
            let before = backend.observed().health;
            let transition = backend.observe(outcome(*result, second));
            let so_far = &history[..usize::try_from(second).unwrap()];
            let want = by_the_book(so_far, healthy.into(), unhealthy.into());
            prop_assert_eq!(backend.observed().health, want);
            let told = (before != want).then_some(Transition { from: before, to: want });
            prop_assert_eq!(transition, told);
        }
    }
}

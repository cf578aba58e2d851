//! A backend's health: a pure state machine over the results of its checks.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::config::model::HealthCheck;

/// Whether a backend may be given new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No result yet: gets no traffic.
    Checking,
    /// Answers as it should.
    Healthy,
    /// Does not.
    Unhealthy,
    /// Its listener has no check: used as if it were healthy.
    Unchecked,
}

impl Health {
    /// The word that status, events and the API use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unchecked => "unchecked",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What one check says about the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It answered as wanted.
    Success,
    /// It did not.
    Failure,
    /// The check failed on this host (no file descriptor, no memory), so it says nothing: one
    /// exhausted balancer must not declare all its backends dead.
    Inconclusive,
}

/// One check that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it says about the backend.
    pub result: CheckResult,
    /// What was seen, in the operator's words.
    pub reason: String,
    /// From its start to its end.
    pub took: Duration,
    /// When it ended.
    pub at: SystemTime,
}

/// How many results in a row change a backend's health; 0 counts as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes that make an unhealthy backend healthy.
    pub healthy: u32,
    /// Failures that make a healthy backend unhealthy.
    pub unhealthy: u32,
}

impl From<&HealthCheck> for Thresholds {
    fn from(check: &HealthCheck) -> Self {
        Self { healthy: check.healthy, unhealthy: check.unhealthy }
    }
}

/// A change of health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: Health,
    /// After.
    pub to: Health,
}

/// What is known about a backend, for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its health.
    pub health: Health,
    /// What the last check saw, which need not agree with `health` before a threshold is reached.
    pub reason: String,
    /// When `health` last changed.
    pub since: SystemTime,
    /// When the last check ended; absent before the first.
    pub last_check: Option<SystemTime>,
    /// How long the last check took; absent before the first.
    pub last_duration: Option<Duration>,
    /// The last results in a row that speak against `health`.
    pub against: u32,
    /// Checks that succeeded.
    pub successes: u64,
    /// Checks that failed.
    pub failures: u64,
}

/// The state machine of one backend.
#[derive(Clone, Debug)]
pub struct BackendHealth {
    thresholds: Thresholds,
    observed: Observed,
}

impl BackendHealth {
    /// A backend without a result; the first one decides alone.
    pub fn new(thresholds: Thresholds, now: SystemTime) -> Self {
        Self::starting_as(Health::Checking, "no result yet", thresholds, now)
    }

    /// A backend whose health was known before the daemon restarted: it holds until the
    /// thresholds say otherwise.
    ///
    /// [`Health::Checking`] and [`Health::Unchecked`] are no knowledge: they start as
    /// [`new`](Self::new).
    pub fn resumed(last_known: Health, thresholds: Thresholds, now: SystemTime) -> Self {
        match last_known {
            Health::Healthy | Health::Unhealthy => {
                Self::starting_as(last_known, "known from before the restart", thresholds, now)
            }
            Health::Checking | Health::Unchecked => Self::new(thresholds, now),
        }
    }

    fn starting_as(
        health: Health,
        reason: &str,
        thresholds: Thresholds,
        since: SystemTime,
    ) -> Self {
        let observed = Observed {
            health,
            reason: reason.to_owned(),
            since,
            last_check: None,
            last_duration: None,
            against: 0,
            successes: 0,
            failures: 0,
        };
        Self { thresholds, observed }
    }

    /// The check is another one now: the health stays, the row of results begins anew, as those
    /// of the old check say nothing about the new one.
    pub fn recheck_by(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
        self.observed.against = 0;
    }

    /// Takes in the end of a check and says whether the health changed by it.
    ///
    /// An inconclusive one is remembered as the last reason, and neither lengthens nor breaks a
    /// row of results.
    pub fn observe(&mut self, outcome: Outcome) -> Option<Transition> {
        let Outcome { result, reason, took, at } = outcome;
        let observed = &mut self.observed;
        observed.reason = reason;
        observed.last_check = Some(at);
        observed.last_duration = Some(took);

        let (to, threshold) = match result {
            CheckResult::Inconclusive => return None,
            CheckResult::Success => {
                observed.successes += 1;
                (Health::Healthy, self.thresholds.healthy)
            }
            CheckResult::Failure => {
                observed.failures += 1;
                (Health::Unhealthy, self.thresholds.unhealthy)
            }
        };
        let from = observed.health;
        if from == to {
            observed.against = 0;
            return None;
        }
        observed.against += 1;
        let decided = match from {
            Health::Healthy | Health::Unhealthy => observed.against >= threshold,
            Health::Checking | Health::Unchecked => true,
        };
        decided.then(|| {
            observed.health = to;
            observed.since = at;
            observed.against = 0;
            Transition { from, to }
        })
    }

    /// What is known now.
    pub const fn observed(&self) -> &Observed {
        &self.observed
    }
}

#[cfg(test)]
mod tests;

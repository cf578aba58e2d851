//! The checker: one task for each target, and what all of them have seen.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::{sync::mpsc, task::AbortHandle, time::Instant};

use super::{
    probe::{Endpoint, check_once},
    state::{BackendHealth, Health, Observed, Outcome, Thresholds},
    target::{Change, Target, TargetKey},
    timing::Schedule,
    watch::watch,
};
use crate::config::model::HealthCheck;

/// Checks targets until it is dropped.
///
/// A target costs about two kilobytes, and one socket while it is being checked; nothing limits
/// how many are checked at once, as waiting for a turn would break the documented times.
#[derive(Debug)]
pub struct Checker {
    changes: mpsc::Sender<Change>,
    observations: Observations,
    running: HashMap<TargetKey, Running>,
    last_known: HashMap<TargetKey, Health>,
    runs: u64,
}

/// What the checker has seen so far. Clones share it, so status can read it at any time.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    watched: Arc<Mutex<HashMap<TargetKey, Watched>>>,
}

#[derive(Debug)]
struct Watched {
    /// Whose results count. A task that was stopped may still be at its last check.
    run: u64,
    health: BackendHealth,
}

/// The checks of one target; they stop when it is dropped.
#[derive(Debug)]
struct Running {
    check: HealthCheck,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checker {
    /// A checker without targets. It sends every change of health, the first result included, to
    /// `changes`; while that is full, results wait. The observations are already up to date when
    /// a change arrives, and a change may name a target that has just been taken away.
    pub fn new(changes: mpsc::Sender<Change>) -> Self {
        Self {
            changes,
            observations: Observations::default(),
            running: HashMap::new(),
            last_known: HashMap::new(),
            runs: 0,
        }
    }

    /// Healths from before a restart of the daemon, for the targets that the next
    /// [`set_targets`](Self::set_targets) adds: each holds until thresholds say otherwise. No
    /// change is sent for them. Later calls of `set_targets` do not know them any more.
    pub fn resume(&mut self, last_known: HashMap<TargetKey, Health>) {
        self.last_known = last_known;
    }

    /// Checks these targets from now on and no others.
    ///
    /// A target that is checked already in the same way is left alone, one whose check is another
    /// now keeps its health. Must be called within a tokio runtime.
    pub fn set_targets(&mut self, targets: Vec<Target>) {
        let mut starting: HashMap<TargetKey, HealthCheck> =
            targets.into_iter().map(|target| (target.key, target.check)).collect();
        self.running.retain(|key, running| starting.get(key) == Some(&running.check));
        self.observations.lock().retain(|key, _| starting.contains_key(key));
        starting.retain(|key, _| !self.running.contains_key(key));
        for (key, check) in starting {
            self.start(Target { key, check });
        }
        self.last_known.clear();
    }

    /// True for a target that is checked now.
    pub fn checks(&self, target: &TargetKey) -> bool {
        self.running.contains_key(target)
    }

    /// What is known about every target now.
    pub fn snapshot(&self) -> HashMap<TargetKey, Observed> {
        self.observations.snapshot()
    }

    /// A handle that reads what this checker sees, also while others use the checker.
    pub fn observations(&self) -> Observations {
        self.observations.clone()
    }

    /// The task that checks a target; another one after a restart of its checks.
    #[cfg(test)]
    pub(super) fn task_of(&self, key: &TargetKey) -> Option<tokio::task::Id> {
        self.running.get(key).map(|running| running.task.id())
    }

    fn start(&mut self, target: Target) {
        self.runs += 1;
        let run = self.runs;
        let last_known = self.last_known.get(&target.key).copied();
        self.observations.begin(&target, run, last_known.unwrap_or(Health::Checking));

        let check = target.check.clone();
        let key = target.key.clone();
        let task = tokio::spawn(check_for_ever(
            target,
            run,
            self.observations.clone(),
            self.changes.clone(),
        ));
        self.running.insert(key, Running { check, task: task.abort_handle() });
    }
}

impl Observations {
    /// What is known about every target now.
    pub fn snapshot(&self) -> HashMap<TargetKey, Observed> {
        let watched = self.lock();
        watched
            .iter()
            .map(|(key, watched)| (key.clone(), watched.health.observed().clone()))
            .collect()
    }

    /// Results of `run` count from now on; a health that is known already stays.
    fn begin(&self, target: &Target, run: u64, last_known: Health) {
        let thresholds = Thresholds::from(&target.check);
        self.lock()
            .entry(target.key.clone())
            .and_modify(|watched| {
                watched.run = run;
                watched.health.recheck_by(thresholds);
            })
            .or_insert_with(|| {
                let health = BackendHealth::resumed(last_known, thresholds, SystemTime::now());
                Watched { run, health }
            });
    }

    /// Takes in what `run` saw, and passes a change to `send` before anybody can read of it.
    fn record(&self, key: &TargetKey, run: u64, outcome: Outcome, send: impl FnOnce(Change)) {
        let mut watched = self.lock();
        let Some(watched) = watched.get_mut(key).filter(|watched| watched.run == run) else {
            return;
        };
        let Some(transition) = watched.health.observe(outcome) else {
            return;
        };
        let observed = watched.health.observed();
        send(Change {
            key: key.clone(),
            previous: transition.from,
            health: transition.to,
            reason: observed.reason.clone(),
            at: observed.since,
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TargetKey, Watched>> {
        // Nothing that runs under the lock leaves it half changed.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn check_for_ever(
    target: Target,
    run: u64,
    observations: Observations,
    changes: mpsc::Sender<Change>,
) {
    let endpoint = Endpoint { address: target.asked(), source: None };
    let schedule = Schedule::first(&target.key, target.check.interval, Instant::now());
    let (target, observations, changes) = (&target, &observations, &changes);
    let check = || check_once(endpoint, &target.check);
    let tell = |outcome| async move {
        // The place in the channel comes first: a task that is stopped while it waits for one has
        // not changed anything yet, so no change is ever seen without being sent.
        let place = changes.reserve().await;
        observations.record(&target.key, run, outcome, |change| {
            log(&change);
            if let Ok(place) = place {
                place.send(change);
            }
        });
    };
    watch(schedule, check, tell).await;
}

fn log(change: &Change) {
    let Change { key, previous, health, reason, .. } = change;
    match health {
        Health::Unhealthy => tracing::warn!("{key} is {health}, was {previous}: {reason}"),
        _ => tracing::info!("{key} is {health}, was {previous}: {reason}"),
    }
}

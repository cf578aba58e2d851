//! Slow start: a backend that comes, or comes back, ramps from a tenth of its weight to the whole.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::desired::DesiredService;
use crate::health::TargetKey;

/// The whole weight, in thousandths.
pub const WHOLE: u16 = 1000;
/// What a ramp begins with: a tenth.
const FIRST: u16 = WHOLE / 10;
/// From one step of all ramps to the next.
pub const STEP: Duration = Duration::from_secs(1);
/// A timer may be a little early.
const SHORTEST_STEP: Duration = Duration::from_millis(900);

/// Thousandths of its weight that a backend gets when it has been usable for so long.
pub fn share(usable_for: Duration, ramp: Duration) -> u16 {
    if usable_for >= ramp {
        return WHOLE;
    }
    let gained = u128::from(WHOLE - FIRST) * usable_for.as_millis() / ramp.as_millis().max(1);
    FIRST + gained.min(u128::from(WHOLE - FIRST)) as u16
}

/// Since when backends are usable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ramps {
    /// `None`: since before this daemon, or before it could know.
    since: HashMap<TargetKey, Option<Instant>>,
    /// Time of the last step. All ramps go together: each step is a new ring, and what else
    /// happens in between shall not make more of them.
    stepped: Option<Instant>,
    ramping: bool,
}

impl Ramps {
    /// At the start of a daemon: what it finds usable needs no ramp.
    pub fn standing(desired: &[DesiredService]) -> Self {
        Self { since: usable(desired, |_| None), ..Self::default() }
    }

    /// Gives every backend its share at `now`, and returns what is to be known the next time, if
    /// the services are taken into use.
    pub fn follow(&self, desired: &mut [DesiredService], now: Instant) -> Self {
        let since = usable(desired, |key| self.since.get(key).copied().unwrap_or(Some(now)));
        let last = self.stepped.filter(|last| now.duration_since(*last) < SHORTEST_STEP);
        let step = last.unwrap_or(now);
        let mut ramping = false;
        for service in desired {
            let (ramp, targets) = (service.slow_start, service.targets());
            for (backend, target) in service.backends.iter_mut().zip(targets) {
                let begun = since.get(&target).copied().flatten();
                let usable_for = begun.map(|begun| step.saturating_duration_since(begun));
                backend.share = usable_for.map_or(WHOLE, |age| share(age, ramp));
                ramping |= backend.share != WHOLE;
            }
        }
        Self { since, stepped: Some(step), ramping }
    }

    /// True if there is another step to come.
    pub const fn ramping(&self) -> bool {
        self.ramping
    }
}

/// What `since` says of each backend that is usable.
fn usable(
    desired: &[DesiredService],
    since: impl Fn(&TargetKey) -> Option<Instant>,
) -> HashMap<TargetKey, Option<Instant>> {
    let targets = desired.iter().flat_map(|service| {
        let usable = service.backends.iter().map(|backend| backend.usable);
        service.targets().into_iter().zip(usable)
    });
    let usable = targets.filter(|(_, usable)| *usable);
    usable
        .map(|(target, _)| {
            let since = since(&target);
            (target, since)
        })
        .collect()
}

#[cfg(test)]
mod tests;

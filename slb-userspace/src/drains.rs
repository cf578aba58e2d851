//! Until when backend slots drain. Deadlines are kept on disk, so that a daemon that is started
//! again goes on with those of the one before.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// File under `state_dir`.
const FILE: &str = "drains.json";

/// Longest time that anything may drain.
pub const LONGEST: Duration = Duration::from_secs(900);

/// Why a slot takes no new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nobody wants it any more, or its listener is stopped: it drains from now on.
    Leaving,
    /// Its weight is 0: it drains if that was ordered, else its connections may go on.
    Weightless,
}

/// A slot that takes no new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Slot.
    pub slot: u32,
    /// Its generation: another one is another backend.
    pub generation: u8,
    /// How long it may drain.
    pub timeout: Duration,
    /// Why.
    pub why: Why,
}

/// Slots that drain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Drains {
    slots: BTreeMap<u32, Drain>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Drain {
    generation: u8,
    /// Of the clock that runs from boot on, also through sleep: nobody sets it.
    until_ms: u64,
}

/// Milliseconds since boot.
pub fn now_ms() -> u64 {
    let clock = nix::time::ClockId::CLOCK_BOOTTIME;
    nix::time::clock_gettime(clock).map_or(0, |time| Duration::from(time).as_millis() as u64)
}

impl Drains {
    /// Reads the file; nothing if there is none. What lies too far ahead is of another boot.
    ///
    /// # Errors
    /// It cannot be read, or is not what [`Drains::write`] wrote.
    pub fn read(state_dir: &Path, now_ms: u64) -> io::Result<Self> {
        let text = match fs::read(state_dir.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut drains: Self = serde_json::from_slice(&text).map_err(io::Error::other)?;
        let latest = now_ms + LONGEST.as_millis() as u64;
        drains.slots.retain(|_, drain| drain.until_ms <= latest);
        Ok(drains)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        fs::create_dir_all(state_dir)?;
        let temporary = state_dir.join(format!("{FILE}.new"));
        let file = fs::File::create(&temporary)?;
        serde_json::to_writer(&file, self)?;
        file.sync_all()?;
        fs::rename(temporary, state_dir.join(FILE))
    }

    /// Takes note of all slots that take no new connections now. True if that changed anything.
    pub fn follow(&mut self, quiet: &[Quiet], now_ms: u64) -> bool {
        let before = self.clone();
        let known = std::mem::take(&mut self.slots);
        for one in quiet {
            let former = known.get(&one.slot).filter(|drain| drain.generation == one.generation);
            match (former, one.why) {
                (Some(drain), _) => {
                    self.slots.insert(one.slot, *drain);
                }
                (None, Why::Leaving) => self.order(one, now_ms),
                (None, Why::Weightless) => {}
            }
        }
        *self != before
    }

    /// Lets a slot drain from now on.
    pub fn order(&mut self, one: &Quiet, now_ms: u64) {
        let until_ms = now_ms + one.timeout.min(LONGEST).as_millis() as u64;
        self.slots.insert(one.slot, Drain { generation: one.generation, until_ms });
    }

    /// Slots whose deadline is over.
    pub fn due(&self, now_ms: u64) -> BTreeSet<u32> {
        let due = self.slots.iter().filter(|(_, drain)| drain.until_ms <= now_ms);
        due.map(|(slot, _)| *slot).collect()
    }

    /// From now to the next deadline.
    pub fn next(&self, now_ms: u64) -> Option<Duration> {
        let ahead = self.slots.values().filter_map(|drain| drain.until_ms.checked_sub(now_ms));
        ahead.filter(|left| *left > 0).min().map(Duration::from_millis)
    }

    /// Time that each slot has left.
    pub fn left(&self, now_ms: u64) -> BTreeMap<u32, Duration> {
        let left = |drain: &Drain| Duration::from_millis(drain.until_ms.saturating_sub(now_ms));
        self.slots.iter().map(|(slot, drain)| (*slot, left(drain))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn quiet(slot: u32, generation: u8, seconds: u64, why: Why) -> Quiet {
        Quiet { slot, generation, timeout: Duration::from_secs(seconds), why }
    }

    #[test]
    fn a_slot_that_leaves_drains_from_the_first_time_it_is_seen_and_no_longer() {
        let mut drains = Drains::default();
        let leaving = quiet(3, 1, 10, Why::Leaving);
        assert!(drains.follow(&[leaving], 1000));
        assert!(!drains.follow(&[leaving], 5000), "its deadline stays");
        assert_eq!(drains.next(5000), Some(Duration::from_secs(6)));
        assert_eq!((drains.due(10_999).len(), drains.due(11_000)), (0, [3].into()));
        assert_eq!(drains.next(11_000), None, "what is due is nothing to wait for");
        // Wanted again, or another backend in its slot.
        assert!(drains.clone().follow(&[], 6000));
        assert!(drains.follow(&[quiet(3, 2, 10, Why::Leaving)], 6000));
        assert_eq!(drains.left(6000)[&3], Duration::from_secs(10));
    }

    #[test]
    fn weight_0_alone_drains_nothing_and_an_order_does_until_the_weight_is_back() {
        let mut drains = Drains::default();
        let weightless = quiet(3, 1, 10, Why::Weightless);
        assert!(!drains.follow(&[weightless], 0));
        drains.order(&Quiet { timeout: Duration::from_secs(2), ..weightless }, 0);
        assert!(!drains.follow(&[weightless], 500));
        // Removed meanwhile: the deadline stays.
        assert!(!drains.follow(&[quiet(3, 1, 300, Why::Leaving)], 1000));
        assert_eq!(drains.due(2000), [3].into());
        assert!(drains.follow(&[], 2000));
        assert_eq!(drains, Drains::default());
    }

    #[test]
    fn deadlines_come_back_from_the_disk_unless_they_are_of_another_boot() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Drains::read(directory.path(), 0).unwrap(), Drains::default());
        let mut drains = Drains::default();
        drains.order(&quiet(3, 1, 900, Why::Leaving), 50_000_000);
        drains.write(directory.path()).unwrap();
        assert_eq!(Drains::read(directory.path(), 50_000_000).unwrap(), drains);
        assert_eq!(Drains::read(directory.path(), 1000).unwrap(), Drains::default());
    }
}

//! What is attached, where, and what it has counted.

use std::path::{Path, PathBuf};

use aya::maps::{LpmTrie, Map, MapData, PerCpuArray};
use serde::Serialize;
use slb_common::toa::Counter;

use super::{
    Error, Network, cgroup,
    links::{PROGRAMS, Pins},
    networks::Networks,
};

/// Whether it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All programs are attached.
    Attached,
    /// Not all, or their cgroup is gone, or out of this process's sight.
    Incomplete,
    /// None is.
    Detached,
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether it works.
    pub state: State,
    /// Where links and maps are pinned.
    pub pin_dir: PathBuf,
    /// Whose processes are served; absent if the cgroup is gone or out of sight.
    pub cgroup: Option<PathBuf>,
    /// Whose options are believed.
    pub from: Vec<Network>,
    /// Every counter.
    pub counters: Vec<Counted>,
    /// The programs that are attached.
    pub programs: Vec<Attached>,
}

/// A counter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Its name.
    pub name: &'static str,
    /// Since it was attached.
    pub connections: u64,
    /// What is counted.
    pub meaning: &'static str,
}

/// A program and its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// The program's name.
    pub name: &'static str,
    /// Number of the program, as bpftool shows it.
    pub program_id: u32,
    /// Number of its link.
    pub link_id: u32,
}

/// Looks at what is pinned in a directory.
///
/// # Errors
/// It may not be read.
pub fn status(pin_dir: &Path) -> Result<Status, Error> {
    let pins = Pins::new(pin_dir);
    let (mut programs, mut cgroups) = (Vec::new(), Vec::new());
    for name in PROGRAMS {
        if let Some(link) = pins.read(name)? {
            programs.push(Attached { name, program_id: link.program, link_id: link.id });
            cgroups.push(link.cgroup);
        }
    }
    let cgroup = cgroups.first().and_then(|id| cgroup::by_id(*id));
    let state = state(&cgroups, cgroup.is_some());
    if state == State::Detached {
        let (from, counters) = (Vec::new(), Vec::new());
        return Ok(Status {
            state,
            pin_dir: pin_dir.into(),
            cgroup: None,
            from,
            counters,
            programs,
        });
    }
    Ok(Status {
        state,
        pin_dir: pin_dir.into(),
        cgroup,
        from: networks(&pins)?,
        counters: counters(&pins)?,
        programs,
    })
}

fn state(cgroups: &[u64], is_there: bool) -> State {
    match cgroups {
        [] => State::Detached,
        [first, ..] => {
            let complete = cgroups.len() == PROGRAMS.len();
            // The kernel keeps the number of a cgroup that was removed for a while.
            let same = is_there && cgroups.iter().all(|cgroup| cgroup == first);
            if complete && same { State::Attached } else { State::Incomplete }
        }
    }
}

fn networks(pins: &Pins<'_>) -> Result<Vec<Network>, Error> {
    let failed = |error| Error::of_kernel("the map of networks", &error);
    let map = MapData::from_pin(pins.map("TOA_NETWORKS")).map_err(failed)?;
    Networks::new(LpmTrie::try_from(Map::LpmTrie(map)).map_err(failed)?).get().map_err(failed)
}

fn counters(pins: &Pins<'_>) -> Result<Vec<Counted>, Error> {
    let failed = |error| Error::of_kernel("the map of counters", &error);
    let map = MapData::from_pin(pins.map("TOA_COUNTERS")).map_err(failed)?;
    let map = PerCpuArray::<_, u64>::try_from(Map::PerCpuArray(map)).map_err(failed)?;
    let value = |counter: Counter| {
        let connections = map.get(&(counter as u32), 0).map_err(failed)?.iter().sum();
        Ok(Counted { name: counter.label(), connections, meaning: counter.manual() })
    };
    Counter::ALL.iter().map(|counter| value(*counter)).collect()
}

#[cfg(test)]
mod tests {
    use super::{State, state};

    #[test]
    fn three_links_on_one_cgroup_that_is_there_are_attached() {
        assert_eq!(state(&[1, 1, 1], true), State::Attached);
        assert_eq!(state(&[], false), State::Detached);
        assert_eq!(state(&[1, 1, 1], false), State::Incomplete);
        for incomplete in [&[1][..], &[1, 1], &[1, 1, 2]] {
            assert_eq!(state(incomplete, true), State::Incomplete);
        }
    }
}

//! When a VIP is blackholed (SPEC.md 1.4): its packets are counted while its instance has
//! thresholds, and above one of them nothing is let through to it for a while. Pure: what is
//! counted and what time it is comes from outside.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use slb_common::vip::VipCounters;

use crate::config::model::{Blackhole, Config};

/// How often packets are looked at.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What comes for a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Packets per second.
    pub pps: u64,
    /// Bits per second, from the network header on.
    pub bps: u64,
}

/// A VIP to which nothing is let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Whose VIP it is.
    pub instance: String,
    /// What came when it was blackholed; `None`: an earlier daemon did it.
    pub rate: Option<Rate>,
    /// When it ends, in nanoseconds of the monotonic clock.
    pub until: u64,
}

/// What a look has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing is let through from now on.
    Begun(IpAddr, Hole),
    /// Its time is over, or nobody wants it any more.
    Ended(IpAddr, Hole),
}

/// What is known of VIPs with thresholds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blackholes {
    last: BTreeMap<IpAddr, (u64, VipCounters)>,
    holes: BTreeMap<IpAddr, Hole>,
}

/// VIPs with thresholds: whose they are, and the thresholds.
pub fn watched(config: &Config) -> BTreeMap<IpAddr, (String, Blackhole)> {
    let mut watched = BTreeMap::new();
    for instance in &config.instances {
        if let Some(blackhole) = instance.blackhole {
            let named = |vip: &IpAddr| (*vip, (instance.name.clone(), blackhole));
            watched.extend(instance.vips.iter().map(named));
        }
    }
    watched
}

impl Blackholes {
    /// Takes over what an earlier daemon has begun.
    pub fn adopt(&mut self, vip: IpAddr, instance: &str, until: u64) {
        let hole = Hole { instance: instance.to_owned(), rate: None, until };
        self.holes.insert(vip, hole);
    }

    /// Looks at what has come for the watched VIPs until `now`, in nanoseconds of the monotonic
    /// clock.
    pub fn look(
        &mut self,
        watched: &BTreeMap<IpAddr, (String, Blackhole)>,
        now: u64,
        counted: impl Fn(IpAddr) -> Option<VipCounters>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        self.holes.retain(|vip, hole| {
            let stays = hole.until > now && watched.contains_key(vip);
            if !stays {
                changes.push(Change::Ended(*vip, hole.clone()));
            }
            stays
        });
        self.last.retain(|vip, _| watched.contains_key(vip));
        for (vip, (instance, thresholds)) in watched {
            let Some(counters) = counted(*vip) else { continue };
            let Some((then, before)) = self.last.insert(*vip, (now, counters)) else { continue };
            let rate = rate(before, counters, now.saturating_sub(then));
            if !self.holes.contains_key(vip) && above(thresholds, rate) {
                let until = now.saturating_add(nanoseconds(thresholds.duration));
                let hole = Hole { instance: instance.clone(), rate: Some(rate), until };
                self.holes.insert(*vip, hole.clone());
                changes.push(Change::Begun(*vip, hole));
            }
        }
        changes
    }

    /// Lets packets through to a VIP again; the thresholds count from anew. `None`: it was let
    /// through already.
    pub fn release(&mut self, vip: IpAddr) -> Option<Hole> {
        self.last.remove(&vip);
        self.holes.remove(&vip)
    }

    /// VIPs to which nothing is let through.
    pub const fn holes(&self) -> &BTreeMap<IpAddr, Hole> {
        &self.holes
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What came for each second between two looks.
fn rate(before: VipCounters, after: VipCounters, nanoseconds: u64) -> Rate {
    let each = |before: u64, after: u64, factor: u128| {
        let came = u128::from(after.saturating_sub(before)) * factor * 1_000_000_000;
        u64::try_from(came / u128::from(nanoseconds.max(1))).unwrap_or(u64::MAX)
    };
    Rate { pps: each(before.packets, after.packets, 1), bps: each(before.bytes, after.bytes, 8) }
}

fn above(thresholds: &Blackhole, rate: Rate) -> bool {
    let over = |threshold: Option<u64>, rate| threshold.is_some_and(|threshold| rate > threshold);
    over(thresholds.pps, rate.pps) || over(thresholds.bps, rate.bps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

    fn thresholds(pps: Option<u64>, bps: Option<u64>) -> BTreeMap<IpAddr, (String, Blackhole)> {
        let blackhole = Blackhole { pps, bps, duration: Duration::from_secs(60) };
        [(VIP, ("shop".to_owned(), blackhole))].into()
    }

    fn counters(packets: u64, bytes: u64) -> impl Fn(IpAddr) -> Option<VipCounters> {
        move |_| Some(VipCounters { packets, bytes })
    }

    #[test]
    fn above_a_threshold_nothing_is_let_through_for_the_duration_and_no_longer() {
        let watched = thresholds(Some(1000), None);
        let mut known = Blackholes::default();
        assert_eq!(known.look(&watched, 10 * SECOND, counters(5_000_000, 0)), [], "the first look");
        assert_eq!(known.look(&watched, 11 * SECOND, counters(5_001_000, 0)), [], "as many as may");
        let begun = known.look(&watched, 12 * SECOND, counters(5_002_001, 0));
        let rate = Some(Rate { pps: 1001, bps: 0 });
        let hole = Hole { instance: "shop".to_owned(), rate, until: 72 * SECOND };
        assert_eq!(begun, [Change::Begun(VIP, hole.clone())]);
        // What goes on coming does not prolong it.
        assert_eq!(known.look(&watched, 71 * SECOND, counters(90_000_000, 0)), []);
        let ended = known.look(&watched, 72 * SECOND, counters(90_000_000, 0));
        assert_eq!(ended, [Change::Ended(VIP, hole)]);
        // Whoever still comes is stopped again.
        let again = known.look(&watched, 73 * SECOND, counters(90_002_000, 0));
        assert!(matches!(again[..], [Change::Begun(..)]), "{again:?}");
    }

    #[test]
    fn bits_count_and_so_does_the_time_between_two_looks() {
        let watched = thresholds(None, Some(8_000));
        let mut known = Blackholes::default();
        known.look(&watched, SECOND, counters(0, 0));
        assert_eq!(known.look(&watched, 3 * SECOND, counters(9, 2_000)), [], "8000 bits a second");
        let begun = known.look(&watched, 3 * SECOND + SECOND / 2, counters(9, 2_501));
        assert!(matches!(begun[..], [Change::Begun(..)]), "{begun:?}");
    }

    #[test]
    fn what_is_released_or_no_longer_wanted_is_let_through_at_once() {
        let watched = thresholds(Some(1), None);
        let mut known = Blackholes::default();
        known.adopt(VIP, "shop", 100 * SECOND);
        assert_eq!(known.look(&watched, SECOND, counters(0, 0)), []);
        assert_eq!(known.holes().len(), 1);
        assert!(known.release(VIP).is_some());
        assert_eq!(known.release(VIP), None);
        // The packets of before count no more.
        assert_eq!(known.look(&watched, 2 * SECOND, counters(1_000, 0)), []);
        known.adopt(VIP, "shop", 100 * SECOND);
        let ended = known.look(&BTreeMap::new(), 3 * SECOND, counters(0, 0));
        assert!(matches!(ended[..], [Change::Ended(..)]), "{ended:?}");
    }
}

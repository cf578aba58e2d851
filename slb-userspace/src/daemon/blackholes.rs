//! Blackholed VIPs: the loop's part of it.

use std::net::IpAddr;

use super::state::State;
use crate::{
    api::{ApiError, BlackholeList, BlackholeRelease, BlackholeRow, ChangeReport, ErrorKind},
    blackholes::{Change, Hole, watched},
    maps::table::now_ns,
};

impl State {
    /// Has packets counted while somebody has thresholds, and takes over what is blackholed.
    pub(super) fn follow_blackholes(&mut self) {
        let watched = watched(&self.config);
        self.reconciler.kernel().meter_vips(!watched.is_empty());
        for (vip, (instance, _)) in &watched {
            let known = self.blackholes.holes().contains_key(vip);
            if let Some(until) = self.reconciler.kernel().blackholed_until(*vip)
                && !known
            {
                self.blackholes.adopt(*vip, instance, until);
            }
        }
        self.look_for_blackholes();
    }

    /// Looks at what comes for VIPs with thresholds.
    pub(super) fn look_for_blackholes(&mut self) {
        let (watched, now) = (watched(&self.config), now_ns());
        let kernel = self.reconciler.kernel();
        let counted = |vip| kernel.vip_counters(vip).ok();
        for change in self.blackholes.look(&watched, now, counted) {
            match change {
                Change::Begun(vip, Hole { instance, rate, until }) => {
                    kernel.blackhole(vip, Some(until));
                    let (pps, bps) = rate.map_or((0, 0), |rate| (rate.pps, rate.bps));
                    let seconds = seconds_left(until, now);
                    tracing::warn!(%vip, instance, pps, bps, seconds, "blackholed");
                }
                Change::Ended(vip, Hole { instance, .. }) => {
                    kernel.blackhole(vip, None);
                    tracing::info!(%vip, instance, "no longer blackholed");
                }
            }
        }
    }

    /// What is blackholed.
    pub(super) fn blackhole_list(&self) -> BlackholeList {
        let now = now_ns();
        let row = |(vip, hole): (&IpAddr, &Hole)| BlackholeRow {
            vip: *vip,
            instance: hole.instance.clone(),
            pps: hole.rate.map(|rate| rate.pps),
            bps: hole.rate.map(|rate| rate.bps),
            ends_in_s: seconds_left(hole.until, now),
        };
        BlackholeList { blackholes: self.blackholes.holes().iter().map(row).collect() }
    }

    /// Lets packets through again.
    pub(super) fn blackhole_release(
        &mut self,
        release: &BlackholeRelease,
    ) -> Result<ChangeReport, ApiError> {
        let vips = match release.vip {
            Some(vip) => {
                let known = self.config.instances.iter().any(|one| one.vips.contains(&vip));
                if !known {
                    let message = format!("no instance has VIP {vip}");
                    return Err(ApiError::new(ErrorKind::NotFound, message));
                }
                vec![vip]
            }
            None => self.blackholes.holes().keys().copied().collect(),
        };
        let mut changes = Vec::new();
        for vip in vips {
            if let Some(hole) = self.blackholes.release(vip) {
                self.reconciler.kernel().blackhole(vip, None);
                tracing::info!(%vip, instance = hole.instance, "blackhole released by command");
                changes.push(format!("{vip} of {} is let through again", hole.instance));
            }
        }
        Ok(ChangeReport { changes, warnings: Vec::new() })
    }
}

fn seconds_left(until: u64, now: u64) -> u64 {
    until.saturating_sub(now).div_ceil(1_000_000_000)
}

//! Next hops to clients, which programs learn and the daemon lets go.

use std::{collections::HashSet, sync::atomic::Ordering};

use slb_common::next_hop::{HOP_STALE, HOP_VALID, NextHop};

use super::kernel::Kernel;

/// State word of a next hop, the last of its three.
const HOP_STATE: usize = 2;

impl Kernel {
    /// Gives places of next hops to clients free that no connection names: stale at first, free
    /// the next time if no program has taken them up again meanwhile.
    pub fn forget_client_hops(&mut self, used: &HashSet<u16>) {
        for index in 1..self.client_hops.len() {
            let hop = self.client_hops.get(index);
            let unused = u16::try_from(index).is_ok_and(|index| !used.contains(&index));
            let next = match hop.state {
                HOP_VALID if unused => u64::from(HOP_STALE) << 32 | u64::from(hop.interface),
                HOP_STALE if unused => 0,
                _ => continue,
            };
            let seen = u64::from(hop.state) << 32 | u64::from(hop.interface);
            let state = &self.client_hops.words(index)[HOP_STATE];
            // Only from what was seen: a program may be taking it up right now.
            let _ = state.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Marks learnt next hops to clients stale, so that the next reply asks the routing table.
    pub fn mark_client_hops_stale(&mut self, affected: impl Fn(&NextHop) -> bool) -> usize {
        let mut marked = 0;
        for index in 1..self.client_hops.len() {
            let hop = self.client_hops.get(index);
            if hop.state == HOP_VALID && affected(&hop) {
                let seen = u64::from(HOP_VALID) << 32 | u64::from(hop.interface);
                let stale = u64::from(HOP_STALE) << 32 | u64::from(hop.interface);
                let state = &self.client_hops.words(index)[HOP_STATE];
                let swapped =
                    state.compare_exchange(seen, stale, Ordering::AcqRel, Ordering::Relaxed);
                marked += usize::from(swapped.is_ok());
            }
        }
        marked
    }
}

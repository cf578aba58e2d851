//! The next hops of the backends: what is wanted, what is known, and what has changed.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use slb_common::next_hop::NextHop;
use tokio::sync::{mpsc, watch};

use super::{
    Error,
    follow::{self, Listeners, Outcome},
    links::Mac,
    resolve::Unresolved,
};

/// The next hop of a backend has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopChange {
    /// The backend's address.
    pub address: IpAddr,
    /// Its next hop from now on; absent: it cannot be reached, see [`Resolver::unresolved`].
    pub hop: Option<NextHop>,
}

/// Something has changed that next hops to clients may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientHopChange {
    /// A neighbour has another MAC address.
    NeighbourMoved {
        /// Interface that frames to it leave by; the parent of a VLAN interface.
        interface: u32,
        /// What it had.
        old_mac: Mac,
        /// What it has.
        new_mac: Mac,
    },
    /// Routes, rules, addresses or interfaces have changed.
    RoutesChanged,
}

/// Keeps next hops resolved as long as it lives. Neighbours stay managed by the kernel after it:
/// the XDP program outlives the daemon. To let them go, set no addresses.
#[derive(Debug)]
pub struct Resolver {
    wanted: watch::Sender<HashSet<IpAddr>>,
    outcomes: watch::Receiver<HashMap<IpAddr, Outcome>>,
}

impl Resolver {
    /// Starts the task, in the network namespace of this thread.
    ///
    /// # Errors
    /// No netlink socket could be opened.
    pub fn start(
        changes: mpsc::Sender<HopChange>,
        client_changes: mpsc::Sender<ClientHopChange>,
    ) -> Result<Self, Error> {
        let (wanted, wanted_receiver) = watch::channel(HashSet::new());
        let (publish, outcomes) = watch::channel(HashMap::new());
        follow::start(wanted_receiver, Listeners { publish, changes, client_changes })?;
        Ok(Self { wanted, outcomes })
    }

    /// Says whose next hops are wanted, in place of what was said before.
    pub fn set_addresses(&self, addresses: HashSet<IpAddr>) {
        self.wanted.send_replace(addresses);
    }

    /// All that are resolved.
    pub fn snapshot(&self) -> HashMap<IpAddr, NextHop> {
        let outcomes = self.outcomes.borrow();
        outcomes.iter().filter_map(|(key, hop)| Some((*key, *hop.as_ref().ok()?))).collect()
    }

    /// All that are not, with the reason.
    pub fn unresolved(&self) -> HashMap<IpAddr, Unresolved> {
        let outcomes = self.outcomes.borrow();
        outcomes.iter().filter_map(|(key, hop)| Some((*key, hop.clone().err()?))).collect()
    }
}

//! What the loop knows.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    path::PathBuf,
};

use slb_common::next_hop::NextHop;

use crate::{
    api::InterfaceStatus,
    config::model::{Config, VipOwner, XdpMode},
    health::{Change, Checker, Health, Target, TargetKey},
    maps::Operation,
    network::{ClientHopChange, HopChange, Resolver, vips},
    overlay::Overlay,
    plan::desired::{Circumstances, desired},
    reconciler::{Error, Reconciler},
    status::View,
};

/// The daemon's state.
pub(super) struct State {
    /// The configuration file.
    pub(super) file: PathBuf,
    /// Interfaces given on the command line, in place of the file's.
    pub(super) interfaces_given: Vec<String>,
    /// What the file says.
    pub(super) configured: Config,
    /// What operators changed since.
    pub(super) overlay: Overlay,
    /// Both together.
    pub(super) config: Config,
    /// Health and next hops.
    pub(super) circumstances: Circumstances,
    /// The kernel's side.
    pub(super) reconciler: Reconciler,
    pub(super) checker: Checker,
    pub(super) resolver: Resolver,
    pub(super) interfaces: Vec<InterfaceStatus>,
    pub(super) xdp_mode: XdpMode,
}

impl State {
    /// Notes a backend's health; a change of a target that is gone is of no interest.
    pub(super) fn note_health(&mut self, change: &Change) {
        self.circumstances.health.insert(change.key.clone(), change.health);
    }

    /// Notes a backend's next hop.
    pub(super) fn note_hop(&mut self, change: HopChange) {
        match change.hop {
            Some(hop) => {
                self.circumstances.hops.insert(change.address, hop);
            }
            None => {
                self.circumstances.hops.remove(&change.address);
            }
        }
    }

    /// Lets replies look up the way to their clients again.
    pub(super) fn note_client_hop(&mut self, change: ClientHopChange) {
        let marked = match change {
            ClientHopChange::RoutesChanged => {
                self.reconciler.kernel.mark_client_hops_stale(|_| true)
            }
            ClientHopChange::NeighbourMoved { interface, old_mac, .. } => {
                self.reconciler.kernel.mark_client_hops_stale(|hop: &NextHop| {
                    hop.interface == interface && hop.destination == old_mac
                })
            }
        };
        tracing::debug!(?change, marked, "next hops to clients are looked up again");
    }

    /// Brings the kernel to what it should hold now.
    pub(super) fn reconcile(&mut self) -> Result<Vec<Operation>, Error> {
        self.reconciler.apply(desired(&self.config, &self.circumstances))
    }

    /// The same, where nobody waits for an answer.
    pub(super) fn reconcile_or_log(&mut self) {
        match self.reconcile() {
            Ok(operations) => tracing::debug!(writes = operations.len(), "reconciled"),
            Err(error) => tracing::error!("the kernel's maps are not up to date: {error}"),
        }
    }

    /// Ends expired entries.
    pub(super) fn sweep(&mut self) {
        match self.reconciler.sweep() {
            Ok(swept) if swept.ended > 0 => {
                tracing::debug!(live = swept.live, ended = swept.ended, "swept");
            }
            Ok(_) => {}
            Err(error) => tracing::error!("the sweep failed, entries stay: {error}"),
        }
    }

    /// Takes another configuration or overlay into use: checks, next hops, VIPs, kernel.
    pub(super) async fn adopt(&mut self, config: Config) -> Result<Vec<Operation>, Error> {
        let before = std::mem::replace(&mut self.config, config);
        let operations = match self.reconcile() {
            Ok(operations) => operations,
            Err(error) => {
                self.config = before;
                return Err(error);
            }
        };
        self.follow_config().await;
        Ok(operations)
    }

    /// Checks, resolves and owns what the configuration names now.
    pub(super) async fn follow_config(&mut self) {
        let targets = targets(&self.config);
        let keys: HashSet<TargetKey> = targets.iter().map(|target| target.key.clone()).collect();
        self.circumstances.health.retain(|key, _| keys.contains(key));
        self.checker.set_targets(targets);
        self.resolver.set_addresses(self.backend_addresses());
        if self.config.dataplane.vip_owner == VipOwner::Host {
            let wanted: Vec<IpAddr> =
                self.config.instances.iter().flat_map(|instance| instance.vips.clone()).collect();
            match vips::sync(&self.config.dataplane.interfaces, &wanted).await {
                Ok(changes) => changes.iter().for_each(|change| {
                    tracing::info!(vip = %change.address, interface = change.interface,
                        "VIP {:?}", change.kind);
                }),
                Err(error) => tracing::error!("VIPs on the host: {error}"),
            }
        }
    }

    fn backend_addresses(&self) -> HashSet<IpAddr> {
        let listeners = self.config.instances.iter().flat_map(|instance| &instance.listeners);
        let configured = listeners.flat_map(|listener| &listener.backends);
        configured
            .map(|backend| backend.address)
            .chain(self.reconciler.applied.backends.values().map(|slot| slot.endpoint.ip()))
            .collect()
    }

    /// Why backends cannot be reached.
    pub(super) fn unreachable(&self) -> HashMap<IpAddr, String> {
        let unresolved = self.resolver.unresolved();
        unresolved.into_iter().map(|(address, why)| (address, why.to_string())).collect()
    }

    /// Calls `look` with what status is made of.
    pub(super) fn with_view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        look(&View {
            config: &self.config,
            health: &self.checker.snapshot(),
            unreachable: &self.unreachable(),
            interfaces: self.interfaces.clone(),
            xdp_mode: self.xdp_mode,
        })
    }
}

/// What is to be checked.
pub(super) fn targets(config: &Config) -> Vec<Target> {
    let mut targets = Vec::new();
    for instance in &config.instances {
        for listener in &instance.listeners {
            targets.extend(listener.backends.iter().map(|backend| Target {
                key: TargetKey {
                    instance: instance.name.clone(),
                    protocol: listener.protocol,
                    port: listener.port,
                    backend: backend.endpoint(),
                },
                check: listener.health_check.clone(),
            }));
        }
    }
    targets
}

/// The health that a running data plane shows: backends that it draws were healthy.
pub(super) fn last_known(config: &Config, reconciler: &Reconciler) -> HashMap<TargetKey, Health> {
    let applied = &reconciler.applied;
    let mut known = HashMap::new();
    for target in targets(config) {
        let key = target.key;
        let slot = applied.backends.iter().find(|(_, backend)| {
            let service = applied.services.get(&backend.backend.service);
            backend.endpoint == key.backend
                && service.is_some_and(|applied| applied.service.port == key.port)
        });
        let Some((slot, backend)) = slot else { continue };
        let drawn = applied
            .services
            .get(&backend.backend.service)
            .is_some_and(|applied| applied.places.contains(slot));
        if drawn {
            known.insert(key, Health::Healthy);
        }
    }
    known
}

//! What the loop knows.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use slb_common::next_hop::NextHop;

use crate::{
    api::InterfaceStatus,
    blackholes::Blackholes,
    config::model::{Backend, Config, Instance, Listener, XdpMode},
    cookies::Secret,
    drains::{Drains, now_ms},
    health::{Change, Checker, Health, Observed, Target, TargetKey},
    maps::Operation,
    network::{ClientHopChange, HopChange, Resolver},
    overlay::Overlay,
    plan::{
        desired::{Circumstances, desired},
        slow_start::Ramps,
    },
    reconciler::{Error, Reconciler},
    resets,
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
    /// Health, and next hops by which replies come back.
    pub(super) circumstances: Circumstances,
    /// All next hops that are known.
    pub(super) hops: HashMap<IpAddr, NextHop>,
    /// Interfaces that frames may leave by.
    pub(super) own_interfaces: HashSet<u32>,
    /// Since when backends are usable.
    pub(super) ramps: Ramps,
    /// Local addresses of full NAT that connections may use.
    pub(super) locals: BTreeSet<IpAddr>,
    /// The kernel's side.
    pub(super) reconciler: Reconciler,
    /// VIPs to which nothing is let through.
    pub(super) blackholes: Blackholes,
    /// What keys of SYN cookies are made of.
    pub(super) secret: Secret,
    /// VIPs whose SYNs are answered by cookies.
    pub(super) flooded: BTreeSet<IpAddr>,
    /// What drains, and until when.
    pub(super) drains: Drains,
    /// How long connections of a service drain, by its id, as long as somebody remembers it.
    pub(super) drain_timeouts: HashMap<u16, Duration>,
    /// Tells the ends of connections that they are over.
    pub(super) resets: resets::Sender,
    pub(super) checker: Checker,
    pub(super) resolver: Resolver,
    pub(super) interfaces: Vec<InterfaceStatus>,
    pub(super) xdp_mode: XdpMode,
    /// What was wrong with the host at the last look.
    pub(super) host_problems: Vec<String>,
    /// Keeps other daemons away from the pins as long as this one lives.
    pub(super) _lock: std::fs::File,
}

impl State {
    /// Notes a backend's health. A change of a target that has been taken away meanwhile is of no
    /// interest, nor may it be when the backend comes back.
    pub(super) fn note_health(&mut self, change: &Change) {
        if self.checker.checks(&change.key) {
            self.circumstances.health.insert(change.key.clone(), change.health);
        }
    }

    /// Notes a backend's next hop.
    pub(super) fn note_hop(&mut self, change: HopChange) {
        match change.hop {
            Some(hop) => self.hops.insert(change.address, hop),
            None => self.hops.remove(&change.address),
        };
        self.sort_hops();
    }

    /// Takes only next hops into use by which replies come back to the program.
    pub(super) fn sort_hops(&mut self) {
        let own = self.hops.iter().filter(|(_, hop)| self.own_interfaces.contains(&hop.interface));
        self.circumstances.hops = own.map(|(address, hop)| (*address, *hop)).collect();
    }

    /// Lets replies look up the way to their clients again.
    pub(super) fn note_client_hop(&mut self, change: ClientHopChange) {
        let marked = match change {
            ClientHopChange::RoutesChanged => self.reconciler.forget_ways(|_| true),
            ClientHopChange::NeighbourMoved { interface, old_mac, .. } => {
                self.reconciler.forget_ways(|hop: &NextHop| {
                    hop.interface == interface && hop.destination == old_mac
                })
            }
        };
        tracing::debug!(?change, marked, "next hops to clients are looked up again");
    }

    /// Brings the kernel to what it should hold now.
    pub(super) fn reconcile(&mut self) -> Result<Vec<Operation>, Error> {
        let mut desired = desired(&self.config, &self.circumstances);
        let ramps = self.ramps.follow(&mut desired, Instant::now());
        let operations = self.reconciler.apply(desired, &self.circumstances.hops)?;
        self.ramps = ramps;
        self.follow_drains();
        Ok(operations)
    }

    /// The same, where nobody waits for an answer.
    pub(super) fn reconcile_or_log(&mut self) {
        match self.reconcile() {
            Ok(operations) => tracing::debug!(writes = operations.len(), "reconciled"),
            Err(error) => tracing::error!("the kernel's maps are not up to date: {error}"),
        }
    }

    /// Ends expired entries, and lets go of what only they needed.
    pub(super) async fn sweep(&mut self) {
        match self.reconciler.sweep() {
            Ok(swept) => {
                if swept.ended > 0 {
                    tracing::debug!(live = swept.live, ended = swept.ended, "swept");
                }
                self.resets.send(swept.resets);
            }
            Err(error) => tracing::error!("the sweep failed, entries stay: {error}"),
        }
        self.reset_failed();
        self.end_drained();
        match self.reconciler.reclaim() {
            Ok(0) => {}
            Ok(freed) => {
                tracing::debug!(freed, "drained");
                self.follow_drains();
                self.reconcile_or_log();
                self.resolver.set_addresses(self.backend_addresses());
                self.follow_host().await;
            }
            Err(error) => tracing::error!("what has drained could not be freed: {error}"),
        }
    }

    /// Takes another configuration or overlay into use: checks, next hops, VIPs, kernel.
    /// Where that is refused, everything stays as it was. Returns the writes, and what is wrong
    /// with the host.
    pub(super) async fn adopt(
        &mut self,
        config: Config,
    ) -> Result<(Vec<Operation>, Vec<String>), Error> {
        let before = std::mem::replace(&mut self.config, config);
        let operations = match self.reconcile() {
            Ok(operations) => operations,
            Err(error) => {
                self.config = before;
                // A write may have failed half-way: back to what was there.
                self.reconcile_or_log();
                return Err(error);
            }
        };
        Ok((operations, self.follow_config().await))
    }

    /// Checks, resolves and owns what the configuration names now; returns what is wrong with the
    /// host.
    pub(super) async fn follow_config(&mut self) -> Vec<String> {
        let targets = targets(&self.config);
        let keys: HashSet<TargetKey> = targets.iter().map(|target| target.key.clone()).collect();
        self.circumstances.health.retain(|key, _| keys.contains(key));
        self.checker.set_targets(targets);
        self.resolver.set_addresses(self.backend_addresses());
        self.follow_blackholes();
        self.follow_host().await
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
        let unresolved = unresolved.into_iter().map(|(address, why)| (address, why.to_string()));
        let elsewhere =
            self.hops.iter().filter(|(_, hop)| !self.own_interfaces.contains(&hop.interface)).map(
                |(address, hop)| {
                    let why = format!(
                        "its route leaves by interface {}, which is not in dataplane.interfaces",
                        hop.interface
                    );
                    (*address, why)
                },
            );
        unresolved.chain(elsewhere).collect()
    }

    /// Calls `look` with what status is made of.
    pub(super) fn with_view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        look(&View {
            config: &self.config,
            health: &in_use(self.checker.snapshot(), &self.circumstances),
            unreachable: &self.unreachable(),
            interfaces: self.interfaces.clone(),
            xdp_mode: self.xdp_mode,
            drains: self.drains.left(now_ms()),
        })
    }
}

/// What is known of the targets, with the health by which the kernel sends to them: who has read that
/// a backend is healthy may rely on that it gets its packets. A change that waits for the loop has no
/// effect yet, and nothing is sent to where the way is not known.
fn in_use(
    mut observed: HashMap<TargetKey, Observed>,
    applied: &Circumstances,
) -> HashMap<TargetKey, Observed> {
    for (key, seen) in &mut observed {
        let reached = applied.hops.contains_key(&key.backend.ip());
        seen.health = match applied.health.get(key) {
            Some(Health::Healthy | Health::Unchecked) if !reached => Health::Checking,
            known => known.copied().unwrap_or(Health::Checking),
        };
    }
    observed
}

/// What is to be checked.
fn targets(config: &Config) -> Vec<Target> {
    let mut targets = Vec::new();
    for instance in &config.instances {
        for listener in &instance.listeners {
            targets.extend(listener.backends.iter().map(|backend| Target {
                key: target_key(instance, listener, backend),
                check: listener.health_check.clone(),
            }));
        }
    }
    targets
}

/// The name of a target.
pub(super) fn target_key(instance: &Instance, listener: &Listener, backend: &Backend) -> TargetKey {
    TargetKey {
        instance: instance.name.clone(),
        protocol: listener.protocol,
        port: listener.port,
        backend: backend.endpoint(),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::SystemTime};

    use super::*;
    use crate::{
        config::model::Protocol,
        health::{BackendHealth, Thresholds},
    };

    #[test]
    fn a_backend_that_the_kernel_does_not_send_to_yet_is_not_told_to_be_healthy() {
        let key = |host: u8| TargetKey {
            instance: "shop".to_owned(),
            protocol: Protocol::Tcp,
            port: 80,
            backend: SocketAddr::from(([10, 0, 1, host], 8080)),
        };
        let seen = |health| {
            let thresholds = Thresholds { healthy: 2, unhealthy: 2 };
            let known = BackendHealth::resumed(health, thresholds, SystemTime::UNIX_EPOCH);
            known.observed().clone()
        };
        use Health::{Checking, Healthy, Unhealthy};
        let mut applied = Circumstances::default();
        let mut observed = HashMap::new();
        let cases = [
            // By the last check, by what the kernel was told, with a next hop; told.
            (Healthy, Some(Healthy), true, Healthy),
            (Healthy, Some(Unhealthy), true, Unhealthy),
            (Unhealthy, Some(Healthy), true, Healthy),
            (Unhealthy, Some(Unhealthy), false, Unhealthy),
            (Healthy, Some(Healthy), false, Checking),
            (Healthy, None, true, Checking),
        ];
        for (host, (checked, known, reached, _)) in (1..).zip(cases) {
            observed.insert(key(host), seen(checked));
            applied.health.extend(known.map(|health| (key(host), health)));
            let hop = reached.then(|| (key(host).backend.ip(), NextHop::default()));
            applied.hops.extend(hop);
        }
        let told = in_use(observed, &applied);
        for (host, (.., expected)) in (1..).zip(cases) {
            assert_eq!(told[&key(host)].health, expected, "case {host}");
        }
    }
}

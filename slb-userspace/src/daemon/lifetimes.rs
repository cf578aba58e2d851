//! What ends connections that would go on: deadlines of what drains, and backends that have
//! failed where the listener wants their connections reset. Both are looked at after every change
//! and in every sweep, so that nothing depends on having seen the change itself.

use std::{
    collections::{BTreeSet, HashSet},
    net::SocketAddr,
    time::Duration,
};

use slb_common::connection::{Control, state};

use super::state::State;
use crate::{
    bpf::Error,
    config::model::{Listener, OnBackendDown, Protocol},
    drains::{Quiet, Why, now_ms},
    health::Health,
    plan::desired::DesiredService,
};

/// How long connections of a listener drain that no configuration names any more and this daemon
/// has never known.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(300);

impl State {
    /// Takes note of what drains now.
    pub(super) fn follow_drains(&mut self) {
        for (id, service) in &self.reconciler.services {
            if let Some((_, listener)) = listener_of(&self.config.instances, service) {
                self.drain_timeouts.insert(*id, listener.drain_timeout);
            }
        }
        let quiet = self.quiet();
        if self.drains.follow(&quiet, now_ms()) {
            self.keep_drains();
        }
    }

    /// Lets backend slots that weigh nothing drain, with a deadline.
    pub(super) fn order_drain(&mut self, slots: &[u32], timeout: Duration) {
        for slot in slots {
            if let Some(applied) = self.reconciler.applied.backends.get(slot) {
                let generation = applied.backend.generation;
                let one = Quiet { slot: *slot, generation, timeout, why: Why::Weightless };
                self.drains.order(&one, now_ms());
            }
        }
        self.keep_drains();
    }

    fn keep_drains(&self) {
        if let Err(error) = self.drains.write(&self.configured.daemon.state_dir) {
            tracing::error!("deadlines of what drains are not on disk: {error}");
        }
    }

    /// Every slot that takes no new connections for a reason that may let it drain.
    fn quiet(&self) -> Vec<Quiet> {
        let mut wanted: HashSet<(u16, SocketAddr)> = HashSet::new();
        let mut weightless: HashSet<(u16, SocketAddr)> = HashSet::new();
        for (id, service) in &self.reconciler.services {
            let stopped = listener_of(&self.config.instances, service)
                .is_some_and(|(enabled, listener)| !enabled || !listener.enabled);
            for backend in service.backends.iter().filter(|_| !stopped) {
                let set = if backend.weight == 0 { &mut weightless } else { &mut wanted };
                set.insert((*id, backend.endpoint));
            }
        }
        let mut quiet = Vec::new();
        for (slot, applied) in &self.reconciler.applied.backends {
            let key = (applied.backend.service, applied.endpoint);
            if wanted.contains(&key) {
                continue;
            }
            let why = if weightless.contains(&key) { Why::Weightless } else { Why::Leaving };
            let timeout = self.drain_timeouts.get(&key.0).copied().unwrap_or(DRAIN_TIMEOUT);
            let generation = applied.backend.generation;
            quiet.push(Quiet { slot: *slot, generation, timeout, why });
        }
        quiet
    }

    /// From now to the next deadline.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.drains.next(now_ms())
    }

    /// Ends what is left where the deadline is over.
    pub(super) fn end_drained(&mut self) {
        let due = self.drains.due(now_ms());
        match self.cut(&due, |_| true) {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "the drain deadline has ended connections"),
            Err(error) => tracing::error!("connections outlive their drain deadline: {error}"),
        }
    }

    /// Resets established connections of failed backends, where the listener says so.
    pub(super) fn reset_failed(&mut self) {
        let mut failed = BTreeSet::new();
        for (id, service) in &self.reconciler.services {
            let resets = listener_of(&self.config.instances, service)
                .is_some_and(|(_, listener)| listener.on_backend_down == OnBackendDown::Reset);
            if service.protocol != Protocol::Tcp || !resets {
                continue;
            }
            let down = |endpoint| {
                service.backends.iter().any(|backend| {
                    backend.endpoint == endpoint && backend.health == Health::Unhealthy
                })
            };
            let slots = self.reconciler.applied.slots(*id);
            failed.extend(slots.filter(|(_, slot)| down(slot.endpoint)).map(|(slot, _)| slot));
        }
        let open = |control: Control| matches!(control.state(), state::ESTABLISHED | state::FIN);
        match self.cut(&failed, open) {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "connections of failed backends were reset"),
            Err(error) => {
                tracing::error!("connections of failed backends could not be reset: {error}");
            }
        }
    }

    /// Ends entries of backend slots and tells both ends; returns how many.
    pub(super) fn cut(
        &mut self,
        slots: &BTreeSet<u32>,
        doomed: impl Fn(Control) -> bool,
    ) -> Result<u64, Error> {
        let cut = self.reconciler.cut(slots, doomed)?;
        self.resets.send(cut.resets);
        Ok(cut.ended)
    }
}

/// The listener of a service, and whether its instance is enabled.
fn listener_of<'c>(
    instances: &'c [crate::config::model::Instance],
    service: &DesiredService,
) -> Option<(bool, &'c Listener)> {
    let instance = instances.iter().find(|instance| instance.name == service.instance)?;
    let mut listeners = instance.listeners.iter();
    let own = |one: &&Listener| one.protocol == service.protocol && one.port == service.port;
    listeners.find(own).map(|listener| (instance.enabled, listener))
}

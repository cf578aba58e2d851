//! From a configuration to a running data plane, and back to none.

use std::path::Path;

use anyhow::Context;
use tokio::sync::mpsc;

use super::state::{State, last_known};
use crate::{
    api::InterfaceStatus,
    bpf::{
        self, Sizes, attach,
        load::{Object, Origin},
        pins::Pins,
    },
    config::model::{Config, XdpMode},
    health::{Change, Checker},
    network::{
        ClientHopChange, HopChange, Resolver,
        links::{LinkTable, XdpPlace},
        vips,
    },
    overlay::Overlay,
    plan::desired::Circumstances,
    reconciler::Reconciler,
};

/// Where those who know something send it.
pub(super) struct Senders {
    pub(super) health: mpsc::Sender<Change>,
    pub(super) hops: mpsc::Sender<HopChange>,
    pub(super) client_hop_sender: mpsc::Sender<ClientHopChange>,
}

/// Loads or adopts the data plane and starts what watches the world.
pub(super) async fn state(
    file: &Path,
    mut configured: Config,
    interfaces_given: Vec<String>,
    senders: Senders,
) -> anyhow::Result<State> {
    if !interfaces_given.is_empty() {
        configured.dataplane.interfaces.clone_from(&interfaces_given);
    }
    let pins = Pins::new(&configured.dataplane.pin_dir);
    let mut object = Object::load_pinned(Sizes::of(&configured.dataplane), &pins)?;
    bpf::log::follow(&mut object);
    let origin = object.origin;
    let mut reconciler = Reconciler::new(object)?;
    let mut overlay = Overlay::read(&configured.daemon.state_dir).with_context(|| {
        format!(
            "{}: remove the file to start without what was changed by command",
            configured.daemon.state_dir.join(crate::overlay::FILE).display()
        )
    })?;
    overlay.reconcile(&configured);
    let config = overlay.applied_to(&configured);

    let mut checker = Checker::new(senders.health);
    let mut circumstances = Circumstances::default();
    if origin == Origin::Adopted {
        let health = last_known(&config, &reconciler);
        checker.resume(health.clone());
        circumstances.health = health;
        let backends = reconciler.applied.backends.values();
        circumstances.hops = backends
            .filter(|backend| backend.backend.hop.usable())
            .map(|backend| (backend.endpoint.ip(), backend.backend.hop))
            .collect();
        tracing::info!(
            backends = circumstances.hops.len(),
            "adopted the data plane of an earlier daemon"
        );
    }
    let resolver = Resolver::start(senders.hops, senders.client_hop_sender)?;
    reconciler
        .apply(crate::plan::desired::desired(&config, &circumstances))
        .context("the first plan")?;
    for interface in &configured.dataplane.interfaces {
        let mode = configured.dataplane.xdp_mode;
        attach::attach(reconciler.object().program("slb")?, interface, mode, &pins)?;
    }
    detach_others(&pins, &configured)?;
    let (interfaces, xdp_mode) = attached(&configured).await?;
    let mut state = State {
        file: file.to_owned(),
        interfaces_given,
        configured,
        overlay,
        config,
        circumstances,
        reconciler,
        checker,
        resolver,
        interfaces,
        xdp_mode,
    };
    state.follow_config().await;
    Ok(state)
}

/// Takes XDP off interfaces that are no longer configured.
fn detach_others(pins: &Pins, config: &Config) -> anyhow::Result<()> {
    for interface in pins.linked()? {
        if !config.dataplane.interfaces.contains(&interface) {
            pins.remove(&pins.link(&interface))?;
            tracing::info!(interface, "detached: no longer configured");
        }
    }
    Ok(())
}

/// How XDP runs on each interface.
async fn attached(config: &Config) -> anyhow::Result<(Vec<InterfaceStatus>, XdpMode)> {
    let links = LinkTable::read(&crate::network::connect()?).await?;
    let mut mode = XdpMode::Native;
    let interfaces = config
        .dataplane
        .interfaces
        .iter()
        .map(|name| {
            let programs = links.by_name(name).map_or(&[][..], |link| &link.xdp);
            if programs.iter().any(|program| program.place == XdpPlace::Stack) {
                tracing::warn!(interface = name, "XDP runs in generic mode: slow");
                mode = XdpMode::Generic;
            }
            InterfaceStatus { name: name.clone(), attached: !programs.is_empty(), problem: None }
        })
        .collect();
    Ok((interfaces, mode))
}

/// Ends the data plane: detaches XDP, removes maps and VIPs. All its connections end.
///
/// # Errors
/// A pin or VIP that cannot be removed.
pub async fn detach(config: &Config) -> anyhow::Result<Vec<String>> {
    let interfaces = Pins::new(&config.dataplane.pin_dir).remove_all()?;
    let changes = vips::remove_all().await?;
    let detached = interfaces.into_iter().map(|name| format!("XDP detached from {name}"));
    let removed = changes
        .into_iter()
        .map(|change| format!("VIP {} removed from {}", change.address, change.interface));
    Ok(detached.chain(removed).collect())
}

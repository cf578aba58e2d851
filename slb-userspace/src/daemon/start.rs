//! From a configuration to a running data plane, and back to none.

use std::{
    collections::{BTreeSet, HashMap},
    os::unix::net::UnixStream,
    path::Path,
};

use anyhow::Context;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    floods, host,
    known::{last_hops, last_known},
    state::State,
    tunnels,
};
use crate::{
    blackholes::Blackholes,
    bpf::{
        self, Sizes, attach,
        load::{Object, Origin},
        pins::Pins,
    },
    config::model::{Config, XdpMode},
    drains::{Drains, now_ms},
    health::{Change, Checker},
    network::{ClientHopChange, HopChange, Resolver, links::LinkTable, neighbours, vips},
    overlay::Overlay,
    plan::{
        desired::{Circumstances, desired},
        slow_start::Ramps,
    },
    reconciler::Reconciler,
    resets,
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
    pins.prepare()?;
    let lock = pins.lock()?;
    let mut object = Object::load_pinned(Sizes::of(&configured.dataplane), &pins)?;
    bpf::log::follow(&mut object);
    let origin = object.origin;
    let start = Start { file, configured, interfaces_given, senders, lock };
    let state = start.on(object, &pins).await;
    if state.is_err() && origin == Origin::Created {
        // Nothing ran before: nothing may run, half attached, without a daemon.
        pins.remove_all()?;
    }
    state
}

/// What a start begins with.
struct Start<'a> {
    file: &'a Path,
    configured: Config,
    interfaces_given: Vec<String>,
    senders: Senders,
    lock: std::fs::File,
}

impl Start<'_> {
    /// Brings a loaded object to run what is configured.
    async fn on(self, object: Object, pins: &Pins) -> anyhow::Result<State> {
        let Self { file, configured, interfaces_given, senders, lock } = self;
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
        let links = host::links().await?;
        let own_interfaces = host::own_interfaces(&configured, &links);
        let mut circumstances = Circumstances::default();
        if origin == Origin::Adopted {
            let health = last_known(&config, &reconciler.applied);
            checker.resume(health.clone());
            circumstances.health = health;
            circumstances.hops = last_hops(&reconciler.applied);
            circumstances.hops.retain(|_, hop| own_interfaces.contains(&hop.interface));
            tracing::info!(
                backends = circumstances.hops.len(),
                "adopted the data plane of an earlier daemon"
            );
        }
        let drains = Drains::read(&configured.daemon.state_dir, now_ms())
            .context("deadlines of what drains, drains.json in daemon.state_dir")?;
        let resets = resets::Sender::start().context("the socket for resets")?;
        let tunnel_sources = tunnels::sources(&config, &links).await?;
        circumstances.tunnels = tunnels::families(&tunnel_sources);
        reconciler.set_tunnel_sources(tunnel_sources);
        let resolver = Resolver::start(senders.hops, senders.client_hop_sender)?;
        // Before any service that needs them.
        let locals = reconciler.set_locals(&configured.dataplane.local_addresses);
        let secret = floods::secret(&configured, reconciler.kernel())?;
        floods::renew_keys(&secret, reconciler.kernel());
        let desired = desired(&config, &circumstances);
        let ramps = Ramps::standing(&desired);
        reconciler.apply(desired, &circumstances.hops).context("the first plan")?;
        let stages = reconciler.object().pin_stages(pins)?;
        let told = host::tell(&mut reconciler, &config, &links).await;
        attach_all(&mut reconciler, &configured, &links, pins, &told)?;
        forget_stages(pins, &stages)?;
        detach_others(pins, &configured)?;
        let (interfaces, xdp_mode) = host::attached(&configured, &host::links().await?);
        if xdp_mode == XdpMode::Generic {
            tracing::warn!("XDP runs in generic mode on an interface or more: slow");
        }
        let mut state = State {
            file: file.to_owned(),
            interfaces_given,
            configured,
            overlay,
            config,
            hops: circumstances.hops.clone(),
            circumstances,
            own_interfaces,
            ramps,
            locals,
            reconciler,
            blackholes: Blackholes::default(),
            secret,
            flooded: BTreeSet::new(),
            drains,
            drain_timeouts: HashMap::new(),
            resets,
            checker,
            resolver,
            interfaces,
            xdp_mode,
            host_problems: Vec::new(),
            _lock: lock,
        };
        state.follow_drains();
        state.follow_config().await;
        Ok(state)
    }
}

/// Attaches XDP to every configured interface, once the program knows all it needs.
fn attach_all(
    reconciler: &mut Reconciler,
    config: &Config,
    links: &LinkTable,
    pins: &Pins,
    _told: &host::Told,
) -> Result<(), bpf::Error> {
    let mode = config.dataplane.xdp_mode;
    config.dataplane.interfaces.iter().try_for_each(|name| {
        let interface = host::interface(links, name);
        attach::attach(reconciler.object().program("slb")?, interface, mode, pins)
    })
}

/// Takes away the programs that an earlier daemon's program handed packets over to. A packet that
/// is on its way through them right now has milliseconds to end.
fn forget_stages(pins: &Pins, own: &Path) -> Result<(), bpf::Error> {
    let former: Vec<_> = pins.stages()?.into_iter().filter(|path| path != own).collect();
    if !former.is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    former.iter().try_for_each(|path| pins.remove(path))
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

/// Waits until XDP runs on none of these interfaces: the kernel ends a link a moment after its pin
/// is gone. What runs on after that is somebody else's.
async fn links_gone(interfaces: &[String]) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < attach::LINK_ENDS {
        let links = host::links().await?;
        if interfaces.iter().all(|name| host::interface(&links, name).running.is_none()) {
            break;
        }
        sleep(attach::LINK_ENDS / 100).await;
    }
    Ok(())
}

/// Ends the data plane: detaches XDP, removes maps and VIPs, lets neighbours go. All its
/// connections end. Returns what was done, in sentences.
///
/// # Errors
/// A daemon runs, or something cannot be removed.
pub async fn detach(config: &Config) -> anyhow::Result<Vec<String>> {
    let pins = Pins::new(&config.dataplane.pin_dir);
    let directory = pins.directory();
    let mut done = Vec::new();
    let socket = &config.daemon.socket;
    if UnixStream::connect(socket).is_ok() {
        anyhow::bail!(
            "slbd runs (answers on {}): stop it first, or its connections would end under it\n\
             hint: `systemctl stop slbd`, then `slbd --detach` again",
            socket.display()
        );
    }
    if directory.exists() {
        let _lock = pins.lock()?;
        let interfaces = pins.remove_all()?;
        links_gone(&interfaces).await?;
        done.extend(interfaces.into_iter().map(|name| format!("XDP detached from {name}")));
        done.push(format!("maps removed from {}", directory.display()));
    }
    let removed = vips::remove_all().await?.into_iter();
    done.extend(
        removed.map(|change| format!("VIP {} removed from {}", change.address, change.interface)),
    );
    let released = neighbours::release_all().await?;
    if released > 0 {
        done.push(format!("backends' neighbour entries let go: {released}"));
    }
    if done.is_empty() {
        done.push("nothing to detach".to_owned());
    }
    Ok(done)
}

//! The daemon: one loop that owns the state, decides one change after the other, and brings the
//! kernel along by the reconciler. Everything else (checks, netlink, the API) sends it messages.

mod blackholes;
mod changes;
mod differences;
mod floods;
mod host;
mod known;
mod lifetimes;
mod start;
mod state;
mod tunnels;

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};

pub use self::start::detach;
use self::state::State;
use crate::{
    api::{Command, server::Server},
    config::model::Config,
    expiry,
    health::Change,
    network::{ClientHopChange, HopChange},
    plan::slow_start,
};

/// Messages that may wait for the loop.
const QUEUE: usize = 1024;

/// What the loop listens to.
struct Inbox {
    commands: mpsc::Receiver<Command>,
    health: mpsc::Receiver<Change>,
    hops: mpsc::Receiver<HopChange>,
    client_hops: mpsc::Receiver<ClientHopChange>,
}

/// Runs until a signal ends it; the data plane goes on without it. `interfaces_given` take the
/// place of the file's.
///
/// # Errors
/// The socket, the eBPF objects or the interfaces are not to be had.
pub async fn run(
    file: &Path,
    config: Config,
    interfaces_given: Vec<String>,
) -> anyhow::Result<ExitCode> {
    let server = Server::bind(&config.daemon.socket).await.context("the API's socket")?;
    let (command_sender, commands) = mpsc::channel(QUEUE);
    let (health_sender, health) = mpsc::channel(QUEUE);
    let (hop_sender, hops) = mpsc::channel(QUEUE);
    let (client_hop_sender, client_hops) = mpsc::channel(QUEUE);
    let senders = start::Senders { health: health_sender, hops: hop_sender, client_hop_sender };
    let mut state = start::state(file, config, interfaces_given, senders).await?;
    let mut inbox = Inbox { commands, health, hops, client_hops };

    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { stopped.await.unwrap_or_default() };
    let serving = tokio::spawn(server.run(command_sender, shutdown));
    sd_notify::notify(&[sd_notify::NotifyState::Ready]).unwrap_or_default();
    tracing::info!("ready");

    let outcome = listen(&mut state, &mut inbox).await;
    sd_notify::notify(&[sd_notify::NotifyState::Stopping]).unwrap_or_default();
    drop(stop);
    // Commands that still come while requests end are answered as "stopping".
    drop(inbox);
    serving.await.context("the API's task")?;
    outcome?;
    tracing::info!("stopped; the data plane goes on (`slbd --detach` ends it)");
    Ok(ExitCode::SUCCESS)
}

/// The loop.
async fn listen(state: &mut State, inbox: &mut Inbox) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut sweep = tokio::time::interval(expiry::INTERVAL);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut host = tokio::time::interval(host::INTERVAL);
    host.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut holes = tokio::time::interval(crate::blackholes::INTERVAL);
    holes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ramp = tokio::time::interval(slow_start::STEP);
    ramp.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let deadline = state.next_deadline();
        tokio::select! {
            Some(change) = inbox.health.recv() => {
                state.note_health(&change);
                while let Ok(change) = inbox.health.try_recv() {
                    state.note_health(&change);
                }
                state.reconcile_or_log();
                state.reset_failed();
            }
            Some(change) = inbox.hops.recv() => {
                state.note_hop(change);
                while let Ok(change) = inbox.hops.try_recv() {
                    state.note_hop(change);
                }
                state.reconcile_or_log();
            }
            Some(change) = inbox.client_hops.recv() => {
                let mut moved = change == ClientHopChange::RoutesChanged;
                state.note_client_hop(change);
                while let Ok(change) = inbox.client_hops.try_recv() {
                    moved |= change == ClientHopChange::RoutesChanged;
                    state.note_client_hop(change);
                }
                if moved {
                    state.follow_host().await;
                }
            }
            _ = host.tick() => {
                state.follow_host().await;
            }
            Some(command) = inbox.commands.recv() => changes::answer(state, command).await,
            _ = tokio::time::sleep(deadline.unwrap_or_default()), if deadline.is_some() => {
                state.end_drained();
            }
            _ = sweep.tick() => state.sweep().await,
            _ = holes.tick() => {
                state.look_for_blackholes();
                state.renew_cookie_keys();
                state.look_for_floods();
            }
            _ = ramp.tick(), if state.ramps.ramping() => state.reconcile_or_log(),
            _ = hangup.recv() => match changes::reload(state).await {
                Ok(report) => tracing::info!(changes = report.changes.len(), "reloaded"),
                Err(error) => tracing::error!(hint = error.hint, "reload refused: {error}"),
            },
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

//! Ctrl-C, SIGTERM and SIGHUP: clean up, then leave.

use std::{
    fmt, process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use slb_tests::lab::leftovers;
use tokio::signal::unix::{SignalKind, signal};

/// 128 + SIGINT, as shells count.
pub(crate) const EXIT_CODE: u8 = 130;

/// How long the story may take to reach its next step before the lab is taken from under it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The story was broken off from outside.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Knows whether a signal has come.
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts watching; `lab` is removed when the story does not end by itself.
    pub(crate) fn watch(lab: &str) -> Result<Self> {
        let came = Arc::new(AtomicBool::new(false));
        let (flag, lab) = (Arc::clone(&came), lab.to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Handlers, unlike a blocked mask, are not inherited by the daemon.
        let (mut interrupt, mut terminate, mut hangup) = {
            let _inside = runtime.enter();
            let listen = |kind| signal(kind).context("watch for signals");
            (
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            )
        };
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
            });
            flag.store(true, Ordering::Relaxed);
            eprintln!("\ninterrupted, cleaning up");
            thread::sleep(PATIENCE);
            leftovers::remove(&lab);
            process::exit(EXIT_CODE.into());
        });
        Ok(Self(came))
    }

    /// Fails with [`Interrupted`] when a signal has come.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Interrupted.into()) } else { Ok(()) }
    }
}

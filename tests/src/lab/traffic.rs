//! Traffic that runs in the background while a test reloads, kills or detaches something.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    Answers, Load, Namespace, Question,
    clients::{Progress, run_load},
};

/// Requests without end, until stopped or dropped.
#[derive(Debug)]
pub struct Traffic {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<Result<Answers>>>,
}

impl Traffic {
    /// Starts `workers` that ask, each resting `pause` after an answer.
    pub fn start(
        client: &Namespace,
        target: SocketAddr,
        question: Question,
        workers: usize,
        pause: Duration,
    ) -> Self {
        let progress = Arc::<Progress>::default();
        let endless = Load { errors: u64::MAX, ..Load::concurrent(u64::MAX, workers) };
        let load = endless.pause(pause);
        let (client, shared) = (client.clone(), Arc::clone(&progress));
        let thread = thread::spawn(move || {
            client.enter()?;
            run_load(target, question, load, &shared)
        });
        Self { progress, thread: Some(thread) }
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.progress.answered.load(Ordering::Relaxed)
    }

    /// Waits until `more` requests have been answered from now on; an error after `limit`.
    pub fn wait_for_answers(&self, more: u64, limit: Duration) -> Result<()> {
        let (begun, wanted) = (Instant::now(), self.answered() + more);
        while self.answered() < wanted {
            if begun.elapsed() > limit {
                bail!("{} of {more} answers within {limit:?}", more - (wanted - self.answered()));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets the requests under way end and returns what all of them got.
    pub fn stop(mut self) -> Result<Answers> {
        self.progress.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("traffic runs until it is stopped")?;
        thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.progress.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

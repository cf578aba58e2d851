//! What clients got: who answered how often, what failed when, and how long it took.

use std::{collections::BTreeMap, fmt, time::Instant};

use hdrhistogram::Histogram;

/// A request that got no answer.
#[derive(Clone, Debug)]
pub struct ClientError {
    /// When the request was begun.
    pub begun: Instant,
    /// When the client knew.
    pub at: Instant,
    /// The backend that had answered earlier on the same connection.
    pub owner: Option<String>,
    /// What it was doing and what came, in words.
    pub text: String,
}

/// The result of a load.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Answers by the backend's name.
    pub by_backend: BTreeMap<String, u64>,
    /// Failures, oldest first.
    pub errors: Vec<ClientError>,
    /// Microseconds from the first packet (of the handshake, on a new connection) to the whole
    /// answer, of answered requests.
    pub latency_us: Histogram<u64>,
    /// Connections begun and UDP flows that a backend got: what a balancer calls connections. A
    /// flow that another backend goes on with is another one.
    pub opened: u64,
}

impl Default for Answers {
    fn default() -> Self {
        // One microsecond to one minute; the bounds are legal for two digits.
        let latency_us = Histogram::new_with_bounds(1, 60_000_000, 2).expect("legal bounds");
        Self { by_backend: BTreeMap::new(), errors: Vec::new(), latency_us, opened: 0 }
    }
}

impl Answers {
    /// Requests that were answered.
    pub fn answered(&self) -> u64 {
        self.by_backend.values().sum()
    }

    /// Answers of one backend.
    pub fn of(&self, backend: &str) -> u64 {
        self.by_backend.get(backend).copied().unwrap_or(0)
    }

    /// Failures known after an instant.
    pub fn errors_after(&self, instant: Instant) -> usize {
        self.errors.iter().filter(|error| error.at > instant).count()
    }

    /// Failures by their text.
    pub fn error_counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for error in &self.errors {
            *counts.entry(error.text.as_str()).or_default() += 1;
        }
        counts
    }

    pub(super) fn record(
        &mut self,
        begun: Instant,
        owner: Option<String>,
        result: Result<String, String>,
    ) {
        let now = Instant::now();
        match result {
            Ok(backend) => {
                *self.by_backend.entry(backend).or_default() += 1;
                let taken = now.duration_since(begun).as_micros();
                self.latency_us.saturating_record(u64::try_from(taken).unwrap_or(u64::MAX));
            }
            Err(text) => self.errors.push(ClientError { begun, at: now, owner, text }),
        }
    }

    /// Takes in what another load got.
    pub fn add(&mut self, other: Self) {
        for (backend, count) in other.by_backend {
            *self.by_backend.entry(backend).or_default() += count;
        }
        self.errors.extend(other.errors);
        self.errors.sort_by_key(|error| error.at);
        // Same bounds on both sides, so nothing is lost.
        self.latency_us += other.latency_us;
        self.opened += other.opened;
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers {:?}", self.answered(), self.by_backend)?;
        write!(f, ", median {} µs", self.latency_us.value_at_quantile(0.5))?;
        if self.errors.is_empty() {
            return write!(f, ", 0 errors");
        }
        write!(f, ", {} errors {:?}", self.errors.len(), self.error_counts())
    }
}

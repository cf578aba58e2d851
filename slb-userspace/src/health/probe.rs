//! One check, from its start to an outcome in words.

use std::{
    net::{IpAddr, SocketAddr},
    time::SystemTime,
};

use tokio::time::Instant;

use super::{
    fault::spoken,
    http,
    state::{CheckResult, Outcome},
    tcp,
};
use crate::config::model::{CheckKind, HealthCheck};

/// Whom to ask, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address and port that are asked.
    pub address: SocketAddr,
    /// An address of this host that the check comes from; the kernel's choice if absent.
    pub source: Option<IpAddr>,
}

/// What a backend said that is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The TCP handshake was completed by it.
    Connected,
    /// An HTTP status that the check wants.
    Status(u16),
}

/// Checks once. Ends at the latest when the check's timeout does.
pub async fn check_once(endpoint: Endpoint, check: &HealthCheck) -> Outcome {
    let start = Instant::now();
    let answer = match &check.kind {
        CheckKind::Tcp => tcp::probe(endpoint, check.timeout).await,
        // Boxed, as an HTTP exchange is large and thousands of targets are mostly asleep.
        CheckKind::Http(request) => Box::pin(http::probe(endpoint, request, check.timeout)).await,
    };
    let took = start.elapsed();
    let (result, reason) = match answer {
        Ok(Answer::Connected) => (CheckResult::Success, format!("connected in {}", spoken(took))),
        Ok(Answer::Status(status)) => {
            (CheckResult::Success, format!("HTTP {status} in {}", spoken(took)))
        }
        Err(fault) => (fault.result(), fault.to_string()),
    };
    Outcome { result, reason, took, at: SystemTime::now() }
}

//! How backends are checked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the backends of a listener are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: CheckKind,
    /// From the start of one check to the start of the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Successes in a row that make an unhealthy backend healthy.
    pub healthy: u32,
    /// Failures in a row that make a healthy backend unhealthy.
    pub unhealthy: u32,
    /// Port to ask; the backend's own if absent.
    pub port: Option<u16>,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A TCP handshake.
    Tcp,
    /// An HTTP request.
    Http(HttpCheck),
}

/// The request of an HTTP health check and what it wants back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// `GET` or `HEAD`.
    pub method: HttpMethod,
    /// Path with query.
    pub path: String,
    /// `Host` header; empty: the backend's address.
    pub domain: String,
    /// Status classes that are healthy, e.g. 2 for 2xx; sorted, none twice.
    pub codes: Vec<u16>,
}

/// Method of an HTTP health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// The whole answer; the default for tcp and udp listeners.
    Get,
    /// Headers only.
    Head,
}

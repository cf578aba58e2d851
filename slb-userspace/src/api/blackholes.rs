//! Blackholed VIPs as the API shows them, and which of them are meant.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// VIPs to which nothing is let through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlackholeList {
    /// By address.
    pub blackholes: Vec<BlackholeRow>,
}

/// A VIP to which nothing is let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlackholeRow {
    /// Which.
    pub vip: IpAddr,
    /// Whose.
    pub instance: String,
    /// Packets per second that came for it when it was blackholed; absent: an earlier daemon did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pps: Option<u64>,
    /// Bits per second, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bps: Option<u64>,
    /// Whole seconds until packets are let through again.
    pub ends_in_s: u64,
}

/// Let packets through to a VIP again before the time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlackholeRelease {
    /// Which; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<IpAddr>,
}

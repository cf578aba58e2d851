//! The daemon's state, as the API's JSON says it.
//!
//! The names of the fields are a promise to programs: fields may be added, none goes or changes its
//! meaning. What was added after the first version has a default, so that client and daemon may be
//! of different versions.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use super::ports::Ports;
use crate::config::model::{ForwardingMode, Protocol, Role, Scheduler, XdpMode};

/// Everything that `slb status` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The XDP program and its table.
    pub dataplane: DataplaneStatus,
    /// Load balancers, in file order.
    pub instances: Vec<InstanceStatus>,
}

/// The XDP program and the connection table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataplaneStatus {
    /// How it is attached; `auto` as long as it is attached nowhere.
    pub xdp_mode: XdpMode,
    /// The configured interfaces.
    pub interfaces: Vec<InterfaceStatus>,
    /// Entries in the table, both families.
    pub connections: u64,
    /// Live IPv4 connections that the table takes without refusing one.
    pub max_connections: u64,
    /// How many of the entries are IPv6.
    #[serde(default)]
    pub connections_v6: u64,
    /// Live IPv6 connections that the table takes without refusing one.
    #[serde(default)]
    pub max_connections_v6: u64,
}

/// An interface that the program should be attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Whether the program sees its packets.
    pub attached: bool,
    /// Why it is not attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its name.
    pub name: String,
    /// Its addresses, in file order.
    pub vips: Vec<IpAddr>,
    /// Name of its limits.
    pub specification: String,
    /// False: stopped.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// VIPs under a SYN flood: SYNs to them are answered by cookies or challenges. Left out if there
    /// are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flooded_vips: Vec<IpAddr>,
    /// Its listeners, in file order.
    pub listeners: Vec<ListenerStatus>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port or ports.
    pub port: Ports,
    /// How packets reach a backend.
    pub mode: ForwardingMode,
    /// How a new connection picks a backend.
    pub scheduler: Scheduler,
    /// False: stopped.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Over all VIPs and backends.
    #[serde(flatten)]
    pub counts: Counts,
    /// What its access list, limits and bandwidth have refused, by verdict; those that are 0 are
    /// left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
    /// What they would have refused if they were more than a shadow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub would_refuse: BTreeMap<String, u64>,
    /// Its backends, in file order.
    pub backends: Vec<BackendStatus>,
}

/// A backend of one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// 0–100.
    pub weight: u16,
    /// Whether it is used always or only without usable primaries.
    pub role: Role,
    /// What the health check knows, as far as the data plane goes by it already.
    pub health: Health,
    /// What the last check said, in words; empty before the first.
    pub health_reason: String,
    /// What the operator wants of it.
    pub admin: Admin,
    /// Seconds until what is left of its connections is reset; absent: there is no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_left_s: Option<u64>,
    /// Of this backend alone.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Gauges and counters of a listener or backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Entries that are established TCP or answered UDP.
    pub active_connections: u64,
    /// Entries in handshake or closing, and unanswered UDP.
    pub inactive_connections: u64,
    /// Connections opened so far.
    pub connections_total: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Bytes from clients: IP header and payload, without the link layer.
    pub bytes_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

/// What the health check knows about a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It answers as it should.
    Healthy,
    /// It does not.
    Unhealthy,
    /// No result yet, or packets do not find the way there: `health_reason` says why.
    Checking,
    /// Nobody asks.
    Unchecked,
}

/// What the operator wants of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// New connections.
    Active,
    /// No new connections: weight 0.
    Drained,
    /// No new connections: it goes when the last one has ended.
    Draining,
    /// Nothing: the listener is stopped.
    Stopped,
}

const fn enabled() -> bool {
    true
}

impl BackendStatus {
    /// Address and port as one.
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// True if it is healthy (or unchecked) with a weight above 0. Whether it gets new connections
    /// also depends on its role and its next hop.
    pub const fn is_ready(&self) -> bool {
        matches!(self.health, Health::Healthy | Health::Unchecked)
            && matches!(self.admin, Admin::Active)
    }
}

impl Health {
    /// The word of the JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Checking => "checking",
            Self::Unchecked => "unchecked",
        }
    }
}

impl Admin {
    /// The word of the JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Drained => "drained",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status that programs were promised, word for word.
    const PROMISED: &str = r#"{"dataplane": {"xdp_mode": "native", "interfaces": [{"name": "eth0", "attached": true}],
                   "connections": 0, "max_connections": 1000000},
     "instances": [{"name": "shop", "vips": ["10.0.0.100"], "specification": "slb.s2.medium",
       "listeners": [{"protocol": "tcp", "port": 80, "mode": "nat", "scheduler": "wrr",
         "active_connections": 0, "inactive_connections": 0, "connections_total": 0,
         "packets_in": 0, "bytes_in": 0, "packets_out": 0, "bytes_out": 0,
         "backends": [{"address": "10.0.1.11", "port": 8080, "weight": 100, "role": "primary",
           "health": "healthy", "health_reason": "HTTP 200 in 1 ms", "admin": "active",
           "active_connections": 0, "inactive_connections": 0, "connections_total": 0}]}]}]}"#;

    /// True if `whole` says everything that `part` says.
    fn holds(whole: &serde_json::Value, part: &serde_json::Value) -> bool {
        use serde_json::Value::{Array, Object};
        match (whole, part) {
            (Object(whole), Object(part)) => part
                .iter()
                .all(|(key, value)| whole.get(key).is_some_and(|other| holds(other, value))),
            (Array(whole), Array(part)) => {
                whole.len() == part.len() && whole.iter().zip(part).all(|(a, b)| holds(a, b))
            }
            _ => whole == part,
        }
    }

    #[test]
    fn every_promised_field_of_the_status_is_written_as_promised() {
        let promised: serde_json::Value = serde_json::from_str(PROMISED).unwrap();
        let status: Status = serde_json::from_str(PROMISED).unwrap();
        let written = serde_json::to_value(&status).unwrap();
        assert!(holds(&written, &promised), "{written:#}");
        assert_eq!(serde_json::from_value::<Status>(written).unwrap(), status);
    }

    #[test]
    fn words_for_people_are_the_words_of_the_json() {
        let health = [Health::Healthy, Health::Unhealthy, Health::Checking, Health::Unchecked];
        for one in health {
            assert_eq!(serde_json::to_value(one).unwrap(), one.word());
        }
        for one in [Admin::Active, Admin::Drained, Admin::Draining, Admin::Stopped] {
            assert_eq!(serde_json::to_value(one).unwrap(), one.word());
        }
    }
}

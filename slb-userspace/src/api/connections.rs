//! Entries of the connection table as the API shows them, and the filter that picks some.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use slb_common::connection::state;

use super::selector::{SelectorError, as_text};
use crate::config::model::Protocol;

/// Entries shown when the request does not say how many.
pub const DEFAULT_LIMIT: usize = 100;
/// Entries shown at most: an answer is built in memory.
pub const MAX_LIMIT: usize = 100_000;

/// What a filter found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionList {
    /// Entries that match, shown or not.
    pub matching: u64,
    /// The first of them, in the order of the table.
    pub connections: Vec<ConnectionEntry>,
}

/// A live entry of the connection table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionEntry {
    /// Who talks to whom, and how far they are.
    #[serde(flatten)]
    pub flow: Flow,
    /// Whole seconds since the last packet.
    pub idle_s: u64,
    /// Name of the instance.
    pub instance: String,
    /// Port of the listener.
    pub listener_port: u16,
}

/// What a filter looks at; to be built without allocating for every entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The client's endpoint.
    pub client: SocketAddr,
    /// The VIP's endpoint.
    pub vip: SocketAddr,
    /// The backend's endpoint.
    pub backend: SocketAddr,
    /// The local endpoint that the backend sees in its place: fullnat only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// State of the entry.
    pub state: ConnectionState,
}

/// State of a live entry, written by the name that people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConnectionState(u8);

/// Which entries to show: all that agree with every field that is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionFilter {
    /// TCP or UDP.
    pub protocol: Option<Protocol>,
    /// The client's address, with or without port.
    pub client: Option<EndpointMatch>,
    /// The VIP, with or without port.
    pub vip: Option<EndpointMatch>,
    /// The backend's address, with or without port.
    pub backend: Option<EndpointMatch>,
    /// State of the entry.
    pub state: Option<ConnectionState>,
    /// Entries to show at most; [`DEFAULT_LIMIT`] if absent, at most [`MAX_LIMIT`].
    pub limit: Option<usize>,
}

/// An address, with or without port: `10.0.0.1`, `10.0.0.1:80`, `fd00::1`, `[fd00::1]:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EndpointMatch {
    /// The address.
    pub address: IpAddr,
    /// The port, host byte order; absent: any.
    pub port: Option<u16>,
}

impl ConnectionState {
    /// Every state of a live entry.
    pub const ALL: [Self; 7] = [
        Self(state::SYN),
        Self(state::ESTABLISHED),
        Self(state::FIN),
        Self(state::TIME_WAIT),
        Self(state::CLOSED),
        Self(state::UDP_NEW),
        Self(state::UDP_SEEN),
    ];

    /// From the control word's number; nothing if no live entry has it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.0 == number)
    }

    /// The name that people read.
    pub const fn word(self) -> &'static str {
        state::name(self.0)
    }
}

impl ConnectionFilter {
    /// True if the entry is to be shown.
    pub fn matches(&self, flow: &Flow) -> bool {
        let at = |wanted: Option<EndpointMatch>, is| wanted.is_none_or(|one| one.matches(is));
        self.protocol.is_none_or(|protocol| protocol == flow.protocol)
            && self.state.is_none_or(|state| state == flow.state)
            && at(self.client, flow.client)
            && at(self.vip, flow.vip)
            && at(self.backend, flow.backend)
    }

    /// Entries to show at most.
    pub fn shown_at_most(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT)
    }
}

impl EndpointMatch {
    /// True if `endpoint` is meant.
    pub fn matches(&self, endpoint: SocketAddr) -> bool {
        self.address == endpoint.ip() && self.port.is_none_or(|port| port == endpoint.port())
    }
}

impl FromStr for ConnectionState {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let words = || Self::ALL.map(Self::word).join(", ");
        Self::ALL
            .into_iter()
            .find(|state| state.word() == text)
            .ok_or_else(|| SelectorError::new(format!("{text:?} is not one of {}", words())))
    }
}

impl FromStr for EndpointMatch {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if let Ok(endpoint) = text.parse::<SocketAddr>() {
            return Ok(Self { address: endpoint.ip(), port: Some(endpoint.port()) });
        }
        match text.parse() {
            Ok(address) => Ok(Self { address, port: None }),
            Err(_) => Err(SelectorError::new(format!(
                "{text:?} is neither ADDRESS nor ADDRESS:PORT; \
                 write e.g. 10.0.0.1, 10.0.0.1:80, fd00::1 or [fd00::1]:80"
            ))),
        }
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for EndpointMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

as_text!(ConnectionState, EndpointMatch);

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        Flow {
            protocol: Protocol::Tcp,
            client: "10.9.0.7:40001".parse().unwrap(),
            vip: "10.0.0.100:80".parse().unwrap(),
            backend: "10.0.1.11:8080".parse().unwrap(),
            local: None,
            state: "established".parse().unwrap(),
        }
    }

    fn filter(json: serde_json::Value) -> ConnectionFilter {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_empty_filter_matches_everything() {
        assert!(ConnectionFilter::default().matches(&flow()));
    }

    #[test]
    fn every_field_of_a_filter_lets_its_own_pass_and_keeps_others_out() {
        for (field, own, other) in [
            ("protocol", "tcp", "udp"),
            ("state", "established", "syn-received"),
            ("client", "10.9.0.7", "10.9.0.8"),
            ("client", "10.9.0.7:40001", "10.9.0.7:40002"),
            ("vip", "10.0.0.100", "fd00::100"),
            ("vip", "10.0.0.100:80", "10.0.0.100:8080"),
            ("backend", "10.0.1.11", "10.0.1.12"),
            ("backend", "10.0.1.11:8080", "10.0.1.11:80"),
        ] {
            assert!(filter(serde_json::json!({ field: own })).matches(&flow()), "{field} {own}");
            assert!(!filter(serde_json::json!({ field: other })).matches(&flow()), "{other}");
        }
    }

    #[test]
    fn all_fields_of_a_filter_must_agree() {
        let both = filter(serde_json::json!({ "protocol": "tcp", "client": "10.9.0.8" }));
        assert!(!both.matches(&flow()));
    }

    #[test]
    fn an_endpoint_is_an_address_with_or_without_port() {
        for text in ["10.0.0.1", "10.0.0.1:80", "fd00::1", "[fd00::1]:80"] {
            assert_eq!(text.parse::<EndpointMatch>().unwrap().to_string(), text);
        }
        let error = "web1".parse::<EndpointMatch>().unwrap_err().to_string();
        assert!(error.starts_with("\"web1\" is neither ADDRESS nor ADDRESS:PORT"), "{error}");
    }

    #[test]
    fn every_number_of_a_live_entry_has_a_state_and_no_other_has() {
        use slb_common::connection::Control;
        for number in 0..16 {
            let live = Control::new(0, 0, 0, number).live() && state::name(number) != "unknown";
            assert_eq!(ConnectionState::from_number(number).is_some(), live, "{number}");
        }
    }

    #[test]
    fn an_unknown_state_is_answered_with_the_known_ones() {
        let error = "open".parse::<ConnectionState>().unwrap_err().to_string();
        assert!(error.starts_with("\"open\" is not one of syn-received, established"), "{error}");
    }

    #[test]
    fn an_entry_is_one_flat_object() {
        let entry = ConnectionEntry {
            flow: flow(),
            idle_s: 3,
            instance: "shop".to_owned(),
            listener_port: 80,
        };
        let json = serde_json::json!({
            "protocol": "tcp", "client": "10.9.0.7:40001", "vip": "10.0.0.100:80",
            "backend": "10.0.1.11:8080", "state": "established", "idle_s": 3,
            "instance": "shop", "listener_port": 80,
        });
        assert_eq!(serde_json::to_value(&entry).unwrap(), json);
        assert_eq!(serde_json::from_value::<ConnectionEntry>(json).unwrap(), entry);
    }
}

//! Persistence templates as the API shows them, and which of them are meant.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    connections::{DEFAULT_LIMIT, MAX_LIMIT},
    error::{ApiError, ErrorKind},
    selector::{ListenerSelector, SelectorError, as_text},
};

/// What a filter found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateList {
    /// Templates that match, shown or not.
    pub matching: u64,
    /// Connections so far that found no room for a template, whatever the filter.
    pub without_template: u64,
    /// The first of them.
    pub templates: Vec<TemplateRow>,
}

/// A template: where new connections of a client go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRow {
    /// The client, or the clients that count as one.
    pub client: ClientMatch,
    /// Listeners that it holds for.
    pub listeners: Vec<ListenerSelector>,
    /// The backend; of several listeners that share, that of the one used last.
    pub backend: SocketAddr,
    /// Connections that keep it.
    pub connections: u32,
    /// Whole seconds until it is forgotten; absent while it has connections.
    pub expires_in_s: Option<u64>,
}

/// Which templates to show: all that agree with every field that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateFilter {
    /// Those of one listener.
    pub listener: Option<ListenerSelector>,
    /// Those of an address or prefix.
    pub client: Option<ClientMatch>,
    /// Templates to show at most; [`DEFAULT_LIMIT`] if absent, at most [`MAX_LIMIT`].
    pub limit: Option<usize>,
}

/// Which templates to flush.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateFlush {
    /// Those of one listener.
    pub listener: Option<ListenerSelector>,
    /// Those of an address or prefix.
    pub client: Option<ClientMatch>,
    /// True: all of them. It goes with nothing else.
    #[serde(default)]
    pub all: bool,
}

/// An address or a prefix: `10.0.0.1`, `10.0.0.0/24`, `fd00::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientMatch(pub IpNet);

impl ClientMatch {
    /// True if a template of these clients is meant: one of both holds the other.
    pub fn meets(&self, clients: &IpNet) -> bool {
        self.0.contains(clients) || clients.contains(&self.0)
    }
}

impl TemplateFilter {
    /// Templates to show at most.
    pub fn shown_at_most(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT)
    }
}

impl TemplateFlush {
    /// Which templates that are.
    ///
    /// # Errors
    /// It names none, or all and some.
    pub fn filter(&self) -> Result<TemplateFilter, ApiError> {
        let some = self.listener.is_some() || self.client.is_some();
        if some == self.all {
            let message = if some { "all and some are both named" } else { "nothing is named" };
            return Err(ApiError::new(ErrorKind::WrongRequest, message)
                .with_hint("name a listener, a client or both, or all"));
        }
        let TemplateFlush { listener, client, .. } = self.clone();
        Ok(TemplateFilter { listener, client, limit: None })
    }
}

impl FromStr for ClientMatch {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        match address.or_else(|_| text.parse::<IpNet>()) {
            Ok(clients) => Ok(Self(clients.trunc())),
            Err(_) => Err(SelectorError::new(format!(
                "{text:?} is neither an address nor a prefix; write e.g. 10.0.0.1 or fd00::/64"
            ))),
        }
    }
}

impl fmt::Display for ClientMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

as_text!(ClientMatch);

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientMatch {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_is_an_address_or_a_prefix() {
        for text in ["10.0.0.1", "10.0.0.0/24", "fd00::1", "fd00::/64"] {
            assert_eq!(client(text).to_string(), text);
        }
        assert_eq!(client("10.0.0.77/24").to_string(), "10.0.0.0/24");
        let error = "web1".parse::<ClientMatch>().unwrap_err().to_string();
        assert!(error.starts_with("\"web1\" is neither an address nor a prefix"), "{error}");
    }

    #[test]
    fn a_template_is_met_by_the_clients_in_it_and_by_what_holds_them() {
        let template = client("10.0.0.0/24").0;
        for meant in ["10.0.0.7", "10.0.0.0/24", "10.0.0.0/8", "10.0.0.128/25"] {
            assert!(client(meant).meets(&template), "{meant}");
        }
        for meant in ["10.0.1.7", "10.1.0.0/16", "fd00::/8", "::/0"] {
            assert!(!client(meant).meets(&template), "{meant}");
        }
    }

    #[test]
    fn what_is_flushed_is_named() {
        let flush = |json| serde_json::from_value::<TemplateFlush>(json).unwrap().filter();
        assert_eq!(flush(serde_json::json!({"all": true})), Ok(TemplateFilter::default()));
        let one = flush(serde_json::json!({"listener": "shop/tcp:80", "client": "10.0.0.7"}));
        assert_eq!(one.unwrap().client, Some(client("10.0.0.7")));
        for wrong in [
            serde_json::json!({}),
            serde_json::json!({"all": true, "client": "10.0.0.7"}),
            serde_json::json!({"all": true, "listener": "shop/tcp:80"}),
        ] {
            assert_eq!(flush(wrong).unwrap_err().kind, ErrorKind::WrongRequest);
        }
    }
}

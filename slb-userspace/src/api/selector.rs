//! How an operator names a listener and a backend: `shop/tcp:80` and `10.0.1.11:8080`.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::model::Protocol;

/// One listener: `INSTANCE/PROTOCOL:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListenerSelector {
    /// Name of the instance.
    pub instance: String,
    /// The listener's protocol.
    pub protocol: Protocol,
    /// The listener's port, host byte order.
    pub port: u16,
}

/// One backend of a listener: `ADDRESS:PORT`, IPv6 addresses in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackendSelector(pub SocketAddr);

/// A name that cannot be read, with the words to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SelectorError(String);

impl SelectorError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl FromStr for ListenerSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        const FORM: &str = "write INSTANCE/PROTOCOL:PORT, e.g. shop/tcp:80";
        let wrong = |why: String| Err(SelectorError(format!("{why}; {FORM}")));
        let Some((instance, service)) = text.split_once('/') else {
            return wrong(format!("{text:?} names no instance"));
        };
        if instance.is_empty() {
            return wrong(format!("{text:?} names no instance"));
        }
        let Some((word, port)) = service.split_once(':') else {
            return wrong(format!("{text:?} names no port"));
        };
        let Some((_, protocol)) = Protocol::WORDS.iter().find(|(known, _)| *known == word) else {
            return wrong(match word {
                "http" | "https" => format!("{word} listeners are not supported yet"),
                _ => format!("{word:?} is neither tcp nor udp"),
            });
        };
        match port.parse() {
            Ok(port) if port > 0 => {
                Ok(Self { instance: instance.to_owned(), protocol: *protocol, port })
            }
            _ => wrong(format!("{port:?} is not a port between 1 and 65535")),
        }
    }
}

impl FromStr for BackendSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if let Ok(endpoint) = text.parse::<SocketAddr>() {
            return match endpoint.port() {
                0 => Err(SelectorError(format!("{text:?} has port 0; write 1 to 65535"))),
                _ => Ok(Self(endpoint)),
            };
        }
        Err(SelectorError(why_no_endpoint(text)))
    }
}

/// What is wrong with a text that is no address with port.
fn why_no_endpoint(text: &str) -> String {
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        let example = SocketAddr::new(address, 8080);
        return format!("{text:?} names no port; write ADDRESS:PORT, e.g. {example}");
    }
    let Some((address, port)) = text.rsplit_once(':') else {
        return format!("{text:?} is not ADDRESS:PORT; write e.g. 10.0.1.11:8080");
    };
    if address.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return format!("{port:?} is not a port between 1 and 65535");
    }
    format!("{address:?} is not an IP address, names are not resolved; write e.g. 10.0.1.11:8080")
}

impl fmt::Display for ListenerSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.instance, self.protocol, self.port)
    }
}

impl fmt::Display for BackendSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// JSON carries a name as the text that the operator writes.
macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl TryFrom<String> for $type {
            type Error = SelectorError;

            fn try_from(text: String) -> Result<Self, SelectorError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(named: $type) -> Self {
                named.to_string()
            }
        }
    )+};
}
pub(super) use as_text;

as_text!(ListenerSelector, BackendSelector);

#[cfg(test)]
mod tests {
    use super::*;

    fn listener_error(text: &str) -> String {
        text.parse::<ListenerSelector>().unwrap_err().to_string()
    }

    fn backend_error(text: &str) -> String {
        text.parse::<BackendSelector>().unwrap_err().to_string()
    }

    #[test]
    fn a_listener_is_its_instance_protocol_and_port() {
        let selector: ListenerSelector = "shop-1.eu/udp:65535".parse().unwrap();
        assert_eq!(selector.instance, "shop-1.eu");
        assert_eq!(selector.protocol, Protocol::Udp);
        assert_eq!(selector.port, 65535);
        assert_eq!(selector.to_string(), "shop-1.eu/udp:65535");
    }

    #[test]
    fn a_listener_that_cannot_be_read_says_why_and_the_right_form() {
        for (text, why) in [
            ("", "\"\" names no instance"),
            ("shop", "\"shop\" names no instance"),
            ("/tcp:80", "\"/tcp:80\" names no instance"),
            ("tcp:80", "\"tcp:80\" names no instance"),
            ("shop/tcp", "\"shop/tcp\" names no port"),
            ("shop/sctp:80", "\"sctp\" is neither tcp nor udp"),
            ("shop/TCP:80", "\"TCP\" is neither tcp nor udp"),
            ("shop/https:443", "https listeners are not supported yet"),
            ("shop/tcp:0", "\"0\" is not a port between 1 and 65535"),
            ("shop/tcp:65536", "\"65536\" is not a port between 1 and 65535"),
            ("shop/tcp:http", "\"http\" is not a port between 1 and 65535"),
            ("shop/tcp:80/x", "\"80/x\" is not a port between 1 and 65535"),
        ] {
            let expected = format!("{why}; write INSTANCE/PROTOCOL:PORT, e.g. shop/tcp:80");
            assert_eq!(listener_error(text), expected, "{text}");
        }
    }

    #[test]
    fn a_backend_is_its_address_and_port_in_either_family() {
        for text in ["10.0.1.11:8080", "[fd01::11]:8080"] {
            let selector: BackendSelector = text.parse().unwrap();
            assert_eq!(selector.0, text.parse().unwrap());
            assert_eq!(selector.to_string(), text);
        }
    }

    #[test]
    fn a_backend_that_cannot_be_read_says_why() {
        for (text, why) in [
            ("10.0.1.11", "names no port; write ADDRESS:PORT, e.g. 10.0.1.11:8080"),
            ("[fd01::11]", "names no port; write ADDRESS:PORT, e.g. [fd01::11]:8080"),
            ("fd01::11", "names no port; write ADDRESS:PORT, e.g. [fd01::11]:8080"),
            ("10.0.1.11:0", "\"10.0.1.11:0\" has port 0; write 1 to 65535"),
            ("10.0.1.11:99999", "\"99999\" is not a port between 1 and 65535"),
            ("[fd01::11]:x", "\"x\" is not a port between 1 and 65535"),
            ("web1:80", "\"web1\" is not an IP address, names are not resolved"),
            ("10.0.1.300:80", "\"10.0.1.300\" is not an IP address"),
            ("web1", "\"web1\" is not ADDRESS:PORT"),
        ] {
            assert!(backend_error(text).contains(why), "{text}: {}", backend_error(text));
        }
    }

    #[test]
    fn in_json_a_selector_is_the_text_that_the_operator_writes() {
        let json = serde_json::json!("shop/tcp:80");
        let selector: ListenerSelector = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&selector).unwrap(), json);
        let error = serde_json::from_str::<BackendSelector>("\"10.0.1.11\"").unwrap_err();
        assert!(error.to_string().contains("names no port"), "{error}");
    }
}

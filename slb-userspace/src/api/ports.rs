//! A listener's port or ports as JSON has them: a number, or a text such as `8000-8100`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// First and last port of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Ports {
    /// The first one, which the listener is named by.
    pub first: u16,
    /// The last one; the same as the first unless it is a range.
    pub last: u16,
}

/// How it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    One(u16),
    Range(String),
}

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        Self { first: port, last: port }
    }
}

impl From<Ports> for Written {
    fn from(ports: Ports) -> Self {
        match ports.first == ports.last {
            true => Self::One(ports.first),
            false => Self::Range(ports.to_string()),
        }
    }
}

impl TryFrom<Written> for Ports {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let text = match written {
            Written::One(port) => return Ok(port.into()),
            Written::Range(text) => text,
        };
        let ports = text.split_once('-').and_then(|(first, last)| {
            Some(Self { first: first.parse().ok()?, last: last.parse().ok()? })
        });
        ports.ok_or_else(|| format!("{text:?} is no range of ports"))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_is_a_number_and_a_range_a_text() {
        for (ports, json) in [
            (Ports::from(80), serde_json::json!(80)),
            (Ports { first: 8000, last: 8100 }, serde_json::json!("8000-8100")),
        ] {
            assert_eq!(serde_json::to_value(ports).unwrap(), json);
            assert_eq!(serde_json::from_value::<Ports>(json).unwrap(), ports);
        }
        assert!(serde_json::from_str::<Ports>("\"8000\"").is_err());
    }
}

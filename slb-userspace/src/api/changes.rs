//! What a change has done, as the API's JSON says it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Diagnostic;

/// What a reload or a command has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReport {
    /// One sentence per change, in the order of doing; empty: all was so already.
    pub changes: Vec<String>,
    /// What the operator should know.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// Something that is accepted but may surprise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Place in a configuration file as `FILE:LINE:COLUMN`; absent if no file is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What is surprising.
    pub message: String,
    /// What would be better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<&Diagnostic> for Warning {
    fn from(found: &Diagnostic) -> Self {
        let place = found.position.map_or_else(
            || found.file.clone(),
            |at| format!("{}:{}:{}", found.file, at.line, at.column),
        );
        Self { place: Some(place), message: found.message.clone(), hint: found.hint.clone() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "warning: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_of_the_configuration_keeps_its_place() {
        let text = "[dataplane]\ninterfaces = [\"eth0\"]\n\
            [[instance]]\nname = \"shop\"\nvips = [\"10.0.0.100\"]\n\
            [[instance.listener]]\nprotocol = \"tcp\"\nport = 21\n\
            backends = [{ address = \"10.0.1.11\", port = 8080 }]\n";
        let checked = crate::config::load_str("slb.toml", text).unwrap();
        let warning = Warning::from(&checked.warnings[0]);
        assert_eq!(warning.place.as_deref(), Some("slb.toml:8:8"));
        assert!(warning.to_string().starts_with("slb.toml:8:8: warning: port 21"), "{warning}");
    }
}

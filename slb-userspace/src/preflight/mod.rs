//! Whether this machine can run the balancer as configured: read before anything is attached.
//!
//! Every check reads one thing of the real system and hands it to a pure function that decides.
//! A [`Finding`] tells what was looked at, what was read, and the command that mends it.

mod ethtool;
mod interface;
mod kernel;
mod memory;
mod netdev;
mod netlink;
mod owner;
mod report;
mod sysctl;

use serde::Serialize;

pub use self::report::{exit_code, json, text};
use crate::config::{Config, model::XdpMode};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It will run, but worse than the operator may think.
    Warning,
    /// It will not run, or not do what it is for.
    Failure,
}

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub level: Level,
    /// What was looked at, e.g. `kernel` or `eth0: offloads`.
    pub what: String,
    /// What was read, and what follows from it.
    pub evidence: String,
    /// What the operator can do: a command, or a sentence.
    pub mend: Option<String>,
}

impl Finding {
    fn ok(what: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), evidence: evidence.into(), mend: None }
    }

    fn warning(what: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::ok(what, evidence) }
    }

    fn failure(what: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { level: Level::Failure, ..Self::ok(what, evidence) }
    }

    fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }
}

/// Checks the machine and the network namespace of this thread for a configuration whose maps
/// take `map_bytes` of memory.
pub fn run(config: &Config, map_bytes: u64) -> Vec<Finding> {
    let dataplane = &config.dataplane;
    let mut findings = kernel::findings(&dataplane.pin_dir);
    findings.push(memory::finding(map_bytes));
    match netlink::links() {
        Ok(links) => {
            for name in &dataplane.interfaces {
                findings.extend(interface::findings(&links, name, dataplane));
                findings.extend(sysctl::findings(name));
            }
        }
        Err(error) => {
            findings.push(Finding::failure("interfaces", format!("could not be listed: {error}")));
        }
    }
    findings
}

/// The capabilities that this process lacks, and how to have them; nothing if it lacks none.
pub fn missing_rights() -> Option<Finding> {
    Some(kernel::rights()).filter(|finding| finding.level == Level::Failure)
}

/// The level of something that only native XDP cannot do.
const fn if_native(mode: XdpMode) -> Level {
    match mode {
        XdpMode::Native => Level::Failure,
        XdpMode::Auto => Level::Warning,
        XdpMode::Generic => Level::Ok,
    }
}

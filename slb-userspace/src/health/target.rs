//! What is checked, and what is told when its health changes.

use std::{fmt, net::SocketAddr, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::state::Health;
use crate::config::model::{HealthCheck, Protocol};

/// One backend of one listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TargetKey {
    /// Name of the instance.
    pub instance: String,
    /// The listener's protocol.
    pub protocol: Protocol,
    /// The listener's port, host byte order.
    pub port: u16,
    /// The backend that serves it; the check may ask another port of the same address.
    pub backend: SocketAddr,
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{} backend {}", self.instance, self.protocol, self.port, self.backend)
    }
}

/// A backend together with the way it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whom.
    pub key: TargetKey,
    /// How.
    pub check: HealthCheck,
}

impl Target {
    /// Address and port that the check asks.
    pub fn asked(&self) -> SocketAddr {
        let backend = self.key.backend;
        SocketAddr::new(backend.ip(), self.check.port.unwrap_or(backend.port()))
    }
}

/// A backend's health is no longer what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub key: TargetKey,
    /// What it was: [`Health::Checking`] before the first result.
    pub previous: Health,
    /// What it is now.
    pub health: Health,
    /// What the deciding check saw, in words.
    pub reason: String,
    /// When the deciding check ended.
    pub at: SystemTime,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::model::CheckKind;

    #[test]
    fn the_port_of_the_check_is_asked_and_the_backends_own_without_one() {
        let key = TargetKey {
            instance: "shop".into(),
            protocol: Protocol::Tcp,
            port: 80,
            backend: "[fd01::11]:8080".parse().unwrap(),
        };
        let mut check = HealthCheck {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            healthy: 3,
            unhealthy: 3,
            port: None,
        };
        let own = Target { key: key.clone(), check: check.clone() };
        assert_eq!(own.asked(), "[fd01::11]:8080".parse().unwrap());

        check.port = Some(9000);
        let other = Target { key, check };
        assert_eq!(other.asked(), "[fd01::11]:9000".parse().unwrap());
        assert_eq!(other.key.to_string(), "shop/tcp:80 backend [fd01::11]:8080");
    }
}

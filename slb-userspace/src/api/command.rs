//! The one door into the daemon: what may be asked of its loop, and how it answers.
//!
//! Every change goes through here, whoever asks for it, so that the daemon decides about one
//! change after the other.

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use tokio::sync::{mpsc, oneshot};

use super::{
    blackholes::{BlackholeList, BlackholeRelease},
    changes::ChangeReport,
    connections::{ConnectionFilter, ConnectionList},
    error::{ApiError, ErrorKind},
    selector::{BackendSelector, ListenerSelector},
    templates::{TemplateFilter, TemplateFlush, TemplateList},
    types::Status,
    verdicts::VerdictList,
};
use crate::config::model::Role;

/// Weight of a backend that is added without one, as in the configuration file.
pub const DEFAULT_WEIGHT: u16 = 100;
/// Largest weight.
pub const MAX_WEIGHT: u16 = 100;

/// Longest time that a backend may drain, in seconds.
pub const MAX_DRAIN_S: u64 = 900;

/// Where the answer goes. Nobody listening any more is no error.
pub type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

/// A question or a wish.
#[derive(Debug)]
pub enum Command {
    /// Everything that there is to see.
    Status(Reply<Status>),
    /// Entries of the connection table.
    Connections(ConnectionFilter, Reply<ConnectionList>),
    /// Counters of all verdicts.
    Verdicts(Reply<VerdictList>),
    /// Persistence templates.
    Templates(TemplateFilter, Reply<TemplateList>),
    /// Make persistence forget clients; their connections go on.
    TemplatesFlush(TemplateFlush, Reply<ChangeReport>),
    /// VIPs to which nothing is let through.
    Blackholes(Reply<BlackholeList>),
    /// Let packets through to them again.
    BlackholeRelease(BlackholeRelease, Reply<ChangeReport>),
    /// Read the configuration file again and apply it.
    Reload(Reply<ChangeReport>),
    /// Give a listener a backend.
    BackendAdd(BackendAdd, Reply<ChangeReport>),
    /// Take a backend from a listener.
    BackendRemove(BackendRemove, Reply<ChangeReport>),
    /// Set a backend's weight to 0, so that it takes no new connections and keeps its own until
    /// they end or a deadline.
    BackendDrain(BackendDrain, Reply<ChangeReport>),
    /// Change a backend's weight.
    BackendSetWeight(BackendSetWeight, Reply<ChangeReport>),
}

/// Give a listener a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendAdd {
    /// Whose.
    pub listener: ListenerSelector,
    /// The new backend.
    pub backend: BackendSelector,
    /// 0–100.
    #[serde(default = "default_weight", deserialize_with = "weight")]
    pub weight: u16,
    /// Whether it is used always or only without usable primaries.
    #[serde(default = "default_role")]
    pub role: Role,
    /// 0–65535, what the QUIC connection IDs that it makes call it; as the file has it if absent.
    #[serde(default, deserialize_with = "server_id", skip_serializing_if = "Option::is_none")]
    pub server_id: Option<u16>,
}

/// Take a backend from a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendRemove {
    /// Whose.
    pub listener: ListenerSelector,
    /// The backend to remove.
    pub backend: BackendSelector,
    /// True: its connections are cut; false: they may end by themselves.
    #[serde(default)]
    pub now: bool,
    /// True: also if it is the last usable one.
    #[serde(default)]
    pub force: bool,
}

/// Give a backend no new connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendDrain {
    /// Whose.
    pub listener: ListenerSelector,
    /// The backend to drain.
    pub backend: BackendSelector,
    /// Seconds after which what is left is reset, 0–900; the listener's `drain_timeout` if absent.
    #[serde(default, deserialize_with = "timeout", skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// True: also if it is the last usable one.
    #[serde(default)]
    pub force: bool,
}

/// Change a backend's weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendSetWeight {
    /// Whose.
    pub listener: ListenerSelector,
    /// The backend to change.
    pub backend: BackendSelector,
    /// 0–100; 0 takes no new connections.
    #[serde(deserialize_with = "weight")]
    pub weight: u16,
    /// True: also to 0 if it is the last usable one.
    #[serde(default)]
    pub force: bool,
}

/// Sends a command to the daemon's loop and waits for its answer.
///
/// # Errors
/// What the loop answers; [`ErrorKind::Unavailable`] if it has ended.
pub async fn ask<T>(
    commands: &mpsc::Sender<Command>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, ApiError> {
    let stopping = || ApiError::new(ErrorKind::Unavailable, "slbd is stopping");
    let (reply, answer) = oneshot::channel();
    commands.send(command(reply)).await.map_err(|_| stopping())?;
    answer.await.unwrap_or_else(|_| Err(stopping()))
}

const fn default_weight() -> u16 {
    DEFAULT_WEIGHT
}

const fn default_role() -> Role {
    Role::Primary
}

fn timeout<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match Option::<u64>::deserialize(from)? {
        Some(timeout) if timeout > MAX_DRAIN_S => {
            Err(D::Error::custom(format!("timeout_s {timeout} is not between 0 and {MAX_DRAIN_S}")))
        }
        timeout => Ok(timeout),
    }
}

fn server_id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    let out_of_range =
        |id: i64| D::Error::custom(format!("server_id {id} is not between 0 and {}", u16::MAX));
    let id = Option::<i64>::deserialize(from)?;
    id.map(|id| u16::try_from(id).map_err(|_| out_of_range(id))).transpose()
}

fn weight<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    let weight = i64::deserialize(from)?;
    match u16::try_from(weight) {
        Ok(weight) if weight <= MAX_WEIGHT => Ok(weight),
        _ => Err(D::Error::custom(format!("weight {weight} is not between 0 and {MAX_WEIGHT}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_added_without_weight_and_role_gets_those_of_the_file() {
        let json = r#"{"listener": "shop/tcp:80", "backend": "10.0.1.14:8080"}"#;
        let add: BackendAdd = serde_json::from_str(json).unwrap();
        assert_eq!((add.weight, add.role, add.server_id), (100, Role::Primary, None));
    }

    #[test]
    fn a_server_id_out_of_range_is_refused_with_the_range() {
        let with = |id: &str| {
            let json = format!(
                r#"{{"listener": "web/udp:443", "backend": "10.0.1.14:443", "server_id": {id}}}"#
            );
            serde_json::from_str::<BackendAdd>(&json)
        };
        assert_eq!(with("65535").unwrap().server_id, Some(65_535));
        assert_eq!(with("null").unwrap().server_id, None);
        for id in ["65536", "-1"] {
            let error = with(id).unwrap_err().to_string();
            let expected = format!("server_id {id} is not between 0 and 65535");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_weight_out_of_range_is_refused_with_the_range() {
        for weight in ["101", "-1", "99999999"] {
            let json = format!(
                r#"{{"listener": "shop/tcp:80", "backend": "10.0.1.14:80", "weight": {weight}}}"#
            );
            let error = serde_json::from_str::<BackendSetWeight>(&json).unwrap_err().to_string();
            let expected = format!("weight {weight} is not between 0 and 100");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_mistyped_field_is_refused_instead_of_ignored() {
        let json = r#"{"listener": "shop/tcp:80", "backend": "10.0.1.14:80", "forse": true}"#;
        let error = serde_json::from_str::<BackendDrain>(json).unwrap_err().to_string();
        assert!(error.contains("`forse`"), "{error}");
    }

    #[tokio::test]
    async fn a_daemon_that_has_ended_is_unavailable_before_and_after_it_took_the_command() {
        let (commands, mut taken) = mpsc::channel(1);
        let dropping = async {
            drop(taken.recv().await);
            drop(taken);
        };
        let (answer, ()) = tokio::join!(ask(&commands, Command::Status), dropping);
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Unavailable);
        let answer = ask(&commands, Command::Status).await;
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Unavailable);
    }
}

//! The API on the unix socket: what programs and the command line may ask the daemon.
//!
//! The way of a request: [`client`] → socket → [`server`] → [`command`] → the daemon's loop, which
//! alone knows the state and answers. What the API says is in [`types`], [`lists`],
//! [`connections`], [`templates`], [`verdicts`] and [`changes`]; how an operator names a listener or a backend is
//! in [`selector`].
//!
//! | request | body or query | answer |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`] |
//! | `GET /v1/listeners` | | [`ListenerList`] |
//! | `GET /v1/backends` | `?listener=` | [`BackendList`] |
//! | `GET /v1/connections` | [`ConnectionFilter`] | [`ConnectionList`] |
//! | `GET /v1/verdicts` | | [`VerdictList`] |
//! | `GET /v1/blackholes` | | [`BlackholeList`] |
//! | `GET /v1/templates` | [`TemplateFilter`] | [`TemplateList`] |
//! | `POST /v1/reload` | | [`ChangeReport`] |
//! | `POST /v1/backends/add` | [`BackendAdd`](command::BackendAdd) | [`ChangeReport`] |
//! | `POST /v1/backends/remove` | [`BackendRemove`](command::BackendRemove) | [`ChangeReport`] |
//! | `POST /v1/backends/drain` | [`BackendDrain`](command::BackendDrain) | [`ChangeReport`] |
//! | `POST /v1/backends/set-weight` | [`BackendSetWeight`](command::BackendSetWeight) | [`ChangeReport`] |
//! | `POST /v1/blackholes/release` | [`BlackholeRelease`] | [`ChangeReport`] |
//! | `POST /v1/templates/flush` | [`TemplateFlush`] | [`ChangeReport`] |
//!
//! Every error is an [`ApiError`] with the HTTP status of its kind.

pub mod blackholes;
pub mod changes;
pub mod client;
pub mod command;
pub mod connections;
pub mod error;
pub mod lists;
pub mod ports;
mod query;
#[cfg(test)]
pub(crate) mod samples;
pub mod selector;
pub mod server;
mod socket;
pub mod templates;
#[cfg(test)]
mod tests;
pub mod types;
pub mod verdicts;

pub use self::{
    blackholes::{BlackholeList, BlackholeRelease, BlackholeRow},
    changes::{ChangeReport, Warning},
    client::{Client, ClientError},
    command::Command,
    connections::{
        ConnectionEntry, ConnectionFilter, ConnectionList, ConnectionState, EndpointMatch, Flow,
    },
    error::{ApiError, ErrorKind},
    lists::{BackendList, BackendRow, ListenerList, ListenerRow},
    ports::Ports,
    selector::{BackendSelector, ListenerSelector, SelectorError},
    templates::{ClientMatch, TemplateFilter, TemplateFlush, TemplateList, TemplateRow},
    types::{
        Admin, BackendStatus, Counts, DataplaneStatus, Health, InstanceStatus, InterfaceStatus,
        ListenerStatus, Status,
    },
    verdicts::{AnswerCount, VerdictAction, VerdictCount, VerdictList},
};

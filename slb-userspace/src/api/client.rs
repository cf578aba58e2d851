//! The API's end in the command line: asks the daemon over the unix socket.

use std::{io, path::PathBuf, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::net::UnixStream;

use super::{
    blackholes::{BlackholeList, BlackholeRelease},
    changes::ChangeReport,
    command::{BackendAdd, BackendDrain, BackendRemove, BackendSetWeight},
    connections::{ConnectionFilter, ConnectionList},
    error::ApiError,
    lists::{BackendList, ListenerList},
    query::with_query,
    selector::ListenerSelector,
    templates::{TemplateFilter, TemplateFlush, TemplateList},
    types::Status,
    verdicts::VerdictList,
};

/// How long an answer may take; a reload of a large configuration takes seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A daemon, by its socket. Every request is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
}

/// Why there is no answer, or not the one that was wished for.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("slbd does not answer on {}: {}", .socket.display(), not_answering(.reason))]
    NotAnswering {
        /// The socket file.
        socket: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// The socket is not for this user.
    #[error("slbd cannot be asked on {}: permission denied", .0.display())]
    PermissionDenied(PathBuf),
    /// The daemon took the request and says nothing.
    #[error("slbd has not answered on {} within {} s", .socket.display(), .after.as_secs_f32())]
    TimedOut {
        /// The socket file.
        socket: PathBuf,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke, or the answer makes no sense.
    #[error("no answer that makes sense from slbd on {}: {reason}", .socket.display())]
    Garbled {
        /// The socket file.
        socket: PathBuf,
        /// What came instead.
        reason: String,
    },
    /// The daemon says no.
    #[error("{0}")]
    Answered(ApiError),
}

impl ClientError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NotAnswering { .. } => {
                Some("is slbd running? start it with `slbd --config FILE`, or give --socket")
            }
            Self::PermissionDenied(_) => {
                Some("run it with sudo, or as a member of the socket's group")
            }
            Self::TimedOut { .. } => {
                Some("what slbd writes to standard error says what it is doing")
            }
            Self::Garbled { .. } => {
                Some("slbd may have stopped meanwhile, or be of another version")
            }
            Self::Answered(error) => error.hint.as_deref(),
        }
    }
}

fn not_answering(reason: &io::Error) -> String {
    match reason.kind() {
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
        _ => reason.to_string(),
    }
}

impl Client {
    /// The daemon of this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), timeout: TIMEOUT }
    }

    /// The same daemon with less patience, or more.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Everything that there is to see.
    ///
    /// # Errors
    /// No daemon, or the daemon's own error; so for every request.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// Every listener without its backends.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn listeners(&self) -> Result<ListenerList, ClientError> {
        self.get("/v1/listeners").await
    }

    /// Backends, of one listener or of all.
    ///
    /// # Errors
    /// As [`Client::status`]; there is no such listener.
    pub async fn backends(
        &self,
        listener: Option<&ListenerSelector>,
    ) -> Result<BackendList, ClientError> {
        let pairs = [("listener", listener.map(ToString::to_string))];
        self.get(&with_query("/v1/backends", &pairs)).await
    }

    /// Entries of the connection table.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn connections(
        &self,
        filter: &ConnectionFilter,
    ) -> Result<ConnectionList, ClientError> {
        let pairs = [
            ("protocol", filter.protocol.map(|one| one.to_string())),
            ("client", filter.client.map(|one| one.to_string())),
            ("vip", filter.vip.map(|one| one.to_string())),
            ("backend", filter.backend.map(|one| one.to_string())),
            ("state", filter.state.map(|one| one.to_string())),
            ("limit", filter.limit.map(|one| one.to_string())),
        ];
        self.get(&with_query("/v1/connections", &pairs)).await
    }

    /// Counters of all verdicts.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn verdicts(&self) -> Result<VerdictList, ClientError> {
        self.get("/v1/verdicts").await
    }

    /// Persistence templates.
    ///
    /// # Errors
    /// As [`Client::status`]; there is no such listener.
    pub async fn templates(&self, filter: &TemplateFilter) -> Result<TemplateList, ClientError> {
        let pairs = [
            ("listener", filter.listener.as_ref().map(ToString::to_string)),
            ("client", filter.client.map(|one| one.to_string())),
            ("limit", filter.limit.map(|one| one.to_string())),
        ];
        self.get(&with_query("/v1/templates", &pairs)).await
    }

    /// Makes persistence forget clients.
    ///
    /// # Errors
    /// As [`Client::templates`].
    pub async fn templates_flush(
        &self,
        flush: &TemplateFlush,
    ) -> Result<ChangeReport, ClientError> {
        self.post("/v1/templates/flush", flush).await
    }

    /// VIPs to which nothing is let through.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn blackholes(&self) -> Result<BlackholeList, ClientError> {
        self.get("/v1/blackholes").await
    }

    /// Lets packets through to them again.
    ///
    /// # Errors
    /// As [`Client::status`]; there is no such VIP.
    pub async fn blackhole_release(
        &self,
        release: &BlackholeRelease,
    ) -> Result<ChangeReport, ClientError> {
        self.post("/v1/blackholes/release", release).await
    }

    /// Reads the configuration file again and applies it.
    ///
    /// # Errors
    /// As [`Client::status`]; the file is refused.
    pub async fn reload(&self) -> Result<ChangeReport, ClientError> {
        self.post("/v1/reload", &()).await
    }

    /// Gives a listener a backend.
    ///
    /// # Errors
    /// As [`Client::status`]; the change is refused.
    pub async fn backend_add(&self, add: &BackendAdd) -> Result<ChangeReport, ClientError> {
        self.post("/v1/backends/add", add).await
    }

    /// Takes a backend from a listener.
    ///
    /// # Errors
    /// As [`Client::status`]; the change is refused.
    pub async fn backend_remove(
        &self,
        remove: &BackendRemove,
    ) -> Result<ChangeReport, ClientError> {
        self.post("/v1/backends/remove", remove).await
    }

    /// Gives a backend no new connections.
    ///
    /// # Errors
    /// As [`Client::status`]; the change is refused.
    pub async fn backend_drain(&self, drain: &BackendDrain) -> Result<ChangeReport, ClientError> {
        self.post("/v1/backends/drain", drain).await
    }

    /// Changes a backend's weight.
    ///
    /// # Errors
    /// As [`Client::status`]; the change is refused.
    pub async fn backend_set_weight(
        &self,
        set: &BackendSetWeight,
    ) -> Result<ChangeReport, ClientError> {
        self.post("/v1/backends/set-weight", set).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.garbled(&error))?;
        self.request(Method::POST, path, body.into()).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let answered = tokio::time::timeout(self.timeout, self.exchange(method, path, body)).await;
        let (succeeded, answer) = answered.map_err(|_| ClientError::TimedOut {
            socket: self.socket.clone(),
            after: self.timeout,
        })??;
        if succeeded {
            return serde_json::from_slice(&answer).map_err(|error| self.garbled(&error));
        }
        let error = serde_json::from_slice(&answer).map_err(|error| self.garbled(&error))?;
        Err(ClientError::Answered(error))
    }

    /// Sends one request; true if its HTTP status is a success, and the answer's body.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(bool, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.absent(error))?;
        let garbled = |error: hyper::Error| self.garbled(&error);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(garbled)?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "slbd")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.garbled(&error))?;
        let exchanged = async {
            let response = sender.send_request(request).await?;
            let succeeded = response.status().is_success();
            let answer = response.into_body().collect().await?.to_bytes();
            Ok((succeeded, answer))
        };
        let answer = exchanged.await.map_err(garbled);
        driver.abort();
        answer
    }

    fn absent(&self, reason: io::Error) -> ClientError {
        let socket = self.socket.clone();
        match reason.kind() {
            io::ErrorKind::PermissionDenied => ClientError::PermissionDenied(socket),
            _ => ClientError::NotAnswering { socket, reason },
        }
    }

    fn garbled(&self, error: &dyn std::error::Error) -> ClientError {
        // hyper says what went wrong only in the source.
        let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        ClientError::Garbled { socket: self.socket.clone(), reason: format!("{error}{source}") }
    }
}

//! The API's end in the daemon: HTTP on the unix socket, turned into commands and back.
//!
//! Knows nothing about the state. Reading is by GET, changing by POST only.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{
        Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{Method, Uri},
    routing::{get, post},
};
use serde::Deserialize;
use tokio::{
    net::UnixListener,
    sync::{mpsc, oneshot},
};

pub use super::socket::SocketError;
use super::{
    blackholes::{BlackholeList, BlackholeRelease},
    changes::ChangeReport,
    command::{BackendAdd, BackendDrain, BackendRemove, BackendSetWeight, Command, ask},
    connections::{ConnectionFilter, ConnectionList, MAX_LIMIT},
    error::{ApiError, ErrorKind},
    lists::{BackendList, ListenerList},
    selector::ListenerSelector,
    socket,
    templates::{TemplateFilter, TemplateFlush, TemplateList},
    types::Status,
    verdicts::VerdictList,
};

/// How long requests under way may take after the daemon was told to stop.
const GRACE: Duration = Duration::from_secs(5);

type Commands = State<mpsc::Sender<Command>>;
type Answer<T> = Result<Json<T>, ApiError>;

/// The API's socket, made and not served yet: a daemon makes it first, so that a second one stops
/// before it touches the data plane.
pub struct Server {
    listener: UnixListener,
    socket: PathBuf,
}

impl Server {
    /// Makes the socket file.
    ///
    /// # Errors
    /// Another daemon answers on it, or the file system refuses.
    pub async fn bind(socket: &Path) -> Result<Self, SocketError> {
        Ok(Self { listener: socket::bind(socket).await?, socket: socket.to_owned() })
    }

    /// Answers until `shutdown` ends, and then for 5 s at most what is under way; removes the
    /// socket file.
    pub async fn run(
        self,
        commands: mpsc::Sender<Command>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) {
        let (stopping, stopped) = oneshot::channel();
        let signal = async move {
            shutdown.await;
            // While somebody still answers on it: a successor must not find its own file removed.
            // Left behind it does no harm, the next daemon replaces it.
            let _ = fs::remove_file(self.socket);
            let _ = stopping.send(());
        };
        let serving = axum::serve(self.listener, router(commands)).with_graceful_shutdown(signal);
        let too_long = async move {
            let _ = stopped.await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            // Serving a listener ends by the signal only; it has no errors of its own.
            _ = serving.into_future() => {}
            () = too_long => tracing::warn!("requests to the API did not end, stopping anyway"),
        }
    }
}

/// Makes the socket and answers until `shutdown` ends.
///
/// # Errors
/// As [`Server::bind`].
pub async fn serve(
    socket: &Path,
    commands: mpsc::Sender<Command>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), SocketError> {
    Server::bind(socket).await?.run(commands, shutdown).await;
    Ok(())
}

fn router(commands: mpsc::Sender<Command>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/listeners", get(listeners))
        .route("/v1/backends", get(backends))
        .route("/v1/connections", get(connections))
        .route("/v1/verdicts", get(verdicts))
        .route("/v1/blackholes", get(blackholes))
        .route("/v1/blackholes/release", post(blackhole_release))
        .route("/v1/templates", get(templates))
        .route("/v1/templates/flush", post(templates_flush))
        .route("/v1/reload", post(reload))
        .route("/v1/backends/add", post(backend_add))
        .route("/v1/backends/remove", post(backend_remove))
        .route("/v1/backends/drain", post(backend_drain))
        .route("/v1/backends/set-weight", post(backend_set_weight))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(commands)
}

/// Query of `/v1/backends`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfListener {
    listener: Option<ListenerSelector>,
}

async fn status(State(commands): Commands) -> Answer<Status> {
    ask(&commands, Command::Status).await.map(Json)
}

async fn listeners(State(commands): Commands) -> Answer<ListenerList> {
    let status = ask(&commands, Command::Status).await?;
    Ok(Json(status.listener_list()))
}

async fn backends(
    State(commands): Commands,
    query: Result<Query<OfListener>, QueryRejection>,
) -> Answer<BackendList> {
    let Query(OfListener { listener }) = query?;
    let status = ask(&commands, Command::Status).await?;
    status.backend_list(listener.as_ref()).map(Json)
}

async fn connections(
    State(commands): Commands,
    query: Result<Query<ConnectionFilter>, QueryRejection>,
) -> Answer<ConnectionList> {
    let Query(filter) = query?;
    within(filter.limit, "pick entries by client, vip, backend, protocol or state")?;
    ask(&commands, |reply| Command::Connections(filter, reply)).await.map(Json)
}

/// Refuses an answer that is too long; `hint` says how to make it shorter.
fn within(limit: Option<usize>, hint: &str) -> Result<(), ApiError> {
    match limit {
        Some(limit) if limit > MAX_LIMIT => {
            let message = format!("limit {limit} is above {MAX_LIMIT}");
            Err(ApiError::new(ErrorKind::WrongRequest, message).with_hint(hint))
        }
        _ => Ok(()),
    }
}

async fn templates(
    State(commands): Commands,
    query: Result<Query<TemplateFilter>, QueryRejection>,
) -> Answer<TemplateList> {
    let Query(filter) = query?;
    within(filter.limit, "pick templates by listener or client")?;
    ask(&commands, |reply| Command::Templates(filter, reply)).await.map(Json)
}

async fn templates_flush(
    State(commands): Commands,
    body: Result<Json<TemplateFlush>, JsonRejection>,
) -> Answer<ChangeReport> {
    let Json(flush) = body?;
    flush.filter()?;
    ask(&commands, |reply| Command::TemplatesFlush(flush, reply)).await.map(Json)
}

async fn blackholes(State(commands): Commands) -> Answer<BlackholeList> {
    ask(&commands, Command::Blackholes).await.map(Json)
}

async fn blackhole_release(
    State(commands): Commands,
    body: Result<Json<BlackholeRelease>, JsonRejection>,
) -> Answer<ChangeReport> {
    let Json(release) = body?;
    ask(&commands, |reply| Command::BlackholeRelease(release, reply)).await.map(Json)
}

async fn verdicts(State(commands): Commands) -> Answer<VerdictList> {
    ask(&commands, Command::Verdicts).await.map(Json)
}

async fn reload(State(commands): Commands) -> Answer<ChangeReport> {
    ask(&commands, Command::Reload).await.map(Json)
}

async fn backend_add(
    State(commands): Commands,
    body: Result<Json<BackendAdd>, JsonRejection>,
) -> Answer<ChangeReport> {
    let Json(add) = body?;
    ask(&commands, |reply| Command::BackendAdd(add, reply)).await.map(Json)
}

async fn backend_remove(
    State(commands): Commands,
    body: Result<Json<BackendRemove>, JsonRejection>,
) -> Answer<ChangeReport> {
    let Json(remove) = body?;
    ask(&commands, |reply| Command::BackendRemove(remove, reply)).await.map(Json)
}

async fn backend_drain(
    State(commands): Commands,
    body: Result<Json<BackendDrain>, JsonRejection>,
) -> Answer<ChangeReport> {
    let Json(drain) = body?;
    ask(&commands, |reply| Command::BackendDrain(drain, reply)).await.map(Json)
}

async fn backend_set_weight(
    State(commands): Commands,
    body: Result<Json<BackendSetWeight>, JsonRejection>,
) -> Answer<ChangeReport> {
    let Json(set) = body?;
    ask(&commands, |reply| Command::BackendSetWeight(set, reply)).await.map(Json)
}

async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::new(ErrorKind::NotFound, format!("the API has no {}", uri.path()))
        .with_hint("slb and slbd may be of different versions")
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} does not answer {method}", uri.path());
    ApiError::new(ErrorKind::WrongMethod, message).with_hint("reading is by GET, changing by POST")
}

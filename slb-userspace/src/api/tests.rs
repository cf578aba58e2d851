//! Client and server over a real socket, with a stand-in for the daemon's loop.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    blackholes::BlackholeList,
    changes::ChangeReport,
    client::{Client, ClientError},
    command::{BackendAdd, BackendDrain, BackendRemove, BackendSetWeight, Command},
    connections::{ConnectionFilter, ConnectionList},
    error::{ApiError, ErrorKind},
    samples,
    server::Server,
    templates::{TemplateFilter, TemplateFlush, TemplateList},
    verdicts::{AnswerCount, VerdictCount, VerdictList},
};
use crate::config::model::{Protocol, Role};

/// A server whose loop answers with samples and writes down what it was asked.
struct Daemon {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Daemon {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("slb.sock");
        let (commands, taken) = mpsc::channel(4);
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(answer(taken, Arc::clone(&asked)));
        let server = Server::bind(&socket).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.run(commands, async {
            let _ = stopped.await;
        }));
        Self { _directory: directory, socket, asked, stop, serving }
    }

    fn client(&self) -> Client {
        Client::new(&self.socket)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Sends a request as it stands; head and body of the answer.
    async fn raw(&self, request: &str) -> (String, String) {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

async fn answer(mut taken: mpsc::Receiver<Command>, asked: Arc<Mutex<Vec<String>>>) {
    let done = |what: String| ChangeReport { changes: vec![what], warnings: Vec::new() };
    while let Some(command) = taken.recv().await {
        let mut name = format!("{command:?}");
        name.truncate(name.find(", Sender").unwrap_or(name.find("(Sender").unwrap_or(name.len())));
        asked.lock().unwrap().push(name);
        match command {
            Command::Status(reply) => drop(reply.send(Ok(samples::status()))),
            Command::Connections(_, reply) => drop(reply.send(Ok(ConnectionList::default()))),
            Command::Verdicts(reply) => {
                let counts = slb_common::Verdict::ALL.iter().map(|one| VerdictCount::new(*one, 1));
                let answers = slb_common::Answer::ALL.iter().map(|one| AnswerCount::new(*one, 1));
                let (verdicts, answers) = (counts.collect(), answers.collect());
                drop(reply.send(Ok(VerdictList { verdicts, answers })));
            }
            Command::Templates(_, reply) => drop(reply.send(Ok(TemplateList::default()))),
            Command::Blackholes(reply) => drop(reply.send(Ok(BlackholeList::default()))),
            Command::BlackholeRelease(_, reply) => {
                drop(reply.send(Ok(done("10.0.0.100 of shop is let through again".to_owned()))));
            }
            Command::TemplatesFlush(_, reply) => {
                drop(reply.send(Ok(done("7 templates flushed".to_owned()))));
            }
            Command::Reload(reply) => {
                drop(reply.send(Err(ApiError::refused("the configuration is refused"))));
            }
            Command::BackendAdd(add, reply) => {
                drop(reply.send(Ok(done(format!("{}: {} added", add.listener, add.backend)))));
            }
            Command::BackendRemove(remove, reply) => {
                let error = ApiError::unknown_backend(&remove.listener, remove.backend, []);
                drop(reply.send(Err(error)));
            }
            Command::BackendDrain(_, reply) => {
                let error = ApiError::refused("it is the last usable backend");
                drop(reply.send(Err(error.with_hint("--force drains it all the same"))));
            }
            Command::BackendSetWeight(_, reply) => {
                drop(reply.send(Err(ApiError::internal("the map is gone"))));
            }
        }
    }
}

fn answered(error: ClientError) -> ApiError {
    match error {
        ClientError::Answered(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_the_daemon_says_arrives_as_it_was_said() {
    let daemon = Daemon::start().await;
    let status = samples::status();
    assert_eq!(daemon.client().status().await.unwrap(), status);
    assert_eq!(daemon.client().listeners().await.unwrap(), status.listener_list());
    let one = "shop/tcp:80".parse().unwrap();
    let rows = daemon.client().backends(Some(&one)).await.unwrap();
    assert_eq!(rows, status.backend_list(Some(&one)).unwrap());
    let counts = daemon.client().verdicts().await.unwrap();
    assert_eq!(counts.verdicts.len(), slb_common::Verdict::COUNT);
    assert_eq!(counts.answers.len(), slb_common::Answer::COUNT);
}

#[tokio::test]
async fn every_field_of_a_filter_arrives() {
    let daemon = Daemon::start().await;
    let filter = ConnectionFilter {
        protocol: Some(Protocol::Udp),
        client: Some("[fd09::7]:40001".parse().unwrap()),
        vip: Some("fd00::100".parse().unwrap()),
        backend: Some("10.0.1.11:8080".parse().unwrap()),
        state: Some("udp-unreplied".parse().unwrap()),
        limit: Some(7),
    };
    daemon.client().connections(&filter).await.unwrap();
    daemon.client().connections(&ConnectionFilter::default()).await.unwrap();
    let expected = [filter, ConnectionFilter::default()].map(|one| format!("Connections({one:?}"));
    assert_eq!(daemon.asked(), expected);
}

#[tokio::test]
async fn which_templates_are_meant_arrives() {
    let daemon = Daemon::start().await;
    let (listener, client) = ("shop/tcp:80".parse().ok(), "fd09::/64".parse().ok());
    let filter = TemplateFilter { listener: listener.clone(), client, limit: Some(7) };
    daemon.client().templates(&filter).await.unwrap();
    let flush = TemplateFlush { listener, client, all: false };
    let report = daemon.client().templates_flush(&flush).await.unwrap();
    assert_eq!(report.changes, ["7 templates flushed"]);
    let nothing = daemon.client().templates_flush(&TemplateFlush::default()).await;
    assert_eq!(answered(nothing.unwrap_err()).kind, ErrorKind::WrongRequest);
    let expected = [format!("Templates({filter:?}"), format!("TemplatesFlush({flush:?}")];
    assert_eq!(daemon.asked(), expected, "a request that names nothing does not reach the loop");
}

#[tokio::test]
async fn every_field_of_a_change_arrives_and_its_answer_comes_back() {
    let daemon = Daemon::start().await;
    let client = daemon.client();
    let (listener, backend) = ("shop/tcp:80".parse().unwrap(), "[fd01::12]:8080".parse().unwrap());
    let add = BackendAdd { listener, backend, weight: 7, role: Role::Backup, server_id: Some(258) };
    let report = client.backend_add(&add).await.unwrap();
    assert_eq!(report.changes, ["shop/tcp:80: [fd01::12]:8080 added"]);

    let listener = add.listener.clone();
    let remove = BackendRemove { listener: listener.clone(), backend, now: true, force: true };
    let error = answered(client.backend_remove(&remove).await.unwrap_err());
    assert_eq!(error.kind, ErrorKind::NotFound);

    let drain =
        BackendDrain { listener: listener.clone(), backend, timeout_s: Some(30), force: true };
    let error = answered(client.backend_drain(&drain).await.unwrap_err());
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(error.hint.as_deref(), Some("--force drains it all the same"));

    let set = BackendSetWeight { listener, backend, weight: 0, force: true };
    let error = answered(client.backend_set_weight(&set).await.unwrap_err());
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Internal, "the map is gone"));

    assert_eq!(
        daemon.asked(),
        [
            format!("BackendAdd({add:?}"),
            format!("BackendRemove({remove:?}"),
            format!("BackendDrain({drain:?}"),
            format!("BackendSetWeight({set:?}"),
        ]
    );
}

#[tokio::test]
async fn a_refused_reload_comes_back_as_refused() {
    let daemon = Daemon::start().await;
    let error = answered(daemon.client().reload().await.unwrap_err());
    assert_eq!(error, ApiError::refused("the configuration is refused"));
}

#[tokio::test]
async fn wrong_requests_are_answered_in_json_with_the_status_of_their_kind() {
    let daemon = Daemon::start().await;
    let end = "Host: slbd\r\nConnection: close\r\n";
    let body = r#"{"listener": "shop", "backend": "10.0.1.11:8080"}"#;
    let post = |path: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\n{end}Content-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    for (request, status, words) in [
        (format!("GET /v1/nothing HTTP/1.1\r\n{end}\r\n"), "404", "no /v1/nothing"),
        (format!("GET /v1/reload HTTP/1.1\r\n{end}\r\n"), "405", "does not answer GET"),
        (format!("GET /v1/backends/drain HTTP/1.1\r\n{end}\r\n"), "405", "does not answer GET"),
        (format!("GET /v1/connections?clinet=1 HTTP/1.1\r\n{end}\r\n"), "400", "clinet"),
        (format!("GET /v1/connections?client=web HTTP/1.1\r\n{end}\r\n"), "400", "neither ADDRESS"),
        (format!("GET /v1/connections?limit=100001 HTTP/1.1\r\n{end}\r\n"), "400", "above 100000"),
        (format!("GET /v1/backends?listener=shop/tcp:81 HTTP/1.1\r\n{end}\r\n"), "404", "tcp:81"),
        (post("/v1/backends/drain", body), "400", "names no instance"),
        (post("/v1/backends/drain", "{"), "400", "JSON"),
    ] {
        let (head, body) = daemon.raw(&request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
        let error: ApiError = serde_json::from_str(&body).unwrap();
        assert_eq!(error.kind.status().as_str(), status);
        assert!(error.message.contains(words), "{error}");
    }
    assert_eq!(daemon.asked(), ["Status"], "only the unknown listener needed the daemon");
}

#[tokio::test]
async fn told_to_stop_the_server_ends_and_takes_its_socket_with_it() {
    let daemon = Daemon::start().await;
    daemon.client().status().await.unwrap();
    daemon.stop.send(()).unwrap();
    daemon.serving.await.unwrap();
    assert!(!daemon.socket.exists());
}

#[tokio::test]
async fn without_a_daemon_the_client_says_where_it_asked_and_what_to_look_at() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("slb.sock");
    let error = Client::new(&socket).status().await.unwrap_err();
    let place = format!("slbd does not answer on {}", socket.display());
    assert_eq!(error.to_string(), format!("{place}: there is no such socket"));
    let hint = "is slbd running? start it with `slbd --config FILE`, or give --socket";
    assert_eq!(error.hint(), Some(hint));

    drop(UnixListener::bind(&socket).unwrap());
    let error = Client::new(&socket).status().await.unwrap_err();
    assert_eq!(error.to_string(), format!("{place}: nobody listens"));
}

#[tokio::test]
async fn a_daemon_that_says_nothing_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("slb.sock");
    let _silent = UnixListener::bind(&socket).unwrap();
    let client = Client::new(&socket).with_timeout(Duration::from_millis(50));
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn something_else_on_the_socket_is_told_apart_from_a_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("slb.sock");
    let other = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = other.accept().await.unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
    });
    let error = Client::new(&socket).status().await.unwrap_err();
    assert!(matches!(error, ClientError::Garbled { .. }), "{error}");
}

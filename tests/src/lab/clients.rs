//! Clients of a lab: ask a server or VIP many times from a namespace and count who answers.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader},
    net::{IpAddr, SocketAddr, TcpStream as StdTcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader as AsyncBufReader},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};

use super::{
    Answers, Namespace,
    http::{Connection, Reuse},
};

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A new TCP connection that reads the server's name.
    Name,
    /// One HTTP GET on a new connection.
    Http,
    /// HTTP GETs on one connection per worker, opened again after an error.
    HttpKeepAlive,
    /// One datagram from a new source port.
    Echo,
    /// Datagrams from one source port per worker.
    EchoSamePort,
}

/// How often and how densely.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests in all.
    pub requests: u64,
    /// Requests under way at once; 1: one after the other.
    pub concurrency: usize,
    /// How long each worker rests after a request.
    pub pause: Duration,
    /// A request without its answer after this time is an error.
    pub patience: Duration,
    /// After so many errors the rest is not tried: a dead VIP need not be waited for a thousand
    /// times.
    pub errors: u64,
}

impl Load {
    /// One after the other, as fast as answers come.
    pub const fn sequential(requests: u64) -> Self {
        Self {
            requests,
            concurrency: 1,
            pause: Duration::ZERO,
            patience: Duration::from_secs(5),
            errors: 100,
        }
    }

    /// Several at once, as fast as answers come.
    pub const fn concurrent(requests: u64, concurrency: usize) -> Self {
        Self { concurrency, ..Self::sequential(requests) }
    }

    /// The same with another time limit per request.
    pub const fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same with a rest after every request.
    pub const fn pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }
}

/// Asks `load.requests` times from the namespace and returns when all have an answer or error,
/// or too many have failed.
pub fn ask(
    client: &Namespace,
    target: SocketAddr,
    question: Question,
    load: Load,
) -> Result<Answers> {
    client.run(|| run_load(target, question, load, &Arc::default()))?
}

/// How far a load is, and the order to stop it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) begun: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) stop: AtomicBool,
}

/// Runs a load on the calling thread, in the namespace that it is in.
pub(super) fn run_load(
    target: SocketAddr,
    question: Question,
    load: Load,
    progress: &Arc<Progress>,
) -> Result<Answers> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut workers = JoinSet::new();
        for _ in 0..load.concurrency {
            workers.spawn(work(target, question, load, Arc::clone(progress)));
        }
        let mut answers = Answers::default();
        while let Some(done) = workers.join_next().await {
            answers.add(done.context("a client worker panicked")?);
        }
        Ok(answers)
    })
}

async fn work(
    target: SocketAddr,
    question: Question,
    load: Load,
    progress: Arc<Progress>,
) -> Answers {
    let mut answers = Answers::default();
    let mut asking = Asking { kept: Kept::Nothing, owner: None, opened: 0 };
    while !progress.stop.load(Ordering::Relaxed)
        && progress.failed.load(Ordering::Relaxed) < load.errors
        && progress.begun.fetch_add(1, Ordering::Relaxed) < load.requests
    {
        let started = Instant::now();
        let result = match timeout(load.patience, asking.once(target, question)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {:?}", load.patience)),
        };
        let mut owner = None;
        match &result {
            Ok(name) => {
                progress.answered.fetch_add(1, Ordering::Relaxed);
                asking.answered_by(name, question);
            }
            Err(_) => {
                progress.failed.fetch_add(1, Ordering::Relaxed);
                asking.kept = Kept::Nothing;
                owner = asking.owner.take();
            }
        }
        answers.record(started, owner, result);
        if !load.pause.is_zero() {
            tokio::time::sleep(load.pause).await;
        }
    }
    answers.opened = asking.opened;
    answers
}

/// What a worker carries from one request to the next.
struct Asking {
    kept: Kept,
    /// Who answered last on what is kept.
    owner: Option<String>,
    opened: u64,
}

enum Kept {
    Nothing,
    Http(Connection),
    Socket(UdpSocket),
}

impl Asking {
    /// One request; the answer is the backend's name, the error what failed in words.
    async fn once(&mut self, target: SocketAddr, question: Question) -> Result<String, String> {
        match question {
            Question::Name => {
                let stream = self.connect(target).await?;
                let mut name = String::new();
                step("read", AsyncBufReader::new(stream).read_line(&mut name).await)?;
                if name.is_empty() {
                    Err("read: closed".to_owned())
                } else {
                    Ok(name.trim().into())
                }
            }
            Question::Http => {
                let mut connection = Connection::new(self.connect(target).await?);
                get(&mut connection, Reuse::Close).await
            }
            Question::HttpKeepAlive => {
                if !matches!(self.kept, Kept::Http(_)) {
                    self.kept = Kept::Http(Connection::new(self.connect(target).await?));
                }
                let Kept::Http(connection) = &mut self.kept else { unreachable!("set above") };
                get(connection, Reuse::KeepAlive).await
            }
            Question::Echo => echo(&self.udp(target, &FLEETING).await?).await,
            Question::EchoSamePort => {
                if !matches!(self.kept, Kept::Socket(_)) {
                    self.kept = Kept::Socket(self.udp(target, &LASTING).await?);
                }
                let Kept::Socket(socket) = &self.kept else { unreachable!("set above") };
                echo(socket).await
            }
        }
    }

    fn answered_by(&mut self, name: &str, question: Question) {
        if matches!(question, Question::HttpKeepAlive | Question::EchoSamePort)
            && self.owner.as_deref() != Some(name)
        {
            // A connection keeps its backend; that a flow has moved shows in the answer alone.
            self.opened += u64::from(self.owner.is_some());
            self.owner = Some(name.to_owned());
        }
    }

    async fn connect(&mut self, target: SocketAddr) -> Result<TcpStream, String> {
        self.opened += 1;
        connect(target).await
    }

    async fn udp(&mut self, target: SocketAddr, ports: &Ports) -> Result<UdpSocket, String> {
        self.opened += 1;
        udp(target, ports).await
    }
}

async fn connect(target: SocketAddr) -> Result<TcpStream, String> {
    let stream = step("connect", TcpStream::connect(target).await)?;
    step("connect", stream.set_nodelay(true))?;
    Ok(stream)
}

async fn get(connection: &mut Connection, reuse: Reuse) -> Result<String, String> {
    let response = step("HTTP", connection.get("/", reuse).await)?;
    if response.status == 200 {
        Ok(response.body)
    } else {
        Err(format!("HTTP: status {}", response.status))
    }
}

async fn udp(target: SocketAddr, ports: &Ports) -> Result<UdpSocket, String> {
    let any: IpAddr = match target.ip() {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = loop {
        match UdpSocket::bind((any, ports.next())).await {
            // A flow that has gone on since the ports were last through.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => break step("socket", result)?,
        }
    };
    // Connected, so that answers from any other address are not taken and ICMP errors are seen.
    step("socket", socket.connect(target).await)?;
    Ok(socket)
}

/// Source ports, each given again only when all others have been. The kernel picks at random: two of
/// a few hundred flows would often share one, and a balancer rightly takes those for one flow.
struct Ports {
    first: u16,
    count: u32,
    given: AtomicU32,
}

/// Of flows of one datagram.
static FLEETING: Ports = Ports { first: 10_000, count: 45_000, given: AtomicU32::new(0) };
/// Of flows that go on: when such a one has ended, a balancer still knows it, so its port must not be
/// the next of many.
static LASTING: Ports = Ports { first: 55_000, count: 5_000, given: AtomicU32::new(0) };

impl Ports {
    fn next(&self) -> u16 {
        self.first + (self.given.fetch_add(1, Ordering::Relaxed) % self.count) as u16
    }
}

async fn echo(socket: &UdpSocket) -> Result<String, String> {
    const PAYLOAD: &[u8] = b"hello";
    step("send", socket.send(PAYLOAD).await)?;
    let mut buffer = [0; 256];
    let length = step("receive", socket.recv(&mut buffer).await)?;
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    match answer.split_once(':') {
        Some((backend, payload)) if payload.as_bytes() == PAYLOAD => Ok(backend.to_owned()),
        _ => Err(format!("receive: {answer:?} is not the echo")),
    }
}

fn step<T>(doing: &str, result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{doing}: {error}"))
}

/// Open connections to servers of [`super::Service::Name`]; they close when dropped.
#[derive(Debug)]
pub struct Held {
    /// The backend's name and the connection, in the order they were opened.
    pub connections: Vec<(String, StdTcpStream)>,
}

impl Held {
    /// Open connections by backend.
    pub fn by_backend(&self) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        for (backend, _) in &self.connections {
            *counts.entry(backend.as_str()).or_default() += 1;
        }
        counts
    }
}

/// Opens connections one after the other and keeps them; the first that fails is an error.
pub fn hold(client: &Namespace, target: SocketAddr, count: usize) -> Result<Held> {
    const PATIENCE: Duration = Duration::from_secs(5);
    client.run(|| {
        let mut connections = Vec::with_capacity(count);
        for number in 1..=count {
            let context = || format!("connection {number} of {count} to {target}");
            let stream = StdTcpStream::connect_timeout(&target, PATIENCE).with_context(context)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut name = String::new();
            BufReader::new(&stream).read_line(&mut name).with_context(context)?;
            if name.is_empty() {
                bail!("{}: closed without a name", context());
            }
            connections.push((name.trim().to_owned(), stream));
        }
        Ok(Held { connections })
    })?
}

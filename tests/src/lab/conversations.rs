//! Open connections that carry messages both ways at a steady pace, every byte of them compared.
//!
//! A client says its next message when it is due, whether the answer to the one before came early
//! or late, and its time counts from when it was due: a connection that stands still does not hide
//! how long it would have kept others waiting.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use nix::sys::{prctl, socket};

use super::{Namespace, tcp_from};

/// How long an answer may take before the connection counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);
/// Threads of clients and servers do little.
const STACK_BYTES: usize = 128 << 10;
/// Bytes of a message that say whose it is and which.
const HEAD: usize = 16;

/// How many connections, and what each says how often.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Connections.
    pub connections: usize,
    /// From when a message is due to when the next one is.
    pub interval: Duration,
    /// Bytes of a message and of its answer, at least 16.
    pub bytes: usize,
}

/// A server that answers every byte by its inverse.
#[derive(Debug)]
pub struct Inverter {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Inverter {
    /// Listens at `at`, which must be free.
    ///
    /// # Errors
    /// It is not.
    pub fn start(namespace: &Namespace, at: SocketAddr) -> Result<Self> {
        let listener = namespace.run(|| TcpListener::bind(at))?.with_context(|| at.to_string())?;
        let accepting = listener.try_clone()?;
        let thread = spawn(move || {
            // Its end is an error: the socket has been shut down.
            while let Ok((stream, _)) = accepting.accept() {
                // The client sees what became of it.
                let _ = spawn(move || invert(&stream));
            }
        })?;
        Ok(Self { listener, thread: Some(thread) })
    }
}

impl Drop for Inverter {
    fn drop(&mut self) {
        let _ = socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn invert(mut stream: &TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    stream.set_nodelay(true)?;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        buffer[..length].iter_mut().for_each(|byte| *byte = !*byte);
        stream.write_all(&buffer[..length])?;
    }
}

/// What clients share.
struct Shared {
    stop: AtomicBool,
    exchanges: AtomicU64,
    /// Nanoseconds from when a message was due to the last byte of its answer.
    latencies: Mutex<Histogram<u64>>,
}

/// Conversations with servers of [`Inverter`], until stopped.
pub struct Conversations {
    shared: Arc<Shared>,
    clients: Vec<(SocketAddr, TcpStream, JoinHandle<Result<()>>)>,
}

impl Conversations {
    /// Opens the connections from the namespace one after the other, then has all begin.
    ///
    /// # Errors
    /// One cannot be opened.
    pub fn open(client: &Namespace, target: SocketAddr, pace: Pace) -> Result<Self> {
        assert!(pace.bytes >= HEAD, "a message of {} bytes", pace.bytes);
        let any: SocketAddr = match target {
            SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let streams: Vec<TcpStream> =
            (0..pace.connections).map(|_| tcp_from(client, any, target)).collect::<Result<_>>()?;
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            exchanges: AtomicU64::new(0),
            latencies: Mutex::new(histogram()),
        });
        let begun = Instant::now();
        let mut clients = Vec::new();
        for (number, stream) in streams.into_iter().enumerate() {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let (own, shared) = (stream.try_clone()?, Arc::clone(&shared));
            // Spread over the interval, so that they do not all speak at once.
            let first = begun + pace.interval * number as u32 / pace.connections as u32;
            let thread = spawn(move || converse(&own, number as u64, first, pace, &shared))?;
            clients.push((stream.local_addr()?, stream, thread));
        }
        Ok(Self { shared, clients })
    }

    /// Messages answered so far.
    pub fn exchanges(&self) -> u64 {
        self.shared.exchanges.load(Ordering::Relaxed)
    }

    /// The clients' endpoints, in the order of their opening.
    pub fn endpoints(&self) -> impl Iterator<Item = SocketAddr> {
        self.clients.iter().map(|(endpoint, ..)| *endpoint)
    }

    /// Times of answers since the last call, nanoseconds.
    pub fn take_latencies(&self) -> Histogram<u64> {
        std::mem::replace(&mut *locked(&self.shared.latencies), histogram())
    }

    /// Lets every client hear the answer that it waits for; returns what broke, one line for each
    /// connection.
    pub fn stop(mut self) -> Vec<String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.clients.drain(..).filter_map(|(endpoint, stream, thread)| {
            let ended = thread.join().expect("a client panicked");
            let _ = stream.shutdown(Shutdown::Both);
            Some(format!("{endpoint}: {:#}", ended.err()?))
        });
        ended.collect()
    }
}

impl Drop for Conversations {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for (_, stream, thread) in self.clients.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }
}

fn converse(
    mut stream: &TcpStream,
    number: u64,
    first: Instant,
    Pace { interval, bytes, .. }: Pace,
    shared: &Shared,
) -> Result<()> {
    // What is due is not put off so that others may be woken with it.
    prctl::set_timerslack(1)?;
    let (mut due, mut answer) = (first, vec![0; bytes]);
    for turn in 0.. {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let message = message(number, turn, bytes);
        let doing = |what: &str| format!("{what} message {turn}");
        stream.write_all(&message).with_context(|| doing("say"))?;
        stream.read_exact(&mut answer).with_context(|| doing("hear the answer to"))?;
        let late = due.elapsed();
        let right = answer.iter().zip(&message).all(|(heard, said)| *heard == !*said);
        ensure!(right, "wrong bytes in the answer to message {turn}");
        shared.exchanges.fetch_add(1, Ordering::Relaxed);
        locked(&shared.latencies).record(u64::try_from(late.as_nanos())?)?;
        due += interval;
    }
    Ok(())
}

/// No two messages are alike, and none is another one moved.
fn message(number: u64, turn: u64, bytes: usize) -> Vec<u8> {
    let head = [number.to_le_bytes(), turn.to_le_bytes()].concat();
    let rest = (HEAD..bytes).map(|at| (at ^ at >> 8) as u8 ^ number as u8 ^ (turn as u8) << 1);
    head.into_iter().chain(rest).collect()
}

/// One of nanoseconds, empty.
pub fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are legal")
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(job)
}

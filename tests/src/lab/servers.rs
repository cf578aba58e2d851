//! Servers on the hosts of a lab: each answers with its name, counts what it served, and can be
//! killed and started again on the same port while traffic runs.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, UdpSocket},
    runtime::Runtime,
    sync::watch,
    task::JoinHandle,
};

use super::{Namespace, answering::Answering};

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// HTTP/1.1: the name as the body, for every path; keeps connections if asked.
    Http,
    /// TCP: the name and a line end at once, then waits for the client to close.
    Name,
    /// UDP: `name:payload` for every datagram.
    Echo,
}

/// What a server has done since it was first started.
#[derive(Debug, Default)]
pub struct Served {
    pub(super) connections: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) health_requests: AtomicU64,
    pub(super) datagrams: AtomicU64,
}

impl Served {
    /// TCP connections accepted, those of health checks too.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// HTTP requests answered, without those of health checks.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// HTTP requests for [`super::answering::HEALTH_PATH`].
    pub fn health_requests(&self) -> u64 {
        self.health_requests.load(Ordering::Relaxed)
    }

    /// Datagrams answered.
    pub fn datagrams(&self) -> u64 {
        self.datagrams.load(Ordering::Relaxed)
    }
}

/// A server in a namespace. Its methods block and must not be called from async code.
#[derive(Debug)]
pub struct Server {
    name: Arc<str>,
    service: Service,
    address: SocketAddr,
    namespace: Namespace,
    served: Arc<Served>,
    health_status: Arc<AtomicU16>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    task: JoinHandle<()>,
    accepting: watch::Sender<bool>,
}

impl Server {
    /// Starts a server that answers `name` at `address` in the namespace.
    pub fn start(
        namespace: &Namespace,
        name: &str,
        service: Service,
        address: SocketAddr,
    ) -> Result<Self> {
        let mut server = Self {
            name: name.into(),
            service,
            address,
            namespace: namespace.clone(),
            served: Arc::default(),
            health_status: Arc::new(AtomicU16::new(200)),
            running: None,
        };
        server.restart()?;
        Ok(server)
    }

    /// Starts it again at the same address after [`Self::kill`] or [`Self::close_listener`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        let context = || format!("{} cannot listen at {}", self.name, self.address);
        let socket =
            self.namespace.run(|| bind(self.service, self.address))?.with_context(context)?;
        let (accepting, accept) = watch::channel(true);
        let answers = Answering {
            name: Arc::clone(&self.name),
            service: self.service,
            served: Arc::clone(&self.served),
            health_status: Arc::clone(&self.health_status),
        };
        let _inside = runtime().enter();
        let task = match self.service {
            Service::Echo => {
                let socket = UdpSocket::from_std(socket.into())?;
                runtime().spawn(answers.echo(socket))
            }
            Service::Http | Service::Name => {
                let listener = TcpListener::from_std(socket.into())?;
                runtime().spawn(answers.accept(listener, accept))
            }
        };
        self.running = Some(Running { task, accepting });
        Ok(())
    }

    /// As if the process died: the socket is closed, so new SYNs get RST and datagrams ICMP, and
    /// open connections end. Returns when the socket is closed.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
            let _ = runtime().block_on(running.task);
        }
    }

    /// New SYNs get RST, open connections go on. Returns when the listener is closed.
    pub fn close_listener(&self) {
        if let Some(running) = &self.running {
            let _ = running.accepting.send(false);
            // The accept loop drops its receiver right after its listener.
            runtime().block_on(running.accepting.closed());
        }
    }

    /// Status that health checks get from now on.
    pub fn set_health_status(&self, status: u16) {
        self.health_status.store(status, Ordering::Relaxed);
    }

    /// What it answers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done, over all its restarts.
    pub fn served(&self) -> &Served {
        &self.served
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sums what servers served, by name.
pub fn by_name(servers: &[Server], count: impl Fn(&Served) -> u64) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for server in servers {
        *sums.entry(server.name().to_owned()).or_default() += count(server.served());
    }
    sums
}

/// One runtime for all servers of the process: a socket stays in the namespace that made it.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("lab-server")
            .enable_all()
            .build()
            .expect("threads for the lab's servers")
    })
}

fn bind(service: Service, address: SocketAddr) -> io::Result<Socket> {
    let (kind, protocol) = match service {
        Service::Echo => (Type::DGRAM, Protocol::UDP),
        Service::Http | Service::Name => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if kind == Type::STREAM {
        // The old listener's connections may still be in TIME_WAIT here.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
    } else {
        socket.set_recv_buffer_size(4 << 20)?;
        socket.bind(&address.into())?;
    }
    Ok(socket)
}

//! Two network namespaces with a cable between them, gone when the test ends.

use std::{
    fs::File,
    net::IpAddr,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use nix::sched::{CloneFlags, setns};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    fn new(role: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("slb-{role}-{}-{number}", std::process::id());
        run(&format!("ip netns add {name}"));
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn ip(&self, arguments: &str) -> String {
        run(&format!("ip -n {} {arguments}", self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A panic here while a test fails would hide why it fails.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// A balancer (eth1, 10.55.0.1/24, fd55::1/64) and a far end (eth0, .2, ::2).
pub(crate) struct Pair {
    pub(crate) balancer: Namespace,
    pub(crate) far: Namespace,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (balancer, far) = (Namespace::new("lb"), Namespace::new("far"));
        balancer.ip(&format!("link add eth1 type veth peer name eth0 netns {}", far.name));
        for (namespace, interface, host) in [(&balancer, "eth1", 1), (&far, "eth0", 2)] {
            namespace.ip(&format!("addr add 10.55.0.{host}/24 dev {interface}"));
            namespace.ip(&format!("-6 addr add fd55::{host}/64 dev {interface} nodad"));
            namespace.ip(&format!("link set {interface} up"));
        }
        Self { balancer, far }
    }

    /// The MAC address of an interface, of the balancer (`lb`) or of the far end (`far`).
    pub(crate) fn mac(&self, role: &str, interface: &str) -> [u8; 6] {
        let namespace = if role == "lb" { &self.balancer } else { &self.far };
        let line = namespace.ip(&format!("-o link show {interface}"));
        let mac = line.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
        let bytes: Vec<u8> =
            mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        bytes.try_into().unwrap()
    }
}

/// Runs something in a namespace, on a thread and a tokio runtime of its own.
pub(crate) fn inside<T: Send>(namespace: &Namespace, body: impl AsyncFnOnce() -> T + Send) -> T {
    enter(&namespace.name, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(body())
    })
}

fn enter<T: Send>(name: &str, body: impl FnOnce() -> T + Send) -> T {
    let in_thread = || {
        let file = File::open(format!("/run/netns/{name}")).unwrap();
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        body()
    };
    let outcome = std::thread::scope(|scope| scope.spawn(in_thread).join());
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a command of words without quotes; returns what it writes.
pub(crate) fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{command}` (these tests need root): {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The index of an interface in this thread's namespace.
pub(crate) fn index(interface: &str) -> u32 {
    nix::net::if_::if_nametoindex(interface).unwrap()
}

/// Sends a UDP datagram from another namespace.
pub(crate) fn send_from(namespace: &str, to: &str) {
    enter(namespace, || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(b"hello", to).unwrap();
    });
}

/// Fails unless an address answers on the link of another namespace: a TCP connection to a port
/// without listener is refused, not lost.
pub(crate) fn answers(namespace: &str, address: IpAddr) {
    enter(namespace, || {
        let patience = std::time::Duration::from_secs(5);
        let refused = std::net::TcpStream::connect_timeout(&(address, 9).into(), patience);
        let kind = refused.unwrap_err().kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionRefused, "{address}");
    });
}

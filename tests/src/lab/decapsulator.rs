//! The far end of a tunnel in a backend's namespace, for kernels that have none (`ipip`, `sit`,
//! `ip6_tunnel` are modules, which a lab cannot load). What comes in IP is taken out and given to
//! the host as its own `lo` would: it is delivered if its destination is one of the host's
//! addresses, with the client's address as its source.

use std::{
    io::{ErrorKind, Read},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use etherparse::{IpSlice, ip_number};
use socket2::{Domain, Protocol, Socket, Type};

use super::Namespace;

/// How long a thread may take to notice that it is over.
const PATIENCE: Duration = Duration::from_millis(50);

/// Protocol number of sockets that send whole packets.
const RAW: u8 = 255;

/// Packets taken out, by what they came in: IPv4 in IPv4, IPv6 in IPv4, IPv4 in IPv6, IPv6 in IPv6.
pub type Taken = [AtomicU64; 4];

/// Takes packets out of tunnels as long as it lives.
#[derive(Debug)]
pub struct Decapsulator {
    over: Arc<AtomicBool>,
    taken: Arc<Taken>,
    threads: Vec<JoinHandle<()>>,
}

impl Decapsulator {
    /// Starts one in a namespace.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let (over, taken) = (Arc::<AtomicBool>::default(), Arc::<Taken>::default());
        let mut threads = Vec::new();
        let outer = [Domain::IPV4, Domain::IPV4, Domain::IPV6, Domain::IPV6];
        let inner = [ip_number::IPV4, ip_number::IPV6, ip_number::IPV4, ip_number::IPV6];
        for (kind, (outer, inner)) in outer.into_iter().zip(inner).enumerate() {
            let raw = |domain, protocol: u8| {
                let protocol = Some(Protocol::from(i32::from(protocol)));
                namespace.run(|| Socket::new(domain, Type::RAW, protocol))?.context("a raw socket")
            };
            let domain = if inner == ip_number::IPV4 { Domain::IPV4 } else { Domain::IPV6 };
            let (from, to) = (raw(outer, inner.0)?, raw(domain, RAW)?);
            from.set_read_timeout(Some(PATIENCE))?;
            let (over, taken) = (Arc::clone(&over), Arc::clone(&taken));
            threads.push(thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if pass_on(&from, &to, outer == Domain::IPV4) {
                        taken[kind].fetch_add(1, Ordering::Relaxed);
                    }
                }
            }));
        }
        Ok(Self { over, taken, threads })
    }

    /// Packets taken out so far.
    pub fn taken(&self) -> [u64; 4] {
        std::array::from_fn(|kind| self.taken[kind].load(Ordering::Relaxed))
    }
}

impl Drop for Decapsulator {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It has nothing to say any more.
            let _ = thread.join();
        }
    }
}

/// Waits for one packet, and delivers what is in it. IPv4 sockets give the outer header as well.
fn pass_on(mut from: &Socket, to: &Socket, with_header: bool) -> bool {
    let mut buffer = vec![0; 65_535];
    let length = match from.read(&mut buffer) {
        Ok(length) => length,
        Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
            return false;
        }
        Err(error) => panic!("the decapsulator's socket: {error}"),
    };
    let mut inner = &buffer[..length];
    if with_header {
        inner = &inner[usize::from(inner[0] & 0xf) * 4..];
    }
    let destination: IpAddr = match IpSlice::from_slice(inner) {
        Ok(packet) => packet.destination_addr(),
        Err(error) => panic!("what came in the tunnel is no packet: {error}"),
    };
    to.send_to(inner, &SocketAddr::new(destination, 0).into()).is_ok()
}

//! The checked configuration: what `slb check` has accepted, with every default filled in.
//!
//! Nothing here knows TOML. A value of these types is legal by construction of
//! `crate::config::check`; the rest of the daemon never asks again.

mod words;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::words::status_classes;

/// A whole configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The daemon's own surroundings.
    pub daemon: DaemonSettings,
    /// The XDP program and its tables; a change here needs a restart.
    pub dataplane: DataplaneSettings,
    /// Load balancers, in file order.
    pub instances: Vec<Instance>,
}

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Unix socket of the API.
    pub socket: PathBuf,
    /// Directory for state that outlives the daemon.
    pub state_dir: PathBuf,
}

/// `[dataplane]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataplaneSettings {
    /// Interfaces that XDP attaches to.
    pub interfaces: Vec<String>,
    /// How it attaches.
    pub xdp_mode: XdpMode,
    /// Live IPv4 connections that the table must take without refusing one.
    pub max_connections: u32,
    /// The same for IPv6, whose entries are twice as large.
    pub max_connections_v6: u32,
    /// Backend slots: one per listener, family and backend.
    pub max_backends: u32,
    /// Places in the ring arena (8 bytes each) that schedulers draw from.
    pub ring_slots: u32,
    /// Where programs and maps are pinned; a directory of a BPF file system.
    pub pin_dir: PathBuf,
    /// Who answers ARP, NDP and echo for VIPs.
    pub vip_owner: VipOwner,
}

/// `dataplane.xdp_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// Native where the driver can, else generic with a warning.
    Auto,
    /// In the driver; refused where it cannot.
    Native,
    /// In the network stack: any interface, slow.
    Generic,
}

/// `dataplane.vip_owner`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VipOwner {
    /// The daemon adds VIPs to the host; the kernel answers ARP, NDP and echo.
    Host,
    /// The operator has put them somewhere already (keepalived, BGP); nothing is added.
    External,
}

/// A load balancer that a user owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Unique name.
    pub name: String,
    /// Virtual addresses, both families, in file order.
    pub vips: Vec<IpAddr>,
    /// Name of its limits, e.g. `shared` or `slb.s2.medium`.
    pub specification: String,
    /// False: its listeners take no new connections; established ones go on.
    pub enabled: bool,
    /// Its listeners, in file order.
    pub listeners: Vec<Listener>,
}

/// Protocol and port on an instance's VIPs, with everything that belongs to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Transport or application protocol.
    pub protocol: Protocol,
    /// Port, host byte order.
    pub port: u16,
    /// How packets reach a backend.
    pub mode: ForwardingMode,
    /// How a new connection picks a backend.
    pub scheduler: Scheduler,
    /// Idle times by state.
    pub timeouts: Timeouts,
    /// How backends are checked.
    pub health_check: HealthCheck,
    /// False: it takes no new connections; established ones go on.
    pub enabled: bool,
    /// Name of the server group, if it points to one.
    pub server_group: Option<String>,
    /// Backends, of both families, in file order; copies of the group's where it points to one.
    pub backends: Vec<Backend>,
}

/// A real server of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Address; it serves the VIPs of its family.
    pub address: IpAddr,
    /// Port, host byte order.
    pub port: u16,
    /// 0–100; 0 takes no new connections.
    pub weight: u16,
    /// Whether it is used always or only without usable primaries.
    pub role: Role,
}

/// A listener's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Layer 4, TCP.
    Tcp,
    /// Layer 4, UDP.
    Udp,
}

/// How a layer-4 packet reaches a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardingMode {
    /// Destination NAT; replies come back through the balancer.
    Nat,
}

/// How a new connection picks a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// Weighted round robin, interleaved and exact.
    Wrr,
    /// Round robin over all backends with a weight above 0.
    Rr,
    /// Least active connections by weight.
    Wlc,
    /// Least active connections.
    Lc,
    /// Hash of the source address over a weighted ring.
    Sh,
    /// Weighted Maglev over the source address.
    Mh,
}

/// A backend's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Used whenever it is healthy.
    Primary,
    /// Used only when no primary is usable.
    Backup,
}

/// Idle times after which an entry ends, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Established TCP, or UDP: `established_timeout`.
    pub established: Duration,
    /// After a SYN, before the handshake is complete: `syn_timeout`.
    pub syn: Duration,
    /// After the first FIN: `fin_timeout`.
    pub fin: Duration,
    /// After both FINs: `time_wait_timeout`.
    pub time_wait: Duration,
}

/// How the backends of a listener are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: CheckKind,
    /// From the start of one check to the start of the next.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Successes in a row that make an unhealthy backend healthy.
    pub healthy: u32,
    /// Failures in a row that make a healthy backend unhealthy.
    pub unhealthy: u32,
    /// Port to ask; the backend's own if absent.
    pub port: Option<u16>,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A TCP handshake.
    Tcp,
    /// An HTTP request.
    Http(HttpCheck),
}

/// The request of an HTTP health check and what it wants back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// `GET` or `HEAD`.
    pub method: HttpMethod,
    /// Path with query.
    pub path: String,
    /// `Host` header; empty: the backend's address.
    pub domain: String,
    /// Status classes that are healthy, e.g. 2 for 2xx; sorted, none twice.
    pub codes: Vec<u16>,
}

/// Method of an HTTP health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// The whole answer; the default for tcp and udp listeners.
    Get,
    /// Headers only.
    Head,
}

/// Address family of a VIP, a backend and the connections between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The unspecified address of the family.
    pub const fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

/// Writes each variant by the word that the configuration file uses for it.
macro_rules! words {
    ($type:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every word of the configuration file for this setting.
            pub const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];

            /// The word of the configuration file.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

words!(XdpMode { Auto => "auto", Native => "native", Generic => "generic" });
words!(VipOwner { Host => "host", External => "external" });
words!(Protocol { Tcp => "tcp", Udp => "udp" });
words!(ForwardingMode { Nat => "nat" });
words!(Scheduler {
    Wrr => "wrr", Rr => "rr", Wlc => "wlc", Lc => "lc", Sh => "sh", Mh => "mh",
});
words!(Role { Primary => "primary", Backup => "backup" });
words!(HttpMethod { Get => "GET", Head => "HEAD" });
words!(Family { V4 => "IPv4", V6 => "IPv6" });

impl Backend {
    /// Address and port as one.
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

//! The checked configuration: what `slb check` has accepted, with every default filled in.
//!
//! Nothing here knows TOML. A value of these types is legal by construction of
//! `crate::config::check`; the rest of the daemon never asks again.

mod health;
mod limits;
mod options;
mod server_ids;
mod words;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::{
    health::{CheckKind, HealthCheck, HttpCheck, HttpMethod},
    limits::{BackendLimits, Bandwidth, Blackhole, ClientLimits, Limits, Specification},
    options::{
        AccessList, Acl, AclKind, MssClamp, NoBackend, OnBackendDown, Persistence, SynDefence,
        SynDefenceMode, TcpTimestamps,
    },
    server_ids::SharedServerId,
    words::status_classes,
};

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
    /// fullnat: addresses that backends see; at most 4096 in all, none of them twice, a VIP or a
    /// backend.
    pub local_addresses: Vec<IpNet>,
    /// tunnel: outer source, an address or a prefix to spread flows over; at most one per family.
    pub tunnel_source: Vec<IpNet>,
    /// Persistence templates of each family that can live at once.
    pub max_templates: u32,
    /// Fragmented datagrams of each family that can be followed at once.
    pub max_fragments: u32,
    /// Entries of all ACLs and SYN defence exemptions together.
    pub max_acl_entries: u32,
    /// File with the key of SYN cookies, which nodes can share; one of its own if absent.
    pub cookie_key_file: Option<PathBuf>,
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
    /// Its limits.
    pub specification: Specification,
    /// Shared by its listeners that have no bandwidth of their own.
    pub bandwidth: Bandwidth,
    /// When its VIPs are blackholed; never if absent.
    pub blackhole: Option<Blackhole>,
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
    /// Port, host byte order; the first one of a range.
    pub port: u16,
    /// Last port of a range; the same as `port` if it is none.
    pub last_port: u16,
    /// How packets reach a backend.
    pub mode: ForwardingMode,
    /// How a new connection picks a backend.
    pub scheduler: Scheduler,
    /// How long a backend that comes ramps up from a tenth of its weight; at once if absent.
    pub slow_start: Option<Duration>,
    /// Whether a client keeps its backend.
    pub persistence: Option<Persistence>,
    /// Idle times by state.
    pub timeouts: Timeouts,
    /// How long connections of a removed backend may go on.
    pub drain_timeout: Duration,
    /// What happens to established TCP connections of a backend that fails.
    pub on_backend_down: OnBackendDown,
    /// udp: every datagram is scheduled by itself.
    pub one_packet: bool,
    /// tcp: what happens to timestamps.
    pub tcp_timestamps: TcpTimestamps,
    /// tcp: how the MSS is lowered.
    pub mss_clamp: MssClamp,
    /// How many connections it takes.
    pub limits: Limits,
    /// Of its own; what is absent is taken from the instance's.
    pub bandwidth: Bandwidth,
    /// Who may connect; everybody if absent.
    pub acl: Option<Acl>,
    /// tcp: when SYNs are answered by cookies or challenges.
    pub syn_defence: SynDefence,
    /// What a client gets without a usable backend.
    pub no_backend: NoBackend,
    /// tcp: a segment that is no SYN and has no entry is scheduled; else it is answered by RST.
    pub adopt: bool,
    /// How backends are checked.
    pub health_check: HealthCheck,
    /// False: it takes no new connections; established ones go on.
    pub enabled: bool,
    /// Name of the server group, if it points to one.
    pub server_group: Option<String>,
    /// Backends, of both families, in file order; none twice; copies of the group's where it points to one.
    pub backends: Vec<Backend>,
}

/// A real server of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Address; it serves the VIPs of its family, in tunnel mode those of both.
    pub address: IpAddr,
    /// Port, host byte order; the first one if `maps_ports`.
    pub port: u16,
    /// True on a port range that is mapped one to one; else every port leads to `port`.
    pub maps_ports: bool,
    /// 0–100; 0 takes no new connections.
    pub weight: u16,
    /// Whether it is used always or only without usable primaries.
    pub role: Role,
    /// How many connections of its listener it takes.
    pub limits: BackendLimits,
    /// What the QUIC connection IDs that it makes call it.
    pub server_id: Option<u16>,
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
    /// The MAC address alone is rewritten; replies go to the client directly.
    Dr,
    /// IP in IP; replies go to the client directly.
    Tunnel,
    /// Destination and source NAT; replies come back to a local address.
    FullNat,
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
    /// Weighted Maglev over both addresses and ports.
    Tch,
    /// Least (active connections + 1) by weight: shortest expected delay.
    Sed,
    /// Never queue: an idle backend before all others, else as sed.
    Nq,
    /// udp: by the server id in QUIC connection IDs, else as tch.
    Qch,
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

    /// The IP version, by which the kernel side knows it.
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
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
words!(ForwardingMode { Nat => "nat", Dr => "dr", Tunnel => "tunnel", FullNat => "fullnat" });
words!(OnBackendDown { Keep => "keep", Reset => "reset" });
words!(TcpTimestamps { Keep => "keep", Strip => "strip", Auto => "auto" });
words!(AclKind { Allow => "allow", Deny => "deny" });
words!(SynDefenceMode { Auto => "auto", Always => "always", Off => "off" });
words!(NoBackend { Reset => "reset", Drop => "drop" });
words!(Scheduler {
    Wrr => "wrr", Rr => "rr", Wlc => "wlc", Lc => "lc", Sh => "sh", Mh => "mh", Tch => "tch",
    Sed => "sed", Nq => "nq", Qch => "qch",
});
words!(Role { Primary => "primary", Backup => "backup" });
words!(HttpMethod { Get => "GET", Head => "HEAD" });
words!(Family { V4 => "IPv4", V6 => "IPv6" });

impl ForwardingMode {
    /// True if replies come back through the balancer.
    pub const fn sees_replies(self) -> bool {
        matches!(self, Self::Nat | Self::FullNat)
    }

    /// True if a backend of one family can serve a VIP of the other.
    pub const fn crosses_families(self) -> bool {
        matches!(self, Self::Tunnel)
    }
}

impl Scheduler {
    /// True if it finds the same backend for a connection without remembering it.
    pub fn hashes(self) -> bool {
        matches!(self.word(), "sh" | "mh" | "tch" | "qch")
    }
}

impl Listener {
    /// True if it takes more than one port.
    pub const fn is_range(&self) -> bool {
        self.port < self.last_port
    }

    /// A backend that a command adds to it. On a range its first port means one to one.
    pub const fn backend(&self, endpoint: SocketAddr, weight: u16, role: Role) -> Backend {
        let (address, port) = (endpoint.ip(), endpoint.port());
        let maps_ports = self.is_range() && port == self.port;
        let limits = BackendLimits { max_connections: None, cps: None };
        Backend { address, port, maps_ports, weight, role, limits, server_id: None }
    }
}

impl Backend {
    /// Address and port as one; the first port if it maps ports.
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

//! Virtual services and their backends as the XDP program sees them. A *service* is one listener
//! for one address family; all VIPs of that family lead to it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

mod bitmap;

pub use bitmap::{AddressBitmap, BITMAP_BITS, BITMAP_WORDS, address_bit};

use crate::next_hop::NextHop;

/// Key of `SERVICES4`: a VIP's address and port as on the wire, and the IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ServiceKey4 {
    /// Network byte order.
    pub vip: [u8; 4],
    /// Network byte order.
    pub port: [u8; 2],
    /// 6 or 17.
    pub protocol: u8,
    /// Always 0.
    pub reserved: u8,
}

/// Key of `SERVICES6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ServiceKey6 {
    /// Network byte order.
    pub vip: [u8; 16],
    /// Network byte order.
    pub port: [u8; 2],
    /// 6 or 17.
    pub protocol: u8,
    /// Always 0.
    pub reserved: u8,
}

/// How a service picks the backend of a new connection, as it stands in a [`Ring`].
pub mod scheduler {
    /// Next place of the ring by one counter for all processors: wrr and rr.
    pub const ROUND_ROBIN: u8 = 0;
    /// Least (active × 256 + inactive) / weight over all places, which name each backend once.
    pub const LEAST_CONNECTIONS: u8 = 1;
    /// The better of two places drawn at random from a ring by weight: wlc above 256 backends.
    pub const TWO_CHOICES: u8 = 2;
    /// Place by hash of the source address: sh and mh.
    pub const SOURCE_HASH: u8 = 3;
    /// Place by hash of both endpoints: tch.
    pub const TUPLE_HASH: u8 = 4;
    /// The first [`MAGLEV_PLACES`](super::MAGLEV_PLACES) places are tch's; behind them stands, by
    /// server id, the slot of each backend that connection IDs name: qch.
    pub const QUIC: u8 = 5;
    /// Least (active + 1) / weight over all places, which name each backend once: sed.
    pub const SHORTEST_DELAY: u8 = 6;
    /// The same, but backends without active connections come first: nq.
    pub const NEVER_QUEUE: u8 = 7;
    /// The better of two places by sed's measure: sed above 256 backends.
    pub const SHORTEST_DELAY_OF_TWO: u8 = 8;
    /// The better of two places by nq's measure: nq above 256 backends.
    pub const NEVER_QUEUE_OF_TWO: u8 = 9;
}

/// Places of a Maglev table: Google's and Katran's prime.
pub const MAGLEV_PLACES: u32 = 65_537;
/// Of a place among the server ids of [`scheduler::QUIC`]: no backend has that id.
pub const NO_SLOT: u32 = u32::MAX;

/// Backends that [`scheduler::LEAST_CONNECTIONS`] and its kin compare at most.
pub const LEAST_CONNECTIONS_MAX: u32 = 256;

/// A stretch of the ring arena and how to draw from it, in one word, so that a change of
/// backends, weights or scheduler is one store.
///
/// Bits: offset 32 | length 24 | scheduler 8, the scheduler lowest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Ring(pub u64);

impl Ring {
    /// Draws nothing: no backend is usable.
    pub const EMPTY: Self = Self(0);
    /// Longest ring.
    pub const MAX_LENGTH: u32 = (1 << 24) - 1;

    /// A ring of `length` places from `offset`; `length` must not pass [`Ring::MAX_LENGTH`].
    pub const fn new(offset: u32, length: u32, scheduler: u8) -> Self {
        Self((offset as u64) << 32 | (length as u64) << 8 | scheduler as u64)
    }

    /// First place in the arena.
    #[inline(always)]
    pub const fn offset(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Number of places; 0: no backend is usable.
    #[inline(always)]
    pub const fn length(self) -> u32 {
        (self.0 >> 8) as u32 & Self::MAX_LENGTH
    }

    /// One of [`scheduler`].
    #[inline(always)]
    pub const fn scheduler(self) -> u8 {
        self.0 as u8
    }
}

/// How packets of a connection reach its backend, as it stands in [`Service::mode`] and in each
/// entry: a listener's mode may change while connections of the former one live.
pub mod mode {
    /// Destination NAT; replies come back through the balancer.
    pub const NAT: u8 = 0;
    /// The frame is addressed to the backend's MAC, the packet stays as it is (direct routing).
    pub const DIRECT: u8 = 1;
    /// The packet is put into another one to the backend (IP in IP, RFC 2003, RFC 2473).
    pub const TUNNEL: u8 = 2;
    /// Source NAT to a local address, destination NAT to the backend.
    pub const FULL_NAT: u8 = 3;

    /// True if only the client's direction passes the balancer.
    #[inline(always)]
    pub const fn one_sided(mode: u8) -> bool {
        mode == DIRECT || mode == TUNNEL
    }
}

/// The service exists; without it the place in the map is free.
pub const SERVICE_PRESENT: u32 = 1;
/// New connections are dropped and counted, established ones go on: stopped by command.
pub const SERVICE_STOPPED: u32 = 1 << 1;
/// A TCP segment without entry that is not a SYN is scheduled as if it were one (hash schedulers).
pub const SERVICE_ADOPT: u32 = 1 << 2;
/// The access list names who may come; without the flag, who may not.
pub const SERVICE_ACL_ALLOWS: u32 = 1 << 3;
/// Without a usable backend packets are dropped in silence instead of answered.
pub const SERVICE_SILENT: u32 = 1 << 4;
/// The timestamps option is taken out of SYNs (RFC 7323 then uses none on the connection).
pub const SERVICE_STRIP_TIMESTAMPS: u32 = 1 << 5;
/// Every datagram is scheduled, none makes an entry.
pub const SERVICE_ONE_PACKET: u32 = 1 << 6;
/// Limits only count what they would refuse.
pub const SERVICE_SHADOW: u32 = 1 << 7;
/// SYNs are answered by cookies when the VIP is flooded.
pub const SERVICE_COOKIES_AUTO: u32 = 1 << 8;
/// SYNs are always answered by cookies.
pub const SERVICE_COOKIES_ALWAYS: u32 = 1 << 9;
/// Bandwidth is limited: packets pass the buckets.
pub const SERVICE_METERED: u32 = 1 << 10;

/// Limits of new connections; 0: none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Limits {
    /// Entries that are active or in handshake, at most.
    pub connections: u32,
    /// New connections in a second, at most; a token bucket of one second.
    pub rate: u32,
}

/// Bandwidth in bytes per second; 0: not limited.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Bandwidth {
    /// From clients.
    pub inbound: u64,
    /// To clients.
    pub outbound: u64,
}

/// Persistence by source; a template belongs to a group of services (mostly of one).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Persistence {
    /// Ticks that a template outlives its last connection.
    pub timeout: u32,
    /// Services that share templates have the same number.
    pub group: u16,
    /// Leading bits of the client's address that count; 0: no persistence.
    pub prefix: u8,
    /// Always 0.
    pub reserved: u8,
}

impl Persistence {
    /// From its word in a service, read at once: the daemon may be changing it.
    #[inline(always)]
    pub const fn of_word(word: u64) -> Self {
        zerocopy::transmute!(word)
    }
}

/// Value of the array `SERVICES`, by service id.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Service {
    /// Where new connections go.
    pub ring: Ring,
    /// Bits `SERVICE_*`.
    pub flags: u32,
    /// First port, host byte order.
    pub port: u16,
    /// Last port, host byte order; the same as the first unless the listener has a range.
    pub last_port: u16,
    /// 6 or 17.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    /// One of [`mode`].
    pub mode: u8,
    /// Leading bits of a client's address that its limits count together; 0: no such limits.
    pub client_prefix: u8,
    /// Index in `INSTANCES`.
    pub instance: u16,
    /// Greatest segment size that SYNs may announce, host byte order; 0: as announced.
    pub mss: u16,
    /// Number of the access list in `ACL4` and `ACL6`; 0: none.
    pub acl: u32,
    /// Number of the list of clients that get no cookies; 0: none.
    pub exempt: u32,
    /// Persistence by source.
    pub persistence: Persistence,
    /// Limits of all its connections together.
    pub limits: Limits,
    /// Limits of one client prefix.
    pub client_limits: Limits,
    /// Bandwidth of all its connections together.
    pub bandwidth: Bandwidth,
    /// Half-open connections in a second above which its VIPs answer by cookies.
    pub cookie_threshold: u32,
    /// Tick until which answers to cookies and challenges count whatever the flags say: those of
    /// former settings are on their way.
    pub answers_until: u32,
    /// Idle times by state.
    pub timeouts: Timeouts,
}

/// Value of the array `INSTANCES`: what all services of an instance share.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Instance {
    /// Its specification.
    pub limits: Limits,
    /// Shared by its services that have none of their own.
    pub bandwidth: Bandwidth,
    /// [`INSTANCE_PRESENT`].
    pub flags: u32,
    /// Hash of its name, by which a new daemon finds it again.
    pub name: u32,
}

/// The place is in use.
pub const INSTANCE_PRESENT: u32 = 1;

/// Value of the arrays `METERS_SERVICES`, `METERS_INSTANCES` and `METERS_BACKENDS`: the buckets'
/// state, by processors together: words of [`crate::admission::Bucket`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Meter {
    /// New connections.
    pub connections: u64,
    /// Bytes from clients.
    pub inbound: u64,
    /// Bytes to clients.
    pub outbound: u64,
    /// Connections that are being opened right now and no gauge counts yet.
    pub reserved: u64,
}

/// Idle times in ticks (see [`crate::connection::ticks`]), by state: a lookup, no comparison.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timeouts {
    /// Ticks without a packet after which an entry in this state is gone.
    pub by_state: [u32; 16],
}

/// Units that [`Backend::weight`] divides a configured weight into: a slow start goes in steps
/// finer than one.
pub const WEIGHT_UNITS: u16 = 100;

/// The backend takes new connections if a ring names it.
pub const BACKEND_PRESENT: u16 = 1;
/// It has failed: UDP flows leave it with their next packet.
pub const BACKEND_DOWN: u16 = 2;
/// Ports map one to one: the port of a packet stays what it is.
pub const BACKEND_SAME_PORT: u16 = 4;
/// New connections may go there: a ring names it, so a template may, too.
pub const BACKEND_USABLE: u16 = 8;

/// Value of the array `BACKENDS`, by slot: one backend of one service.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Backend {
    /// Address as the program compares it: see [`crate::connection::v4_words`], `v6_words`.
    pub address: [u64; 2],
    /// Where frames to it go.
    pub hop: NextHop,
    /// Port, network byte order in memory.
    pub port: [u8; 2],
    /// Bits `BACKEND_*`.
    pub flags: u16,
    /// Weight for [`scheduler::LEAST_CONNECTIONS`] and its kin, in units of 1 /
    /// [`WEIGHT_UNITS`] of the configured one; 0 takes nothing.
    pub weight: u16,
    /// Service that the slot belongs to.
    pub service: u16,
    /// Raised whenever the slot is freed, so that entries of the former one are told apart.
    pub generation: u8,
    /// One of [`health`]; for the daemon, which reads it back after a restart.
    pub health: u8,
    /// Identity in QUIC connection ids, host byte order.
    pub server_id: u16,
    /// Limits of its connections.
    pub limits: Limits,
    /// 4 or 6: in a tunnel it may differ from the service's.
    pub family: u8,
    /// Always 0.
    pub reserved: [u8; 3],
}

/// What the daemon's checks knew of a backend, as it stands in [`Backend::health`].
pub mod health {
    /// No result yet, or nobody asks.
    pub const UNKNOWN: u8 = 0;
    /// It answered as it should.
    pub const HEALTHY: u8 = 1;
    /// It did not.
    pub const UNHEALTHY: u8 = 2;
}

/// Value of the arrays `GAUGES` (by backend slot), `GAUGES_SERVICES` and `GAUGES_INSTANCES`:
/// entries in the table right now.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Gauges {
    /// Established TCP, and UDP that has been answered.
    pub active: u64,
    /// Handshake and unanswered UDP.
    pub opening: u64,
    /// TCP that is closing.
    pub closing: u64,
    /// Always 0.
    pub reserved: u64,
}

impl Gauges {
    /// Entries that are not active, as operators count them.
    pub const fn inactive(self) -> u64 {
        self.opening.wrapping_add(self.closing)
    }
}

/// Value of the per-CPU arrays `BACKEND_COUNTERS` (by slot) and `SERVICE_COUNTERS` (by service).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Counters {
    /// Connections opened.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Bytes from clients: IP header and payload, without the link layer.
    pub bytes_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

const _: () = assert!(size_of::<Service>() == 144);
const _: () = assert!(size_of::<Backend>() == 64);
const _: () = assert!(size_of::<Instance>() == 32 && size_of::<Meter>() == 32);

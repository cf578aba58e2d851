//! Virtual services and their backends as the XDP program sees them. A *service* is one listener
//! for one address family; all VIPs of that family lead to it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

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
}

/// Backends that [`scheduler::LEAST_CONNECTIONS`] compares at most.
pub const LEAST_CONNECTIONS_MAX: u32 = 256;

/// A stretch of the ring arena and how to draw from it, in one word, so that a change of
/// backends, weights or scheduler is one store.
///
/// Bits: offset 32 | length 24 | scheduler 8, the scheduler lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
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

/// The service exists; without it the place in the map is free.
pub const SERVICE_PRESENT: u16 = 1;
/// New connections are dropped and counted, established ones go on: stopped by command.
pub const SERVICE_STOPPED: u16 = 2;
/// A TCP segment without entry that is not a SYN is scheduled as if it were one (hash schedulers).
pub const SERVICE_ADOPT: u16 = 4;

/// Value of the array `SERVICES`, by service id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Service {
    /// Where new connections go.
    pub ring: Ring,
    /// Bits `SERVICE_*`.
    pub flags: u16,
    /// Port, host byte order; for the daemon, which reads it back after a restart.
    pub port: u16,
    /// 6 or 17.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    /// The configured scheduler's place in the list of the file's words; for the daemon.
    pub configured_scheduler: u8,
    /// Always 0.
    pub reserved: u8,
    /// Idle times by state.
    pub timeouts: Timeouts,
}

/// Idle times in ticks (see [`crate::connection::ticks`]), by state: a lookup, no comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timeouts {
    /// Ticks without a packet after which an entry in this state is gone.
    pub by_state: [u32; 16],
}

/// The backend takes new connections if a ring names it.
pub const BACKEND_PRESENT: u16 = 1;

/// Value of the array `BACKENDS`, by slot: one backend of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
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
    /// Weight for [`scheduler::LEAST_CONNECTIONS`]; 0 takes nothing.
    pub weight: u16,
    /// Service that the slot belongs to.
    pub service: u16,
    /// Raised whenever the slot is freed, so that entries of the former one are told apart.
    pub generation: u8,
    /// One of [`health`]; for the daemon, which reads it back after a restart.
    pub health: u8,
    /// Always 0.
    pub reserved: [u8; 14],
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

/// Value of the array `GAUGES`, by backend slot: entries in the table right now.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Gauges {
    /// Established TCP, and UDP that has been answered.
    pub active: u64,
    /// Handshake, closing and unanswered UDP.
    pub inactive: u64,
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

/// Bits of one direction bitmap.
pub const BITMAP_BITS: u32 = 1 << 16;
/// Words of one direction bitmap.
pub const BITMAP_WORDS: usize = BITMAP_BITS as usize / 64;

/// Value of the array `BITMAPS`: index 0 the VIPs, 1 the backends. A clear bit proves that the
/// address is none of them; a set bit may be another address's.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddressBitmap {
    /// Bit `n` is bit `n % 64` of word `n / 64`.
    pub words: [u64; BITMAP_WORDS],
}

/// The bit of an address (words as in [`Backend::address`]).
#[inline(always)]
pub const fn address_bit(address: [u64; 2]) -> u32 {
    (crate::hash::mix_address(address) >> 48) as u32
}

const _: () = assert!(size_of::<Service>() == 80);
const _: () = assert!(size_of::<Backend>() == 64);

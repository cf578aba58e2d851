//! How much is let through: specifications, limits, bandwidth and blackholing.

use std::time::Duration;

/// The limits of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specification {
    /// `shared` (no limits), a specification such as `slb.s2.medium`, or `custom`.
    pub name: String,
    /// Live connections over all listeners.
    pub max_connections: Option<u64>,
    /// New connections per second.
    pub cps: Option<u64>,
    /// Queries per second (layer 7).
    pub qps: Option<u64>,
}

/// The limits of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Live connections.
    pub max_connections: Option<u64>,
    /// New connections per second.
    pub cps: Option<u64>,
    /// Of each client prefix.
    pub client: Option<ClientLimits>,
    /// Only counts what would have been refused, clients' limits included.
    pub shadow: bool,
}

/// What the clients of one prefix may take of a listener together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Live connections.
    pub max_connections: Option<u64>,
    /// New connections per second.
    pub cps: Option<u64>,
    /// Prefix length of IPv4 clients that count as one, 1–32.
    pub netmask: u8,
    /// Prefix length of IPv6 clients that count as one, 1–128.
    pub netmask6: u8,
}

/// The limits of a backend within its listener; one that has reached them is skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendLimits {
    /// Live connections.
    pub max_connections: Option<u64>,
    /// New connections per second.
    pub cps: Option<u64>,
}

/// Bandwidth in bit/s, of IP packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// From clients to backends.
    pub inbound: Option<u64>,
    /// From backends to clients; always absent in dr and tunnel mode, where replies are not seen.
    pub outbound: Option<u64>,
}

/// When a VIP is blackholed: above at least one threshold, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blackhole {
    /// Packets per second to one VIP.
    pub pps: Option<u64>,
    /// Bits per second to one VIP.
    pub bps: Option<u64>,
    /// How long nothing is let through to it.
    pub duration: Duration,
}

impl Specification {
    /// The name of the specification without limits, which is the default.
    pub const SHARED: &'static str = "shared";
    /// The name of limits that an instance has of its own.
    pub const CUSTOM: &'static str = "custom";

    /// Name, live connections, new connections per second and queries per second of each
    /// specification with limits, smallest first.
    pub const SIZES: [(&'static str, u64, u64, u64); 6] = [
        ("slb.s1.small", 5_000, 3_000, 1_000),
        ("slb.s2.small", 50_000, 5_000, 5_000),
        ("slb.s2.medium", 100_000, 10_000, 10_000),
        ("slb.s3.small", 200_000, 20_000, 20_000),
        ("slb.s3.medium", 500_000, 50_000, 30_000),
        ("slb.s3.large", 1_000_000, 100_000, 50_000),
    ];

    /// The specification without limits.
    pub fn shared() -> Self {
        let name = Self::SHARED.to_owned();
        Self { name, max_connections: None, cps: None, qps: None }
    }
}

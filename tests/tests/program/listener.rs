//! Listeners and backends for tests, before they are set up.

use std::net::{IpAddr, SocketAddr};

use slb_common::{
    connection::ticks,
    service::{Limits, Persistence, SERVICE_PRESENT, Service, Timeouts, mode, scheduler},
};
use slb_tests::packets::Mac;
use slb_userspace::config::model::Protocol;

use super::balancer::ELSEWHERE;

/// A backend of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) weight: u16,
    pub(crate) mac: Mac,
    pub(crate) vlan: u16,
    pub(crate) interface: u32,
    /// Longest packet on the way to it; 0: not known.
    pub(crate) mtu: u16,
    /// It keeps the port of a packet.
    pub(crate) same_port: bool,
    /// False: no new connections, whatever the ring says.
    pub(crate) usable: bool,
    /// How often its slot has been used before.
    pub(crate) generation: u8,
    /// Its health check has failed.
    pub(crate) failed: bool,
    pub(crate) limits: Limits,
}

impl Target {
    /// A backend of weight 1, untagged, behind another interface.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let last = match address.ip() {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(ip) => ip.octets()[15],
        };
        let mac = [2, 0, 0, 0, 1, last];
        Self {
            address,
            weight: 1,
            mac,
            vlan: 0,
            interface: ELSEWHERE,
            mtu: 0,
            same_port: false,
            usable: true,
            generation: 0,
            failed: false,
            limits: Limits::default(),
        }
    }
}

/// A listener, that is a service of one family.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) vips: Vec<SocketAddr>,
    /// Last port of a range that begins with the VIPs' port.
    pub(crate) last_port: Option<u16>,
    pub(crate) protocol: Protocol,
    /// One of `slb_common::service::mode`.
    pub(crate) mode: u8,
    pub(crate) scheduler: u8,
    pub(crate) flags: u32,
    pub(crate) mss: u16,
    pub(crate) timeouts: Timeouts,
    pub(crate) persistence: Persistence,
    pub(crate) backends: Vec<Target>,
    /// Whatever else its service has: limits, bandwidth, lists.
    pub(crate) more: Service,
}

impl Listener {
    /// A listener that gives backends their turn.
    pub(crate) fn new(vip: SocketAddr, protocol: Protocol, backends: &[SocketAddr]) -> Self {
        Self {
            vips: vec![vip],
            last_port: None,
            protocol,
            mode: mode::NAT,
            scheduler: scheduler::ROUND_ROBIN,
            flags: SERVICE_PRESENT,
            mss: 0,
            timeouts: Timeouts::new(ticks(900), ticks(60), ticks(60), ticks(60)),
            persistence: Persistence::default(),
            backends: backends.iter().copied().map(Target::new).collect(),
            more: Service::default(),
        }
    }
}

/// A listener that has been set up.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    pub(crate) service: u16,
    /// Slots of its backends, in their order.
    pub(crate) slots: Vec<u32>,
}

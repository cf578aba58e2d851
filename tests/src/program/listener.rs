//! Listeners and backends for tests, before they are set up.

use std::net::{IpAddr, SocketAddr};

use crate::packets::Mac;
use slb_common::{
    connection::ticks,
    service::{Limits, Persistence, SERVICE_PRESENT, Service, Timeouts, mode, scheduler},
};
use slb_userspace::config::model::Protocol;

use super::balancer::ELSEWHERE;

/// A backend of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Of its scheduler.
    pub weight: u16,
    /// Its own, or its router's.
    pub mac: Mac,
    /// Tag of frames to it; 0: none.
    pub vlan: u16,
    /// Index of the interface that it is behind.
    pub interface: u32,
    /// Longest packet on the way to it; 0: not known.
    pub mtu: u16,
    /// It keeps the port of a packet.
    pub same_port: bool,
    /// False: no new connections, whatever the ring says.
    pub usable: bool,
    /// How often its slot has been used before.
    pub generation: u8,
    /// Its health check has failed.
    pub failed: bool,
    /// Of its connections.
    pub limits: Limits,
}

impl Target {
    /// A backend of weight 1, untagged, behind another interface.
    pub fn new(address: SocketAddr) -> Self {
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
pub struct Listener {
    /// Of one port.
    pub vips: Vec<SocketAddr>,
    /// Last port of a range that begins with the VIPs' port.
    pub last_port: Option<u16>,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// One of `slb_common::service::mode`.
    pub mode: u8,
    /// One of `slb_common::service::scheduler`.
    pub scheduler: u8,
    /// Bits `SERVICE_*`.
    pub flags: u32,
    /// Greatest segment size that SYNs may announce; 0: as announced.
    pub mss: u16,
    /// Idle times.
    pub timeouts: Timeouts,
    /// By source, if at all.
    pub persistence: Persistence,
    /// Where connections go.
    pub backends: Vec<Target>,
    /// Whatever else its service has: limits, bandwidth, lists.
    pub more: Service,
}

impl Listener {
    /// A listener that gives backends their turn.
    pub fn new(vip: SocketAddr, protocol: Protocol, backends: &[SocketAddr]) -> Self {
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
pub struct Installed {
    /// Its id.
    pub service: u16,
    /// Slots of its backends, in their order.
    pub slots: Vec<u32>,
}

//! A made-up status that tests of the API and the command line share.

use std::{collections::BTreeMap, net::IpAddr};

use super::types::{
    Admin, BackendStatus, Counts, DataplaneStatus, Health, InstanceStatus, InterfaceStatus,
    ListenerStatus, Status,
};
use crate::config::model::{ForwardingMode, Protocol, Role, Scheduler, XdpMode};

/// One instance with `shop/tcp:80` (three backends, one of them unhealthy) and `shop/udp:53`.
pub(crate) fn status() -> Status {
    let unhealthy = BackendStatus {
        health: Health::Unhealthy,
        health_reason: "connection refused".to_owned(),
        ..backend("10.0.1.12", 50, [0, 0, 17])
    };
    let web = ListenerStatus {
        protocol: Protocol::Tcp,
        port: 80.into(),
        mode: ForwardingMode::Nat,
        scheduler: Scheduler::Wrr,
        enabled: true,
        counts: Counts {
            active_connections: 4,
            inactive_connections: 1,
            connections_total: 1041,
            packets_in: 9876,
            bytes_in: 12_900_000,
            packets_out: 12_345,
            bytes_out: 50_331_648,
        },
        refused: BTreeMap::new(),
        would_refuse: BTreeMap::new(),
        backends: vec![
            backend("10.0.1.11", 100, [4, 1, 512]),
            unhealthy,
            backend("fd01::11", 100, [0, 0, 512]),
        ],
    };
    let dns = ListenerStatus {
        protocol: Protocol::Udp,
        port: 53.into(),
        scheduler: Scheduler::Mh,
        counts: Counts::default(),
        backends: vec![backend("10.0.1.13", 100, [0, 0, 0])],
        ..web.clone()
    };
    Status {
        dataplane: DataplaneStatus {
            xdp_mode: XdpMode::Native,
            interfaces: vec![InterfaceStatus {
                name: "eth0".to_owned(),
                attached: true,
                problem: None,
            }],
            connections: 5,
            max_connections: 1_000_000,
            connections_v6: 0,
            max_connections_v6: 250_000,
        },
        instances: vec![InstanceStatus {
            name: "shop".to_owned(),
            vips: vec![address("10.0.0.100"), address("fd00::100")],
            specification: "shared".to_owned(),
            enabled: true,
            flooded_vips: Vec::new(),
            listeners: vec![web, dns],
        }],
    }
}

/// A healthy backend on port 8080 with active, inactive and all connections.
fn backend(at: &str, weight: u16, [active, inactive, total]: [u64; 3]) -> BackendStatus {
    BackendStatus {
        address: address(at),
        port: 8080,
        weight,
        role: Role::Primary,
        health: Health::Healthy,
        health_reason: "HTTP 200 in 1 ms".to_owned(),
        admin: Admin::Active,
        drain_left_s: None,
        counts: Counts {
            active_connections: active,
            inactive_connections: inactive,
            connections_total: total,
            ..Counts::default()
        },
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

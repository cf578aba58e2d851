//! qch: which backends QUIC connection IDs can name, and where their slots stand.

use std::net::SocketAddr;

use slb_common::service::{MAGLEV_PLACES, NO_SLOT, SERVICE_ADOPT};

use super::{
    super::desired::{Circumstances, desired},
    world::{HOP, World},
};
use crate::{
    config::{load_str, model::Protocol},
    health::{Health, TargetKey},
};

const FILE: &str = r#"
[dataplane]
interfaces = ["eth0"]
[[instance]]
name = "video"
vips = ["10.0.0.100"]
[[instance.listener]]
protocol = "udp"
port = 443
scheduler = "qch"
health_check = { type = "tcp", port = 443 }
backends = [
    { address = "10.0.1.11", port = 443, server_id = 3 },
    { address = "10.0.1.12", port = 443, server_id = 1, weight = 0 },
    { address = "10.0.1.13", port = 443, server_id = 0, role = "backup" },
    { address = "10.0.1.14", port = 443, server_id = 2 },
    { address = "10.0.1.15", port = 443 },
]
"#;

#[test]
fn connections_of_drained_and_backup_backends_are_found_by_server_id_and_those_of_failed_ones_not()
{
    let config = load_str("slb.toml", FILE).expect("a sound file").config;
    let mut circumstances = Circumstances::default();
    for last in 11..=15_u8 {
        let backend = SocketAddr::from(([10, 0, 1, last], 443));
        let (instance, protocol) = ("video".to_owned(), Protocol::Udp);
        let key = TargetKey { instance, protocol, port: 443, backend };
        let health = if last == 14 { Health::Unhealthy } else { Health::Healthy };
        circumstances.health.insert(key, health);
        circumstances.hops.insert(backend.ip(), HOP);
    }
    let wanted = desired(&config, &circumstances);
    let ids: Vec<_> = wanted[0].backends.iter().map(|backend| backend.server_id).collect();
    assert_eq!(ids, [Some(3), Some(1), Some(0), None, None]);
    let usable: Vec<_> = wanted[0].backends.iter().map(|backend| backend.usable).collect();
    assert_eq!(usable, [true, false, false, false, true]);
    assert_eq!(wanted[0].flags & SERVICE_ADOPT, 0, "udp has nothing to adopt");

    let mut world = World::with_room();
    world.carry_out(&wanted);
    let places = &world.applied.services[&0].places;
    let (table, named) = places.split_at(MAGLEV_PLACES as usize);
    assert!(table.iter().all(|slot| [0, 4].contains(slot)), "only usable ones take new ones");
    assert_eq!(named, [2, 1, NO_SLOT, 0]);
}

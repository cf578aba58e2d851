//! What an earlier daemon knew, as it stands in the kernel.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use slb_common::{next_hop::NextHop, service::health};

use super::state::target_key;
use crate::{
    config::model::Config,
    health::{Health, TargetKey},
    plan::{applied::Applied, entrances},
};

/// The health of the backends that the configuration still names, where it was known.
pub(super) fn last_known(config: &Config, applied: &Applied) -> HashMap<TargetKey, Health> {
    let slots = applied.backends.values().filter_map(|slot| {
        let health = match slot.backend.health {
            health::HEALTHY => Health::Healthy,
            health::UNHEALTHY => Health::Unhealthy,
            _ => return None,
        };
        Some(((slot.backend.service, slot.endpoint), health))
    });
    let known: HashMap<(u16, SocketAddr), Health> = slots.collect();
    let mut health = HashMap::new();
    for instance in &config.instances {
        for listener in &instance.listeners {
            let (ports, protocol) = ((listener.port, listener.last_port), listener.protocol);
            // In tunnel mode a backend may serve VIPs of both families: each service knows it.
            let vips = instance.vips.iter();
            let services: HashSet<u16> = vips
                .flat_map(|vip| entrances(*vip, ports, protocol))
                .filter_map(|from| applied.leads.get(&from).copied())
                .collect();
            for key in listener.backends.iter().map(|one| target_key(instance, listener, one)) {
                let of = |service: &u16| known.get(&(*service, key.backend)).copied();
                if let Some(found) = services.iter().find_map(of) {
                    health.insert(key, found);
                }
            }
        }
    }
    health
}

/// Next hops by backend address.
pub(super) fn last_hops(applied: &Applied) -> HashMap<IpAddr, NextHop> {
    let slots = applied.backends.values().filter(|slot| slot.backend.hop.usable());
    slots.map(|slot| (slot.endpoint.ip(), slot.backend.hop)).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, HashMap},
        time::Duration,
    };

    use slb_common::service::{Limits, Timeouts};

    use super::*;
    use crate::{
        config::model::{Family, Protocol, Scheduler},
        plan::{
            admission::Admission,
            desired::{DesiredBackend, DesiredService},
            diff::{Room, diff},
            slow_start::WHOLE,
        },
    };

    /// One service for each listener, with one backend of this health.
    fn applied(listeners: &[(&str, Protocol, Health)]) -> Applied {
        let room = Room { services: 8, backends: 8, ring_slots: 64, leads: 8, vips: 8 };
        let services: Vec<_> = listeners
            .iter()
            .map(|(vip, protocol, health)| DesiredService {
                instance: "any".to_owned(),
                protocol: *protocol,
                port: 53,
                last_port: 53,
                family: Family::V4,
                vips: [vip.parse().unwrap()].into(),
                scheduler: Scheduler::Wrr,
                slow_start: Duration::ZERO,
                timeouts: Timeouts::new(1, 1, 1, 1),
                mode: 0,
                mss: 0,
                persistence: None,
                flags: 0,
                admission: Admission::default(),
                backends: vec![DesiredBackend {
                    endpoint: "10.0.1.11:5353".parse().unwrap(),
                    maps_ports: false,
                    weight: 1,
                    share: WHOLE,
                    server_id: None,
                    usable: false,
                    health: *health,
                    hop: None,
                    limits: Limits::default(),
                }],
            })
            .collect();
        let mut applied = Applied::default();
        let plan = diff(&applied, &services, &HashMap::new(), room, &[], 0).unwrap();
        plan.operations.iter().for_each(|operation| applied.note(operation));
        // As a new daemon reads it.
        let slots: BTreeMap<_, _> =
            applied.backends.iter().map(|(slot, one)| (*slot, one.backend)).collect();
        Applied::adopted(applied.services, slots, applied.leads)
    }

    #[test]
    fn health_is_known_by_vip_port_and_protocol_also_of_backends_that_are_not_drawn() {
        let text = r#"
[dataplane]
interfaces = ["eth0"]
[[instance]]
name = "dns"
vips = ["10.0.0.100", "10.0.0.101"]
[[instance.listener]]
protocol = "tcp"
port = 53
backends = [{ address = "10.0.1.11", port = 5353, weight = 0 }]
[[instance.listener]]
protocol = "udp"
port = 53
health_check = { type = "tcp", port = 5353 }
backends = [{ address = "10.0.1.11", port = 5353, weight = 0 }]
"#;
        let config = crate::config::load_str("test.toml", text).expect("a sound file").config;
        let applied = applied(&[
            ("10.0.0.99", Protocol::Tcp, Health::Unhealthy),
            ("10.0.0.101", Protocol::Udp, Health::Healthy),
            ("10.0.0.101", Protocol::Tcp, Health::Unhealthy),
        ]);
        let known = last_known(&config, &applied);
        let of = |protocol| {
            let keys: Vec<_> = known.iter().filter(|(key, _)| key.protocol == protocol).collect();
            keys.into_iter().map(|(_, health)| *health).collect::<Vec<_>>()
        };
        assert_eq!(of(Protocol::Tcp), [Health::Unhealthy]);
        assert_eq!(of(Protocol::Udp), [Health::Healthy]);
    }
}

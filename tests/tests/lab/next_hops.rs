//! A client or backend whose MAC address changes is found again.

use std::{net::IpAddr, time::Duration};

use anyhow::Result;
use slb_tests::lab::{Arms, Kept, Lab, Load, Namespace, Question, VIP_V4, VIP_V6};

use crate::{
    scene::{PATIENCE, Scene, VIPS, echo_at, eventually, http_at, without_errors},
    seen,
    services::{HTTP, echoes, http},
};

const NEW_MAC: &str = "02:00:00:00:00:77";

#[test]
fn a_client_with_a_new_mac_gets_replies_on_new_and_on_open_connections() -> Result<()> {
    for arms in [Arms::Two, Arms::One] {
        let lab = Lab::builder().arms(arms).build()?;
        let scene = Scene::start(lab, &[http("rr", [1, 1, 1]), echoes("rr", [1, 1, 1])])?;
        let mut kept = Vec::new();
        for vip in VIPS {
            let mut open = Kept::open(scene.client(), http_at(vip), 3)?;
            let names = open.names()?;
            kept.push((open, names));
        }
        change_mac(scene.client())?;
        for vip in VIPS {
            let load = Load::concurrent(30, 3).patience(Duration::from_secs(2));
            let answers = scene.ask(http_at(vip), Question::Http, load)?;
            without_errors(&format!("{arms:?} new connections to {vip}"), answers)?;
            let answers = scene.ask(echo_at(vip), Question::Echo, load)?;
            without_errors(&format!("{arms:?} new flows to {vip}"), answers)?;
        }
        for (mut open, names) in kept {
            assert_eq!(open.names()?, names, "{arms:?}");
        }
    }
    Ok(())
}

#[test]
fn a_backend_with_a_new_mac_gets_packets_of_new_and_of_open_connections() -> Result<()> {
    let scene = Scene::usual(&[http("rr", [1, 1, 1])])?;
    let mut v4 = Kept::open(scene.client(), http_at(VIP_V4.into()), 3)?;
    let mut v6 = Kept::open(scene.client(), http_at(VIP_V6.into()), 3)?;
    let before = (v4.names()?, v6.names()?);
    let backend = &scene.lab.backends[0];
    change_mac(&backend.namespace)?;
    for address in [IpAddr::V4(backend.v4), backend.v6.into()] {
        eventually("the host knows the new address", PATIENCE, || {
            let arguments = ["neigh", "show", "to", &address.to_string()];
            Ok(scene.lab.balancer.output("ip", &arguments)?.contains(NEW_MAC))
        })?;
    }
    for vip in VIPS {
        let load = Load::concurrent(30, 3).patience(Duration::from_secs(2));
        let answers = scene.ask(http_at(vip), Question::Http, load)?;
        assert_eq!(without_errors("new connections", answers)?.of("backend1"), 10);
    }
    assert_eq!((v4.names()?, v6.names()?), before);
    let status = scene.slbd.status()?;
    assert_eq!(seen::backend(&status, HTTP, backend.v4)["health"], "healthy");
    Ok(())
}

/// Gives a host's interface another MAC address, which it announces as the kernel does.
fn change_mac(host: &Namespace) -> Result<()> {
    host.sysctl(&[
        ("net/ipv4/conf/eth0/arp_notify", "1"),
        ("net/ipv6/conf/eth0/ndisc_notify", "1"),
    ])?;
    host.output("ip", &["link", "set", "eth0", "address", NEW_MAC]).map(drop)
}

//! The counters of status against what the client and its kernel counted.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use serde_json::Value;
use slb_tests::lab::{Answers, BytesCounted, Load, PacketsCounted, Question, VIP_V4, VIP_V6};

use crate::{
    scene::{Scene, VIPS, echo_at, eventually, http_at, without_errors},
    seen,
    services::{ECHO, HTTP, echoes, http},
};

/// Last packets are still on their way when the last answer is there.
const SETTLING: Duration = Duration::from_secs(3);

#[test]
fn ten_thousand_connections_64_at_once_have_no_error_and_every_counter_adds_up() -> Result<()> {
    const CONNECTIONS: u64 = 10_000;
    let scene = Scene::usual(&[http("wlc", [3, 2, 1])])?;
    let read = || -> Result<_> {
        Ok((PacketsCounted::read(scene.client())?, BytesCounted::read(scene.client())?))
    };
    let (packets_before, bytes_before) = read()?;
    let load = Load::concurrent(CONNECTIONS, 64).patience(Duration::from_secs(10));
    let answers = scene.ask(http_at(VIP_V4.into()), Question::Http, load)?;
    let answers = without_errors("10 000 connections", answers)?;
    assert_eq!(answers.answered(), CONNECTIONS);

    eventually("status agrees with the client's kernel", SETTLING, || {
        let listener = seen::listener(&scene.slbd.status()?, HTTP).clone();
        let (packets, bytes) = read()?;
        let (packets, bytes) = (packets - packets_before, bytes - bytes_before);
        let counted = ["packets_in", "packets_out", "bytes_in", "bytes_out", "active_connections"]
            .map(|name| seen::number(&listener, name));
        let wanted = [packets.sent, packets.received, bytes.sent, bytes.received, 0];
        Ok(counted == wanted)
    })?;
    let status = scene.slbd.status()?;
    assert_eq!(opened_by_name(&scene, &status, HTTP), answers.by_backend);
    adds_up(seen::listener(&status, HTTP))?;
    let nothing = scene.slbd.slb_ok(&["drops"])?;
    assert_eq!(nothing, "nothing has been dropped\n");
    Ok(())
}

#[test]
fn both_protocols_and_families_of_a_listener_are_counted_together_and_others_apart() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [3, 2, 1]), echoes("wrr", [1, 1, 1])])?;
    let before = PacketsCounted::read(scene.client())?;
    let mut answered = BTreeMap::<u16, BTreeMap<String, u64>>::new();
    for vip in VIPS {
        for (question, at) in [(Question::Http, http_at(vip)), (Question::Echo, echo_at(vip))] {
            let answers = scene.ask(at, question, Load::concurrent(90, 8))?;
            let Answers { by_backend, .. } = without_errors(&at.to_string(), answers)?;
            let sums = answered.entry(at.port()).or_default();
            for (backend, count) in by_backend {
                *sums.entry(backend).or_default() += count;
            }
        }
    }
    eventually("all packets are counted", SETTLING, || {
        let status = scene.slbd.status()?;
        let counted = PacketsCounted::read(scene.client())? - before;
        let sum = |name| seen::listeners(&status).map(|one| seen::number(one, name)).sum::<u64>();
        Ok((sum("packets_in"), sum("packets_out")) == (counted.sent, counted.received))
    })?;
    let status = scene.slbd.status()?;
    for port in [HTTP, ECHO] {
        assert_eq!(opened_by_name(&scene, &status, port), answered[&port], "port {port}");
        adds_up(seen::listener(&status, port))?;
    }
    // One datagram there and one back on every flow.
    let echo = seen::listener(&status, ECHO);
    assert_eq!(seen::number(echo, "packets_in"), 180);
    assert_eq!(seen::number(echo, "packets_out"), 180);
    let entries = seen::number(&status["dataplane"], "connections");
    assert_eq!(entries, 360, "each connection is one entry until its time is over");
    Ok(())
}

#[test]
fn health_checks_are_no_clients_connections() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    let checked = |scene: &mut Scene| {
        scene
            .servers("backend1", slb_tests::lab::Service::Http)
            .fold(0, |sum, server| sum + server.served().health_requests())
    };
    let before = checked(&mut scene);
    while checked(&mut scene) < before + 4 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = scene.slbd.status()?;
    let listener = seen::listener(&status, HTTP);
    for name in ["connections_total", "packets_in", "packets_out", "bytes_in", "bytes_out"] {
        assert_eq!(seen::number(listener, name), 0, "{name}");
    }
    assert!(
        scene.ask(http_at(VIP_V6.into()), Question::Http, Load::sequential(1))?.errors.is_empty()
    );
    Ok(())
}

/// Connections opened, by the backends' names, both families together.
fn opened_by_name(scene: &Scene, status: &Value, port: u16) -> BTreeMap<String, u64> {
    let by_address = seen::by_backend(status, port, "connections_total");
    let of = |address: String| by_address.get(&address).copied().unwrap_or(0);
    let sum = |v4: String, v6: String| of(v4) + of(v6);
    let hosts = scene.lab.backends.iter();
    hosts.map(|host| (host.name.clone(), sum(host.v4.to_string(), host.v6.to_string()))).collect()
}

/// A listener's numbers are the sums of its backends'.
fn adds_up(listener: &Value) -> Result<()> {
    for name in [
        "active_connections",
        "inactive_connections",
        "connections_total",
        "packets_in",
        "bytes_in",
        "packets_out",
        "bytes_out",
    ] {
        let sum: u64 = seen::array(&listener["backends"]).map(|one| seen::number(one, name)).sum();
        ensure!(
            sum == seen::number(listener, name),
            "{name} of the backends is {sum}: {listener:#}"
        );
    }
    Ok(())
}

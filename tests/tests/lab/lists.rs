//! What the reading commands show: status, listener list, conns, drops.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::{Value, json};
use slb_tests::lab::{Kept, Load, Question, VIP_V4, VIP_V6, udp_from};

use crate::{
    scene::{Scene, echo_at, http_at, without_errors},
    seen,
    services::{ECHO, HTTP, Share, echoes, http},
};

#[test]
fn status_json_has_exactly_the_promised_fields_and_the_known_additions() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [100, 50, 7]).share(3, Share::Backup(7))])?;
    let status = scene.slbd.status()?;
    let counters = [
        "active_connections",
        "inactive_connections",
        "connections_total",
        "packets_in",
        "bytes_in",
        "packets_out",
        "bytes_out",
    ];
    fields(&status, &["dataplane", "instances"]);
    let dataplane = &status["dataplane"];
    let known = ["xdp_mode", "interfaces", "connections", "max_connections"];
    fields(dataplane, &[&known[..], &["connections_v6", "max_connections_v6"]].concat());
    assert_eq!(dataplane["xdp_mode"], "native");
    let attached = |name| json!({ "name": name, "attached": true });
    assert_eq!(dataplane["interfaces"], json!([attached("eth0"), attached("eth1")]));
    assert_eq!(dataplane["max_connections"], 65_536);

    let instance = &status["instances"][0];
    fields(instance, &["name", "vips", "specification", "listeners", "enabled"]);
    assert_eq!(instance["name"], "shop");
    assert_eq!(instance["vips"], json!([VIP_V4.to_string(), VIP_V6.to_string()]));
    assert_eq!(instance["specification"], "shared");

    let listener = &instance["listeners"][0];
    let words = ["protocol", "port", "mode", "scheduler", "backends", "enabled"];
    fields(listener, &[&words[..], &counters].concat());
    for (name, value) in [
        ("protocol", json!("tcp")),
        ("port", json!(80)),
        ("mode", json!("nat")),
        ("scheduler", json!("wrr")),
    ] {
        assert_eq!(listener[name], value);
    }
    let words = ["address", "port", "weight", "role", "health", "health_reason", "admin"];
    for backend in seen::array(&listener["backends"]) {
        fields(backend, &[&words[..], &counters].concat());
    }
    let backup = seen::backend(&status, HTTP, "10.0.1.13");
    for (name, value) in [
        ("port", json!(8080)),
        ("weight", json!(7)),
        ("role", json!("backup")),
        ("health", json!("healthy")),
        ("admin", json!("active")),
    ] {
        assert_eq!(backup[name], value);
    }
    let reason = backup["health_reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("HTTP 200 in ") && reason.ends_with(" ms"), "{reason}");
    Ok(())
}

/// An object has these fields and no other.
fn fields(object: &Value, names: &[&str]) {
    let found: BTreeSet<&str> =
        object.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, names.iter().copied().collect(), "{object:#}");
}

#[test]
fn status_for_people_has_every_backend_with_its_counts_health_and_reason() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [3, 2, 1])])?;
    let load = Load::concurrent(60, 6);
    without_errors("", scene.ask(http_at(VIP_V4.into()), Question::Http, load)?)?;
    let output = scene.slbd.slb(&["status"])?;
    assert_eq!(output.status.code(), Some(0));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.starts_with("data plane   native on eth0, eth1\n"), "{shown}");
    assert!(shown.contains("\nshop  10.0.0.100, fd00::100  shared\n"), "{shown}");
    assert!(shown.contains("\n  tcp:80  wrr  nat\n"), "{shown}");
    let line = shown.lines().find(|line| line.contains("10.0.1.12:8080")).unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().take(8).collect();
    let wanted = ["10.0.1.12:8080", "2", "primary", "active", "0", "20", "20", "healthy"];
    assert_eq!(words, wanted, "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours where there is no terminal");
    Ok(())
}

#[test]
fn listener_list_and_backend_list_have_one_row_each_with_their_counts() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [3, 2, 1]), echoes("mh", [1, 1, 1])])?;
    let load = Load::concurrent(60, 6);
    without_errors("", scene.ask(http_at(VIP_V6.into()), Question::Http, load)?)?;
    let list = scene.slbd.json(&["listener", "list"])?;
    let rows: Vec<(&Value, &Value, u64)> = seen::array(&list["listeners"])
        .map(|row| {
            (&row["listener"], &row["ready_backends"], seen::number(row, "connections_total"))
        })
        .collect();
    let (tcp, udp, all) = (json!("shop/tcp:80"), json!("shop/udp:53"), json!(6));
    assert_eq!(rows, [(&tcp, &all, 60), (&udp, &all, 0)]);
    let shown = scene.slbd.slb_ok(&["listener", "list"])?;
    assert_eq!(shown.lines().count(), 3, "{shown}");

    let list = scene.slbd.json(&["backend", "list", "shop/tcp:80"])?;
    let opened: Vec<(&Value, u64)> = seen::array(&list["backends"])
        .map(|row| (&row["address"], seen::number(row, "connections_total")))
        .filter(|(_, opened)| *opened > 0)
        .collect();
    let addresses = ["fd01::11", "fd01::12", "fd01::13"].map(|text| json!(text));
    let [first, second, third] = &addresses;
    assert_eq!(opened, [(first, 30), (second, 20), (third, 10)]);
    assert_eq!(seen::array(&scene.slbd.json(&["backend", "list"])?["backends"]).count(), 12);
    Ok(())
}

#[test]
fn conns_shows_every_open_connection_as_the_client_knows_it() -> Result<()> {
    let scene = Scene::usual(&[http("rr", [1, 1, 1])])?;
    let mut kept = Kept::open(scene.client(), http_at(VIP_V4.into()), 3)?;
    let owners = kept.names()?;
    let list = scene.slbd.json(&["conns"])?;
    assert_eq!(list["matching"], 3);
    for (socket, owner) in kept.sockets().iter().zip(&owners) {
        let client = socket.local_addr()?.to_string();
        let entry = seen::array(&list["connections"]).find(|one| one["client"] == client);
        let entry = entry.unwrap_or(&Value::Null);
        let host = scene.lab.backends.iter().find(|host| host.name == *owner);
        let backend = host.map(|host| format!("{}:8080", host.v4));
        let fields = ["protocol", "vip", "backend", "state", "instance"].map(|name| &entry[name]);
        let wanted = ["tcp", "10.0.0.100:80", &backend.unwrap_or_default(), "established", "shop"];
        assert_eq!(fields, wanted.map(|text| json!(text)).each_ref(), "{list:#}");
        assert!(seen::number(entry, "idle_s") <= 2);
    }
    Ok(())
}

#[test]
fn every_filter_of_conns_lets_its_own_pass_and_keeps_the_others_out() -> Result<()> {
    let scene = Scene::usual(&[http("rr", [1, 1, 1]), echoes("rr", [1, 1, 1])])?;
    // 3 open IPv4 connections, 3 open IPv6 ones, 2 ended ones, 4 answered flows.
    let v4 = Kept::open(scene.client(), http_at(VIP_V4.into()), 3)?;
    let _v6 = Kept::open(scene.client(), http_at(VIP_V6.into()), 3)?;
    let ended = scene.ask(http_at(VIP_V4.into()), Question::Http, Load::sequential(2))?;
    without_errors("", ended)?;
    without_errors("", scene.ask(echo_at(VIP_V4.into()), Question::Echo, Load::sequential(4))?)?;
    let one = v4.sockets()[0].local_addr()?.to_string();
    for (filter, wanted) in [
        (&[][..], 12),
        (&["--protocol", "udp"], 4),
        (&["--protocol", "tcp"], 8),
        (&["--state", "established"], 6),
        (&["--state", "udp"], 4),
        (&["--vip", "fd00::100"], 3),
        (&["--vip", "10.0.0.100"], 9),
        (&["--vip", "10.0.0.100:53"], 4),
        (&["--vip", "[fd00::100]:80"], 3),
        (&["--client", "10.0.0.11"], 9),
        (&["--client", "fd00::11"], 3),
        (&["--client", &one], 1),
        (&["--client", "10.0.0.12"], 0),
        (&["--backend", "10.0.1.11:8080", "--state", "established"], 1),
        (&["--backend", "fd01::13"], 1),
        (&["--limit", "5"], 12),
    ] {
        let list = scene.slbd.json(&[&["conns"], filter].concat())?;
        assert_eq!(list["matching"], wanted, "{filter:?}: {list:#}");
        let shown = seen::array(&list["connections"]).count();
        assert_eq!(shown, if filter == ["--limit", "5"] { 5 } else { wanted }, "{filter:?}");
    }
    let shown = scene.slbd.slb_ok(&["conns", "--limit", "5"])?;
    assert!(shown.ends_with("5 of 12 shown; --limit shows more\n"), "{shown}");
    assert_eq!(scene.slbd.slb_ok(&["conns", "--client", "10.0.0.12"])?, "no connections\n");
    assert_eq!(scene.slbd.slb(&["conns", "--state", "open"])?.status.code(), Some(2));
    Ok(())
}

#[test]
fn drops_counts_what_was_dropped_under_its_reason() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [1, 1, 1]), echoes("wrr", [0, 0, 0])])?;
    assert_eq!(scene.slbd.slb_ok(&["drops"])?, "nothing has been dropped\n");
    let source = "10.0.0.11:20000".parse()?;
    let socket = udp_from(scene.client(), source, (VIP_V4, ECHO).into())?;
    for _ in 0..7 {
        // The port is said to be unreachable, which the next call after that tells instead.
        while socket.send(b"nobody is there").is_err() {}
    }
    crate::scene::eventually("they are counted", crate::scene::PATIENCE, || {
        Ok(seen::verdict(&scene.slbd.json(&["drops", "--all"])?, "no_backend") == 7)
    })?;
    let shown = scene.slbd.slb_ok(&["drops"])?;
    let line = shown.lines().nth(1).unwrap_or_default().trim();
    assert!(line.starts_with("7  no_backend"), "{shown}");
    // And what the sender was told.
    let answers = shown.lines().skip_while(|line| !line.contains("ANSWERS")).nth(1);
    assert!(answers.is_some_and(|line| line.trim().starts_with("7  unreachable")), "{shown}");
    assert_eq!(shown.lines().count(), 5, "{shown}");
    Ok(())
}

//! Persistence by source: a client keeps its backend.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, ensure};
use slb_tests::lab::{Kept, Lab, Load, Question, Service, Slbd, VIP_V4, VIP_V6, ask};

use crate::{
    scene::{PATIENCE, Scene, VIPS, echo_at, eventually, http_at, name_at, without_errors},
    seen,
    services::{HTTP, Share, echoes, http, names},
};

const LONG: &str = "persistence = { timeout = \"300s\" }";
const SHARED: &str = "persistence = { timeout = \"300s\", shared = \"web\" }";

/// The one backend that answers a client's new connections.
fn owner(scene: &Scene, client: usize, at: SocketAddr, question: Question) -> Result<String> {
    let client = &scene.lab.clients[client].namespace;
    let answers = ask(client, at, question, Load::concurrent(12, 3))?;
    let answers = without_errors(&at.to_string(), answers)?;
    ensure!(answers.by_backend.len() == 1, "{at}: {answers}");
    Ok(answers.by_backend.into_keys().next().unwrap_or_default())
}

/// Owners of both clients in both families, over TCP and UDP.
fn owners(scene: &Scene) -> Result<Vec<String>> {
    let mut owners = Vec::new();
    for vip in VIPS {
        for client in 0..2 {
            owners.push(owner(scene, client, http_at(vip), Question::Http)?);
        }
        for client in 0..2 {
            owners.push(owner(scene, client, echo_at(vip), Question::Echo)?);
        }
    }
    Ok(owners)
}

#[test]
fn every_client_keeps_its_backend_over_reloads_restarts_and_without_the_daemon() -> Result<()> {
    let listeners = [http("wrr", [3, 3, 3]).line(LONG), echoes("rr", [1, 1, 1]).line(LONG)];
    let mut scene = Scene::start(Lab::builder().clients(2).build()?, &listeners)?;
    let first = owners(&scene)?;
    for pair in first.chunks(2) {
        assert_ne!(pair[0], pair[1], "two clients took turns: {first:?}");
    }
    // Other weights and another listener: ids and rings move.
    let others = [
        names("rr", [1, 1, 1]),
        http("lc", [1, 2, 3]).line(LONG),
        echoes("wrr", [9, 1, 1]).line(LONG),
    ];
    scene.reload(&others)?;
    assert_eq!(owners(&scene)?, first, "after a reload");
    for end in [Slbd::stop, Slbd::crash] {
        end(&mut scene.slbd)?;
        assert_eq!(owners(&scene)?, first, "without the daemon");
        scene.slbd.start_again()?;
        assert_eq!(owners(&scene)?, first, "after a restart");
    }
    Ok(())
}

#[test]
fn a_client_whose_backend_failed_goes_elsewhere_and_stays_there() -> Result<()> {
    for vip in VIPS {
        let mut scene = Scene::usual(&[http("wrr", [1, 1, 1]).line(LONG)])?;
        let first = owner(&scene, 0, http_at(vip), Question::Http)?;
        let number = usize::from(first.as_bytes()[first.len() - 1] - b'0');
        scene.servers(&first, Service::Http).for_each(|server| server.kill());
        scene.wait_for_health(HTTP, number, "unhealthy")?;
        let second = owner(&scene, 0, http_at(vip), Question::Http)?;
        assert_ne!(second, first);
        for server in scene.servers(&first, Service::Http) {
            server.restart()?;
        }
        scene.wait_for_health(HTTP, number, "healthy")?;
        assert_eq!(owner(&scene, 0, http_at(vip), Question::Http)?, second);
    }
    Ok(())
}

#[test]
fn a_drained_or_removed_backend_takes_no_new_connections_of_its_clients_either() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [1, 1, 1]).line(LONG)])?;
    for vip in VIPS {
        let mut left = Vec::new();
        for verb in ["drain", "remove"] {
            let mut kept = Kept::open(scene.client(), http_at(vip), 2)?;
            let before = owner(&scene, 0, http_at(vip), Question::Http)?;
            assert_eq!(kept.names()?, [before.clone(), before.clone()]);
            let host = scene.lab.backends.iter().find(|host| host.name == before);
            let endpoint = host.expect("one of the lab's").endpoint(vip, 8080).to_string();
            scene.slbd.slb_ok(&["backend", verb, "shop/tcp:80", &endpoint])?;
            let after = owner(&scene, 0, http_at(vip), Question::Http)?;
            left.push(before.clone());
            assert!(!left.contains(&after), "{verb}: {after} of {left:?}");
            assert_eq!(kept.names()?, [before.clone(), before], "open ones stay");
        }
    }
    Ok(())
}

#[test]
fn listeners_that_share_lead_a_client_to_one_backend() -> Result<()> {
    let scene = Scene::start(
        Lab::builder().clients(2).build()?,
        // The heaviest comes first: the two begin with different ones.
        &[http("wrr", [9, 1, 1]).line(SHARED), names("wrr", [1, 1, 9]).line(SHARED)],
    )?;
    for vip in VIPS {
        let first = owner(&scene, 0, http_at(vip), Question::Http)?;
        assert_eq!(owner(&scene, 0, name_at(vip), Question::Name)?, first);
        // The other way round.
        let second = owner(&scene, 1, name_at(vip), Question::Name)?;
        assert_eq!(owner(&scene, 1, http_at(vip), Question::Http)?, second);
        assert_ne!(first, second);
        assert_eq!(owner(&scene, 0, name_at(vip), Question::Name)?, first);
    }
    let list = scene.slbd.json(&["persistence", "list"])?;
    assert_eq!(seen::number(&list, "matching"), 4, "{list:#}");
    for template in seen::array(&list["templates"]) {
        assert_eq!(template["listeners"], serde_json::json!(["shop/tcp:80", "shop/tcp:90"]));
    }
    Ok(())
}

#[test]
fn a_flush_forgets_who_is_named_and_cuts_nothing() -> Result<()> {
    let listeners = [http("rr", [1, 1, 1]).line(LONG), echoes("rr", [1, 1, 1]).line(LONG)];
    let scene = Scene::start(Lab::builder().clients(2).build()?, &listeners)?;
    for vip in VIPS {
        let first: Vec<String> = (0..2)
            .map(|client| owner(&scene, client, http_at(vip), Question::Http))
            .collect::<Result<_>>()?;
        let mut kept = Kept::open(scene.client(), http_at(vip), 2)?;
        let before = kept.names()?;
        assert_eq!(before, [first[0].clone(), first[0].clone()]);

        let client = scene.lab.clients[0].endpoint(vip, 0).ip().to_string();
        let list = scene.slbd.json(&["persistence", "list", "--client", &client])?;
        let [template] = &seen::array(&list["templates"]).collect::<Vec<_>>()[..] else {
            panic!("{list:#}");
        };
        assert_eq!(template["client"], client);
        let owner_of = |name: &str| scene.lab.backends.iter().find(|host| host.name == *name);
        let endpoint = owner_of(&first[0]).expect("one of the lab's").endpoint(vip, 8080);
        assert_eq!(template["backend"], endpoint.to_string());
        assert!(seen::number(template, "connections") >= 2, "{template:#}");
        assert!(template["expires_in_s"].is_null());

        let flush = ["persistence", "flush", "--client", &client, "--listener", "shop/tcp:80"];
        assert_eq!(scene.slbd.slb_ok(&flush)?, "1 template flushed\n");
        assert_eq!(scene.slbd.slb_ok(&flush)?, "nothing to change\n");
        assert_ne!(owner(&scene, 0, http_at(vip), Question::Http)?, first[0], "its turn is over");
        assert_eq!(owner(&scene, 1, http_at(vip), Question::Http)?, first[1], "not named");
        assert_eq!(kept.names()?, before);
    }
    owner(&scene, 0, echo_at(VIP_V4.into()), Question::Echo)?;
    let flushed = scene.slbd.slb_ok(&["persistence", "flush", "--listener", "shop/udp:53"])?;
    assert_eq!(flushed, "1 template flushed\n");
    let flushed = scene.slbd.slb_ok(&["persistence", "flush", "--all"])?;
    assert_eq!(flushed, "4 templates flushed\n");
    assert_eq!(scene.slbd.slb_ok(&["persistence", "list"])?, "no persistence templates\n");
    let unknown = scene.slbd.slb(&["persistence", "list", "--listener", "shop/tcp:81"])?;
    assert_eq!(unknown.status.code(), Some(1));
    Ok(())
}

#[test]
fn a_client_is_forgotten_when_its_last_connection_and_the_timeout_are_over() -> Result<()> {
    let short = http("rr", [1, 1, 1])
        .line("persistence = { timeout = \"1s\" }")
        .line("fin_timeout = \"1s\"")
        .line("time_wait_timeout = \"1s\"");
    let scene = Scene::usual(&[short])?;
    let at = http_at(VIP_V6.into());
    let kept = Kept::open(scene.client(), at, 1)?;
    let first = owner(&scene, 0, at, Question::Http)?;
    let matching = || -> Result<u64> {
        Ok(seen::number(&scene.slbd.json(&["persistence", "list"])?, "matching"))
    };
    // Longer than everything but the open connection.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(matching()?, 1);
    assert_eq!(owner(&scene, 0, at, Question::Http)?, first);
    drop(kept);
    eventually("the template is gone", PATIENCE, || Ok(matching()? == 0))?;
    assert_ne!(owner(&scene, 0, at, Question::Http)?, first);
    Ok(())
}

#[test]
fn clients_of_one_netmask_go_to_one_backend() -> Result<()> {
    let wide = "persistence = { netmask = 24, netmask6 = 64 }";
    let scene =
        Scene::start(Lab::builder().clients(2).build()?, &[http("rr", [1, 1, 1]).line(wide)])?;
    for vip in VIPS {
        let owners: Vec<String> = (0..2)
            .map(|client| owner(&scene, client, http_at(vip), Question::Http))
            .collect::<Result<_>>()?;
        assert_eq!(owners[0], owners[1]);
    }
    let list = scene.slbd.slb_ok(&["persistence", "list"])?;
    for (net, vip) in [("10.0.0.0/24", IpAddr::from(VIP_V4)), ("fd00::/64", VIP_V6.into())] {
        assert!(list.lines().any(|line| line.starts_with(net)), "{vip}: {list}");
    }
    // Another netmask: new templates.
    scene.reload(&[http("rr", [1, 1, 1]).line(LONG).share(1, Share::Primary(1))])?;
    let owners: Vec<String> = (0..2)
        .map(|client| owner(&scene, client, http_at(VIP_V4.into()), Question::Http))
        .collect::<Result<_>>()?;
    assert_ne!(owners[0], owners[1]);
    Ok(())
}

//! `slb backend add | remove | drain | set-weight` on the running daemon.

use std::{process::Output, time::Duration};

use anyhow::Result;
use slb_tests::lab::{Answers, Kept, Lab, Load, Question, VIP_V4, VIP_V6};

use crate::{
    scene::{PATIENCE, Scene, VIPS, eventually, http_at, without_errors},
    seen,
    services::{HTTP, Share, http},
};

const LISTENER: &str = "shop/tcp:80";

#[test]
fn commands_change_who_gets_new_connections_at_once_and_break_no_open_one() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [3, 2, 1]).share(3, Share::Absent)])?;
    let traffic = [
        scene.traffic(http_at(VIP_V4.into()), Question::HttpKeepAlive, 4),
        scene.traffic(http_at(VIP_V4.into()), Question::Http, 4),
        scene.traffic(http_at(VIP_V6.into()), Question::Http, 4),
    ];
    let command = |words: &[&str]| -> Result<String> {
        for one in &traffic {
            one.wait_for_answers(20, PATIENCE)?;
        }
        let (verb, rest) = words.split_first().unwrap_or((&"", &[]));
        scene.slbd.slb_ok(&[&["backend", verb, LISTENER], rest].concat())
    };
    assert_eq!(
        command(&["set-weight", "10.0.1.11:8080", "1"])?,
        "- backend 10.0.1.11:8080 of shop/tcp:80, weight 3, primary\n\
         + backend 10.0.1.11:8080 of shop/tcp:80, weight 1, primary\n"
    );
    assert_eq!(command(&["set-weight", "10.0.1.11:8080", "1"])?, "nothing to change\n");
    assert_eq!(
        command(&["add", "10.0.1.13:8080", "--weight", "3"])?,
        "+ backend 10.0.1.13:8080 of shop/tcp:80, weight 3, primary\n"
    );
    scene.slbd.wait_for_status("the added backend is healthy", PATIENCE, |status| {
        seen::backend(status, HTTP, "10.0.1.13")["health"] == "healthy"
    })?;
    command(&["set-weight", "10.0.1.12:8080", "2"])?;
    command(&["drain", "[fd01::11]:8080"])?;
    command(&["remove", "[fd01::11]:8080"])?;
    for one in traffic {
        one.wait_for_answers(20, PATIENCE)?;
        without_errors("under changes", one.stop()?)?;
    }
    assert_eq!(shares(&scene, VIP_V4.into())?, [10, 20, 30]);
    assert_eq!(shares(&scene, VIP_V6.into())?, [0, 60, 0]);
    Ok(())
}

#[test]
fn a_drained_backend_keeps_its_connections_and_set_weight_brings_it_back() -> Result<()> {
    let scene = Scene::usual(&[http("rr", [1, 1, 1])])?;
    let mut kept = Kept::open(scene.client(), http_at(VIP_V4.into()), 3)?;
    let owners = kept.names()?;
    scene.slbd.slb_ok(&["backend", "drain", LISTENER, "10.0.1.11:8080"])?;
    let status = scene.slbd.status()?;
    let drained = seen::backend(&status, HTTP, "10.0.1.11");
    assert_eq!((&drained["admin"], &drained["health"]), (&"drained".into(), &"healthy".into()));
    assert_eq!(seen::number(drained, "active_connections"), 1);
    assert_eq!(shares(&scene, VIP_V4.into())?, [0, 30, 30]);
    assert_eq!(kept.names()?, owners);
    scene.slbd.slb_ok(&["backend", "set-weight", LISTENER, "10.0.1.11:8080", "1"])?;
    assert_eq!(shares(&scene, VIP_V4.into())?, [20, 20, 20]);
    Ok(())
}

#[test]
fn a_removed_backend_goes_when_its_last_connection_has_ended() -> Result<()> {
    let short =
        http("rr", [1, 1, 1]).line("fin_timeout = \"1s\"").line("time_wait_timeout = \"1s\"");
    let scene = Scene::usual(&[short])?;
    let mut kept = Kept::open(scene.client(), http_at(VIP_V4.into()), 3)?;
    let owners = kept.names()?;
    scene.slbd.slb_ok(&["backend", "remove", LISTENER, "10.0.1.11:8080"])?;
    assert_eq!(kept.names()?, owners);
    let status = scene.slbd.status()?;
    let leaving = seen::backend(&status, HTTP, "10.0.1.11");
    assert_eq!(leaving["admin"], "draining", "{status:#}");
    assert_eq!(shares(&scene, VIP_V4.into())?, [0, 30, 30]);
    drop(kept);
    scene.slbd.wait_for_status("it is gone", PATIENCE, |status| {
        seen::backend(status, HTTP, "10.0.1.11").is_null()
    })?;
    Ok(())
}

#[test]
fn remove_now_cuts_the_connections_of_that_backend_alone() -> Result<()> {
    let scene = Scene::usual(&[http("rr", [1, 1, 1])])?;
    let mut kept = Kept::open(scene.client(), http_at(VIP_V6.into()), 6)?;
    let owners = kept.names()?;
    let said = scene.slbd.slb_ok(&["backend", "remove", LISTENER, "[fd01::12]:8080", "--now"])?;
    assert!(said.ends_with("2 connections cut\n"), "{said}");
    let status = scene.slbd.status()?;
    assert!(
        seen::array(&scene.slbd.json(&["conns"])?["connections"])
            .all(|one| one["backend"] != "[fd01::12]:8080")
    );
    assert_eq!(seen::number(seen::listener(&status, HTTP), "active_connections"), 4);
    for socket in kept.sockets() {
        socket.set_read_timeout(Some(Duration::from_millis(400)))?;
    }
    for (owner, answer) in owners.iter().zip(kept.ask()) {
        assert_eq!(answer.is_ok(), owner != "backend2", "{owner}: {answer:?}");
    }
    Ok(())
}

#[test]
fn remove_now_cuts_what_a_remove_before_left_to_drain() -> Result<()> {
    let scene = Scene::usual(&[http("rr", [1, 1, 1])])?;
    let kept = Kept::open(scene.client(), http_at(VIP_V4.into()), 3)?;
    scene.slbd.slb_ok(&["backend", "remove", LISTENER, "10.0.1.11:8080"])?;
    let now = ["backend", "remove", LISTENER, "10.0.1.11:8080", "--now"];
    assert_eq!(scene.slbd.slb_ok(&now)?, "1 connections cut\n");
    scene.slbd.wait_for_status("it is gone", PATIENCE, |status| {
        seen::backend(status, HTTP, "10.0.1.11").is_null()
    })?;
    drop(kept);
    Ok(())
}

#[test]
fn the_last_usable_backend_of_a_family_goes_only_by_force() -> Result<()> {
    let lab = Lab::builder().backends(2).build()?;
    let scene = Scene::start(lab, &[http("wrr", [1, 1])])?;
    let backend = |words: &[&str]| scene.slbd.slb(&[&["backend"], words].concat());
    assert!(backend(&["drain", LISTENER, "10.0.1.11:8080"])?.status.success());
    let before = scene.slbd.status()?;
    for refused in [
        &["drain", LISTENER, "10.0.1.12:8080"][..],
        &["remove", LISTENER, "10.0.1.12:8080"],
        &["remove", LISTENER, "10.0.1.12:8080", "--now"],
        &["set-weight", LISTENER, "10.0.1.12:8080", "0"],
    ] {
        let output = backend(refused)?;
        assert_eq!(output.status.code(), Some(1), "{refused:?}");
        assert_eq!(
            errors(&output),
            "error: listener shop/tcp:80 would have no usable IPv4 backend left\n  \
             hint: nothing was changed; --force does it all the same\n"
        );
    }
    assert_eq!(seen::settings(&scene.slbd.status()?), seen::settings(&before));
    // The other family has its own last one.
    assert!(backend(&["drain", LISTENER, "[fd01::11]:8080"])?.status.success());
    assert!(backend(&["drain", LISTENER, "10.0.1.12:8080", "--force"])?.status.success());
    let output = scene.slbd.slb(&["status"])?;
    assert_eq!(output.status.code(), Some(1));
    let wanted = "problem: shop/tcp:80 has no healthy IPv4 backend: 2 drained\n";
    assert_eq!(errors(&output), wanted);
    Ok(())
}

#[test]
fn a_command_that_makes_no_sense_says_what_would_and_exits_1_or_2() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    for (words, code, said) in [
        (
            &["add", LISTENER, "10.0.1.11:8080"][..],
            1,
            "listener shop/tcp:80 has a backend 10.0.1.11:8080 already",
        ),
        (&["add", LISTENER, "10.0.0.100:8080"], 1, "10.0.0.100 is a VIP and cannot be a backend"),
        (&["drain", "shop/tcp:81", "10.0.1.11:8080"], 1, "hint: listeners: shop/tcp:80"),
        (&["drain", LISTENER, "10.0.1.11:80"], 1, "hint: its backends: 10.0.1.11:8080, "),
        (&["drain", LISTENER, "10.0.1.11"], 2, "write ADDRESS:PORT, e.g. 10.0.1.11:8080"),
        (&["drain", "shop", "10.0.1.11:8080"], 2, "write INSTANCE/PROTOCOL:PORT, e.g. shop/tcp:80"),
        (&["set-weight", LISTENER, "10.0.1.11:8080", "101"], 2, "0..=100"),
        (&["add", LISTENER, "10.0.1.14:8080", "--role", "spare"], 2, "primary, backup"),
    ] {
        let output = scene.slbd.slb(&[&["backend"], words].concat())?;
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", errors(&output));
        assert!(errors(&output).contains(said), "{words:?}: {}", errors(&output));
        assert!(output.stdout.is_empty());
    }
    Ok(())
}

#[test]
fn what_was_changed_by_command_survives_a_restart_and_a_reload_of_the_same_file() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [1, 1, 1]).share(3, Share::Absent)])?;
    for words in [
        &["set-weight", LISTENER, "10.0.1.11:8080", "3"][..],
        &["add", LISTENER, "10.0.1.13:8080", "--weight", "2"],
        &["drain", LISTENER, "[fd01::11]:8080"],
    ] {
        scene.slbd.slb_ok(&[&["backend"], words].concat())?;
    }
    let as_commanded = |scene: &Scene| -> Result<()> {
        eventually("every backend is healthy", PATIENCE, || {
            Ok(seen::all_healthy(&scene.slbd.status()?))
        })?;
        assert_eq!(shares(scene, VIP_V4.into())?, [30, 10, 20]);
        assert_eq!(shares(scene, VIP_V6.into())?, [0, 60, 0]);
        Ok(())
    };
    as_commanded(&scene)?;
    scene.slbd.slb_ok(&["reload"])?;
    as_commanded(&scene)?;
    scene.slbd.stop()?;
    scene.slbd.start_again()?;
    as_commanded(&scene)?;
    scene.slbd.crash()?;
    scene.slbd.start_again()?;
    as_commanded(&scene)
}

/// Who answers 60 new connections.
fn shares(scene: &Scene, vip: std::net::IpAddr) -> Result<[u64; 3]> {
    assert!(VIPS.contains(&vip));
    let answers: Answers = scene.ask(http_at(vip), Question::Http, Load::concurrent(60, 6))?;
    let answers = without_errors("60 connections", answers)?;
    Ok(["backend1", "backend2", "backend3"].map(|name| answers.of(name)))
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

//! A backend fails and comes back.

use std::time::{Duration, Instant};

use anyhow::Result;
use slb_tests::lab::{Kept, Load, Question, Service, VIP_V4, VIP_V6};

use crate::{
    scene::{PATIENCE, Scene, VIPS, http_at, without_errors},
    seen,
    services::{HTTP, Share, echoes, http},
};

/// Three failed checks a second apart, the first up to a second after the failure, and jitter.
const LONGEST: Duration = Duration::from_millis(3500);

#[test]
fn after_the_third_failed_check_of_a_killed_backend_no_client_has_an_error() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [1, 1, 1]).unhealthy(3)])?;
    let v4 = scene.traffic(http_at(VIP_V4.into()), Question::Http, 3);
    let v6 = scene.traffic(http_at(VIP_V6.into()), Question::Http, 3);
    for traffic in [&v4, &v6] {
        traffic.wait_for_answers(50, PATIENCE)?;
    }
    let killed = Instant::now();
    scene.servers("backend2", Service::Http).for_each(|server| server.kill());
    let status = scene.wait_for_health(HTTP, 2, "unhealthy")?;
    let noticed = Instant::now();
    assert!(noticed - killed < LONGEST, "noticed after {:?}", noticed - killed);
    let reason = &seen::backend(&status, HTTP, "10.0.1.12")["health_reason"];
    assert_eq!(reason, "connection refused");
    for traffic in [&v4, &v6] {
        traffic.wait_for_answers(200, PATIENCE)?;
    }
    // The same process is asked again once it listens; nobody restarts or reloads the daemon.
    for server in scene.servers("backend2", Service::Http) {
        server.restart()?;
    }
    scene.wait_for_health(HTTP, 2, "healthy")?;
    for traffic in [v4, v6] {
        traffic.wait_for_answers(50, PATIENCE)?;
        let answers = traffic.stop()?;
        let early = answers.errors.len();
        assert!(early > 0, "the kill was not noticed by clients: the test shows nothing");
        assert_eq!(answers.errors_after(noticed), 0, "{answers}");
    }
    for vip in VIPS {
        let answers = scene.ask(http_at(vip), Question::Http, Load::concurrent(30, 3))?;
        let answers = without_errors("after its recovery", answers)?;
        assert_eq!(answers.of("backend2"), 10, "{answers}");
    }
    Ok(())
}

#[test]
fn open_connections_of_the_other_backends_live_on_when_one_dies_and_comes_back() -> Result<()> {
    let mut scene = Scene::usual(&[http("rr", [1, 1, 1])])?;
    let mut kept = Kept::open(scene.client(), http_at(VIP_V4.into()), 9)?;
    let before = kept.names()?;
    scene.servers("backend1", Service::Http).for_each(|server| server.kill());
    scene.wait_for_health(HTTP, 1, "unhealthy")?;
    lives_on(&before, &kept.ask());
    for server in scene.servers("backend1", Service::Http) {
        server.restart()?;
    }
    scene.wait_for_health(HTTP, 1, "healthy")?;
    lives_on(&before, &kept.ask());
    Ok(())
}

/// Whoever was not on backend 1 is where it was.
fn lives_on(before: &[String], answers: &[Result<String, String>]) {
    assert_eq!(before.iter().filter(|name| *name == "backend1").count(), 3);
    for (name, answer) in before.iter().zip(answers) {
        match name.as_str() {
            "backend1" => assert!(answer.is_err(), "its connection was cut"),
            _ => assert_eq!(answer.as_ref(), Ok(name)),
        }
    }
}

#[test]
fn an_open_connection_of_an_unhealthy_backend_that_still_answers_lives_on() -> Result<()> {
    let mut scene = Scene::usual(&[http("rr", [1, 1, 1])])?;
    let mut kept = Kept::open(scene.client(), http_at(VIP_V6.into()), 3)?;
    let before = kept.names()?;
    scene.servers("backend3", Service::Http).for_each(|server| server.set_health_status(503));
    let status = scene.wait_for_health(HTTP, 3, "unhealthy")?;
    let reason = &seen::backend(&status, HTTP, "fd01::13")["health_reason"];
    assert_eq!(reason, "status 503, want 2xx or 3xx");
    assert_eq!(kept.names()?, before);
    let answers = scene.ask(http_at(VIP_V6.into()), Question::Http, Load::sequential(20))?;
    let answers = without_errors("without backend 3", answers)?;
    assert_eq!((answers.of("backend1"), answers.of("backend2")), (10, 10));
    Ok(())
}

#[test]
fn the_backup_serves_while_all_primaries_are_down_and_gives_back() -> Result<()> {
    let listeners = [
        http("wrr", [1, 1, 1]).share(3, Share::Backup(1)),
        echoes("wrr", [1, 1, 1]).share(3, Share::Backup(1)),
    ];
    let mut scene = Scene::usual(&listeners)?;
    let vip = http_at(VIP_V4.into());
    let ask =
        |scene: &Scene| without_errors("", scene.ask(vip, Question::Http, Load::sequential(20))?);
    assert_eq!(ask(&scene)?.of("backend3"), 0);

    scene.servers("backend1", Service::Http).for_each(|server| server.kill());
    scene.wait_for_health(HTTP, 1, "unhealthy")?;
    assert_eq!(ask(&scene)?.of("backend2"), 20, "one primary is enough");

    scene.servers("backend2", Service::Http).for_each(|server| server.kill());
    scene.wait_for_health(HTTP, 2, "unhealthy")?;
    assert_eq!(ask(&scene)?.of("backend3"), 20);
    let mut on_the_backup = Kept::open(scene.client(), vip, 2)?;

    for server in scene.servers("backend1", Service::Http) {
        server.restart()?;
    }
    scene.wait_for_health(HTTP, 1, "healthy")?;
    assert_eq!(ask(&scene)?.of("backend1"), 20);
    assert_eq!(on_the_backup.names()?, ["backend3", "backend3"]);
    Ok(())
}

#[test]
fn a_backend_whose_cable_is_pulled_is_out_after_silent_checks_and_status_says_why() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    let backend = &scene.lab.backends[0].namespace;
    let pulled = Instant::now();
    backend.output("ip", &["link", "set", "eth0", "down"])?;
    let status = scene.slbd.wait_for_status("it is out", PATIENCE, |status| {
        seen::backend(status, HTTP, "10.0.1.11")["health"] == "unhealthy"
    })?;
    assert!(pulled.elapsed() < Duration::from_secs(4), "{:?}", pulled.elapsed());
    let reason = &seen::backend(&status, HTTP, "10.0.1.11")["health_reason"];
    // Depending on whether the host's neighbour entry for it has failed by then.
    let known = ["timed out after 1 s", "no route to host"];
    assert!(known.iter().any(|why| reason.as_str().unwrap_or("").starts_with(why)), "{reason}");
    let answers = scene.ask(http_at(VIP_V4.into()), Question::Http, Load::sequential(20))?;
    assert_eq!(without_errors("without backend 1", answers)?.of("backend1"), 0);
    Ok(())
}

#[test]
fn without_any_usable_backend_connections_are_dropped_and_counted_and_status_exits_1() -> Result<()>
{
    let mut scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    assert!(scene.slbd.slb(&["status"])?.status.success());
    for backend in ["backend1", "backend2", "backend3"] {
        scene.servers(backend, Service::Http).for_each(|server| server.kill());
    }
    scene.slbd.wait_for_status("all are out", PATIENCE, |status| {
        seen::backends(status).all(|one| one["health"] == "unhealthy")
    })?;
    let load = Load::sequential(1).patience(Duration::from_millis(500));
    let answers = scene.ask(http_at(VIP_V4.into()), Question::Http, load)?;
    assert_eq!(answers.answered(), 0);
    let drops = scene.slbd.json(&["drops", "--all"])?;
    assert!(seen::verdict(&drops, "no_backend") > 0, "{drops:#}");
    let output = scene.slbd.slb(&["status"])?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("problem: shop/tcp:80 has no healthy IPv4 backend: 3 unhealthy"),
        "{said}"
    );
    Ok(())
}

//! The daemon is away, and comes back.

use std::time::Duration;

use anyhow::Result;
use slb_tests::lab::{Answers, Kept, Load, Question, Service, Slbd, Traffic, VIP_V4, VIP_V6};

use crate::{
    scene::{PATIENCE, Scene, VIPS, echo_at, http_at, without_errors},
    seen,
    services::{ECHO, HTTP, echoes, http},
};

#[test]
fn while_the_daemon_is_stopped_and_started_again_no_connection_has_an_error() -> Result<()> {
    goes_on_without_the_daemon(Slbd::stop)
}

#[test]
fn while_the_daemon_is_killed_and_started_again_no_connection_has_an_error() -> Result<()> {
    goes_on_without_the_daemon(Slbd::crash)
}

/// Twice, because the second daemon adopts what the first adopting one has written.
fn goes_on_without_the_daemon(end: impl Fn(&mut Slbd) -> Result<()>) -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [3, 2, 1]), echoes("lc", [1, 1, 1])])?;
    let mut quiet = Kept::open(scene.client(), http_at(VIP_V6.into()), 6)?;
    let owners = quiet.names()?;
    let traffic = [
        scene.traffic(http_at(VIP_V4.into()), Question::HttpKeepAlive, 4),
        scene.traffic(http_at(VIP_V4.into()), Question::Http, 4),
        scene.traffic(http_at(VIP_V6.into()), Question::Http, 4),
        scene.traffic(echo_at(VIP_V6.into()), Question::EchoSamePort, 2),
    ];
    let all_answer =
        |traffic: &[Traffic]| traffic.iter().try_for_each(|one| one.wait_for_answers(30, PATIENCE));
    for _ in 0..2 {
        all_answer(&traffic)?;
        end(&mut scene.slbd)?;
        all_answer(&traffic)?;
        assert_eq!(quiet.names()?, owners);
        scene.slbd.start_again()?;
        all_answer(&traffic)?;
        assert_eq!(quiet.names()?, owners);
    }
    let mut answered = Answers::default();
    for one in traffic {
        for (backend, count) in without_errors("across restarts", one.stop()?)?.by_backend {
            *answered.by_backend.entry(backend).or_default() += count;
        }
    }
    assert!(answered.answered() > 500);
    Ok(())
}

#[test]
fn the_counters_of_before_and_during_a_restart_are_all_there_afterwards() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [3, 2, 1]), echoes("wrr", [3, 2, 1])])?;
    let ask = |scene: &Scene| -> Result<()> {
        for vip in VIPS {
            for (question, at) in [(Question::Http, http_at(vip)), (Question::Echo, echo_at(vip))] {
                let answers = scene.ask(at, question, Load::concurrent(60, 6))?;
                without_errors(&at.to_string(), answers)?;
            }
        }
        Ok(())
    };
    ask(&scene)?;
    scene.slbd.crash()?;
    ask(&scene)?;
    scene.slbd.start_again()?;
    ask(&scene)?;
    scene.slbd.stop()?;
    ask(&scene)?;
    scene.slbd.start_again()?;
    let status = scene.slbd.status()?;
    for port in [HTTP, ECHO] {
        let opened = seen::by_backend(&status, port, "connections_total");
        let wanted = [120, 80, 40, 120, 80, 40];
        let of = |host: String| opened[&host];
        let hosts = scene.lab.backends.iter();
        let addresses = hosts.clone().map(|host| host.v4.to_string());
        let got: Vec<u64> =
            addresses.chain(hosts.map(|host| host.v6.to_string())).map(of).collect();
        assert_eq!(got, wanted, "port {port}");
        let listener = seen::listener(&status, port);
        assert_eq!(seen::number(listener, "connections_total"), 480, "port {port}");
    }
    // One datagram each way on 480 flows.
    let echo = seen::listener(&status, ECHO);
    assert_eq!((seen::number(echo, "packets_in"), seen::number(echo, "packets_out")), (480, 480));
    Ok(())
}

#[test]
fn another_xdp_mode_in_the_file_is_in_use_after_the_start() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    assert_eq!(scene.slbd.status()?["dataplane"]["xdp_mode"], "native");
    scene.slbd.stop()?;
    let file = scene.slbd.config_path();
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("xdp_mode = \"native\"", "xdp_mode = \"generic\""))?;
    scene.slbd.start_again()?;
    let status = scene.slbd.status()?;
    assert_eq!(status["dataplane"]["xdp_mode"], "generic", "{status:#}");
    let answers = scene.ask(http_at(VIP_V4.into()), Question::Http, Load::sequential(6))?;
    without_errors("in generic mode", answers)?;
    Ok(())
}

#[test]
fn local_addresses_come_with_a_start_and_break_no_open_connection() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    let mut kept = Kept::open(scene.client(), http_at(VIP_V4.into()), 6)?;
    let owners = kept.names()?;
    scene.slbd.stop()?;
    let file = scene.slbd.config_path();
    let text = std::fs::read_to_string(&file)?;
    let line = "xdp_mode = \"native\"";
    assert_eq!(text.matches(line).count(), 1, "{text}");
    let with = format!("{line}\nlocal_addresses = [\"100.64.0.0/28\"]");
    // There and back again: what was made with room stays as it is.
    for text in [text.replace(line, &with), text] {
        std::fs::write(&file, text)?;
        scene.slbd.start_again()?;
        assert_eq!(kept.names()?, owners);
        let answers = scene.ask(http_at(VIP_V4.into()), Question::Http, Load::sequential(6))?;
        without_errors("with other local addresses", answers)?;
        scene.slbd.stop()?;
    }
    scene.slbd.start_again()?;
    Ok(())
}

#[test]
fn a_new_daemon_knows_at_once_which_backends_were_healthy() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    scene.servers("backend3", Service::Http).for_each(|server| server.kill());
    scene.wait_for_health(HTTP, 3, "unhealthy")?;
    scene.slbd.stop()?;
    scene.slbd.start_again()?;
    let status = scene.slbd.status()?;
    for backend in 1..=2 {
        let address = scene.lab.backends[backend - 1].v4;
        assert_eq!(seen::backend(&status, HTTP, address)["health"], "healthy", "{status:#}");
    }
    // Not one of them may go to the dead backend, nor be dropped until checks have ended.
    let load = Load::concurrent(100, 4).patience(Duration::from_secs(1));
    let answers = scene.ask(http_at(VIP_V4.into()), Question::Http, load)?;
    let answers = without_errors("right after the start", answers)?;
    assert_eq!((answers.of("backend1"), answers.of("backend2")), (50, 50));
    scene.wait_for_health(HTTP, 3, "unhealthy")?;
    Ok(())
}

#[test]
fn what_the_file_says_differently_after_a_stop_is_in_use_after_the_start() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [3, 2, 1])])?;
    let mut kept = Kept::open(scene.client(), http_at(VIP_V4.into()), 6)?;
    let owners = kept.names()?;
    scene.slbd.stop()?;
    let without = http("wrr", [1, 1, 1]).share(1, crate::services::Share::Absent);
    let text = crate::services::configuration(&scene.lab.backends, &[without]);
    scene.slbd.write_config(&text)?;
    scene.slbd.start_again()?;
    assert_eq!(kept.names()?, owners, "open connections of a removed backend live on");
    let answers = scene.ask(http_at(VIP_V4.into()), Question::Http, Load::sequential(20))?;
    let answers = without_errors("with the new file", answers)?;
    assert_eq!((answers.of("backend2"), answers.of("backend3")), (10, 10));
    let status = scene.slbd.status()?;
    let leaving = seen::backend(&status, HTTP, "10.0.1.11");
    assert_eq!(leaving["admin"], "draining", "{status:#}");
    assert_eq!(seen::number(leaving, "active_connections"), 3);
    drop(kept);
    Ok(())
}

//! Reloads under traffic, and files that are refused.

use std::{fs, time::Duration};

use anyhow::Result;
use slb_tests::lab::{Kept, Load, Question, VIP_V4, VIP_V6};

use crate::{
    scene::{PATIENCE, Scene, VIPS, echo_at, eventually, http_at, without_errors},
    seen,
    services::{HTTP, Listener, Share, configuration, echoes, http},
};

#[test]
fn reloads_of_weights_schedulers_and_backends_under_load_break_no_connection() -> Result<()> {
    let both = |http: Listener| [http, echoes("wrr", [1, 1, 1])];
    let scene = Scene::usual(&both(http("wrr", [3, 2, 1])))?;
    let mut quiet = Kept::open(scene.client(), http_at(VIP_V4.into()), 6)?;
    let owners = quiet.names()?;
    let traffic = [
        scene.traffic(http_at(VIP_V4.into()), Question::HttpKeepAlive, 6),
        scene.traffic(http_at(VIP_V6.into()), Question::Http, 4),
        scene.traffic(http_at(VIP_V4.into()), Question::Http, 4),
        scene.traffic(echo_at(VIP_V6.into()), Question::EchoSamePort, 4),
    ];
    let mut reloads = vec![http("wrr", [1, 1, 1])];
    reloads.extend(["rr", "lc", "wlc", "sh", "mh"].map(|kind| http(kind, [3, 2, 1])));
    reloads.push(http("mh", [3, 2, 1]).share(2, Share::Absent));
    reloads.push(http("wlc", [3, 2, 1]).share(1, Share::Absent));
    reloads.push(http("wrr", [0, 2, 1]));
    reloads.push(http("wrr", [100, 1, 99]).share(3, Share::Backup(7)));
    reloads.push(http("wrr", [3, 2, 1]));
    for listener in reloads {
        for one in &traffic {
            one.wait_for_answers(15, PATIENCE)?;
        }
        scene.reload(&both(listener))?;
        assert_eq!(quiet.names()?, owners);
    }
    for one in traffic {
        one.wait_for_answers(15, PATIENCE)?;
        without_errors("under reloads", one.stop()?)?;
    }
    Ok(())
}

#[test]
fn a_reload_takes_effect_for_the_next_connection_exactly() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [3, 2, 1])])?;
    scene.reload(&[http("wrr", [1, 1, 4])])?;
    for vip in VIPS {
        let answers = scene.ask(http_at(vip), Question::Http, Load::concurrent(60, 6))?;
        let answers = without_errors("after the reload", answers)?;
        let got = ["backend1", "backend2", "backend3"].map(|name| answers.of(name));
        assert_eq!(got, [10, 10, 40]);
    }
    Ok(())
}

#[test]
fn reload_says_what_it_changed_and_that_there_is_nothing_to_change() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [3, 2, 1])])?;
    assert_eq!(scene.slbd.slb_ok(&["reload"])?, "nothing to change\n");
    let changed = http("wrr", [3, 2, 1]).share(3, Share::Absent);
    scene.slbd.write_config(&configuration(&scene.lab.backends, &[changed]))?;
    assert_eq!(
        scene.slbd.slb_ok(&["reload"])?,
        "- backend 10.0.1.13:8080 of shop/tcp:80, weight 1, primary\n\
         - backend [fd01::13]:8080 of shop/tcp:80, weight 1, primary\n"
    );
    Ok(())
}

#[test]
fn a_bad_file_is_refused_with_its_line_and_column_and_changes_nothing() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [3, 2, 1])])?;
    let before = scene.slbd.status()?;
    let sound = configuration(&scene.lab.backends, &[http("wrr", [1, 1, 1])]);
    let file = scene.slbd.config_path();
    for (right, wrong, message, hint) in [
        ("scheduler = \"wrr\"", "scheduler = \"wr\"", "wr", "wrr"),
        ("scheduler = ", "schedular = ", "schedular", "scheduler"),
        ("weight = 1,", "weight = 101,", "101", "100"),
        ("port = 80\n", "port = 80 90\n", "error", "90"),
    ] {
        assert!(sound.contains(right));
        scene.slbd.write_config(&sound.replacen(right, wrong, 1))?;
        let text = fs::read_to_string(&file)?;
        let line = text.lines().position(|line| line.contains(wrong.trim())).map_or(0, |at| at + 1);
        let output = scene.slbd.slb(&["reload"])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the configuration is refused, nothing was changed"), "{said}");
        assert!(said.contains(&format!("{}:{line}:", file.display())), "line {line}: {said}");
        assert!(said.contains(message) && said.contains(hint), "{said}");
    }
    assert_eq!(seen::settings(&scene.slbd.status()?), seen::settings(&before));
    let answers = scene.ask(http_at(VIP_V4.into()), Question::Http, Load::concurrent(60, 6))?;
    assert_eq!(without_errors("as before", answers)?.of("backend1"), 30);
    Ok(())
}

#[test]
fn sighup_reloads_and_a_bad_file_does_not_stop_the_daemon() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [3, 2, 1])])?;
    scene.slbd.write_config("this is no configuration\n")?;
    scene.slbd.hang_up()?;
    eventually("the refusal is in the log", PATIENCE, || {
        Ok(scene.slbd.log_tail().contains("reload refused"))
    })?;
    let sound = configuration(&scene.lab.backends, &[http("wrr", [1, 1, 1])]);
    scene.slbd.write_config(&sound)?;
    scene.slbd.hang_up()?;
    scene.slbd.wait_for_status("the new weights", PATIENCE, |status| {
        seen::by_backend(status, HTTP, "weight").values().all(|weight| *weight == 1)
    })?;
    assert!(scene.slbd.is_running());
    Ok(())
}

#[test]
fn a_setting_that_needs_a_restart_is_refused_by_name() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [3, 2, 1])])?;
    let file = scene.slbd.config_path();
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replace("max_connections = 65_536", "max_connections = 100_000"))?;
    let output = scene.slbd.slb(&["reload"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("dataplane.max_connections"), "{said}");
    assert!(said.contains("cannot change while slbd runs"), "{said}");
    let load = Load::sequential(6).patience(Duration::from_secs(2));
    without_errors("as before", scene.ask(http_at(VIP_V6.into()), Question::Http, load)?)?;
    Ok(())
}

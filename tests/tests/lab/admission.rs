//! Access lists, limits and blackholed VIPs, by real clients.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use slb_tests::lab::{Kept, Load, Question, VIP_V4, VIP_V6};

use crate::{
    scene::{PATIENCE, Scene, VIPS, echo_at, eventually, http_at, without_errors},
    seen,
    services::{HTTP, configuration, echoes, http},
};

/// A few tries that are over soon if nobody answers.
fn few() -> Load {
    Load::sequential(3).patience(Duration::from_millis(700))
}

/// How often the listener has refused for this reason.
fn refused(scene: &Scene, reason: &str) -> Result<u64> {
    let status = scene.slbd.status()?;
    Ok(seen::listener(&status, HTTP)["refused"][reason].as_u64().unwrap_or(0))
}

#[test]
fn an_access_list_is_swapped_by_a_reload_and_open_connections_go_on() -> Result<()> {
    let client = |scene: &Scene| (scene.lab.clients[0].v4, scene.lab.clients[0].v6);
    let scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    let (v4, v6) = client(&scene);
    let mut kept = Kept::open(scene.client(), http_at(VIP_V4.into()), 3)?;
    let owners = kept.names()?;
    // With the client's two as many as a list may have: one that somebody takes from elsewhere.
    let others: Vec<String> = (0..49_998_u32)
        .map(|number| format!("\"11.{}.{}.0/24\"", number >> 8 & 0xff, number & 0xff))
        .collect();
    let deny = format!("acl = {{ deny = [{}, \"{v4}/32\", \"{v6}/128\"] }}", others.join(", "));
    let allow = "acl = { allow = [\"10.0.0.0/24\", \"fd00::/64\"] }".to_owned();
    for (line, lets_in) in [(deny, false), (allow, true)] {
        scene.reload(&[http("wrr", [1, 1, 1]).line(&line)])?;
        for vip in VIPS {
            let answers = scene.ask(http_at(vip), Question::Http, few())?;
            assert_eq!(answers.errors.is_empty(), lets_in, "{vip}: {answers}");
        }
        assert_eq!(kept.names()?, owners);
    }
    assert!(refused(&scene, "acl")? >= 6);
    Ok(())
}

#[test]
fn a_limit_holds_from_the_reload_on_and_open_connections_go_on() -> Result<()> {
    let limited = |most: u32| {
        http("wrr", [1, 1, 1]).line(&format!("limits = {{ max_connections = {most} }}"))
    };
    let scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    let at = http_at(VIP_V4.into());
    let mut kept = Kept::open(scene.client(), at, 4)?;
    let owners = kept.names()?;
    scene.reload(&[limited(4)])?;
    let answers = scene.ask(at, Question::Http, few())?;
    assert_eq!(answers.answered(), 0, "{answers}");
    assert!(refused(&scene, "connection_limit")? >= 3);
    assert_eq!(kept.names()?, owners);
    // The same in the shadow: everybody is let in, and it is told who would not have been.
    let shadow = "limits = { max_connections = 4, shadow = true }";
    scene.reload(&[http("wrr", [1, 1, 1]).line(shadow)])?;
    without_errors("in the shadow", scene.ask(at, Question::Http, few())?)?;
    let status = scene.slbd.status()?;
    let would = &seen::listener(&status, HTTP)["would_refuse"]["connection_limit"];
    assert!(would.as_u64().is_some_and(|count| count >= 3), "{would}");
    scene.reload(&[limited(400)])?;
    without_errors("with room", scene.ask(at, Question::Http, few())?)?;
    assert_eq!(kept.names()?, owners);
    Ok(())
}

#[test]
fn another_specification_holds_from_the_reload_on_and_open_connections_go_on() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    let text = configuration(&scene.lab.backends, &[http("wrr", [1, 1, 1])]);
    let specified = |specification: &str| {
        let name = "name = \"shop\"";
        let text = text.replacen(name, &format!("{name}\nspecification = {specification}"), 1);
        scene.slbd.reload(&text)
    };
    let mut kept = Vec::new();
    for vip in VIPS {
        let mut one = Kept::open(scene.client(), http_at(vip), 2)?;
        kept.push((one.names()?, one));
    }
    let mut go_on = |when: &str| -> Result<()> {
        for (owners, one) in &mut kept {
            assert_eq!(one.names()?, *owners, "{when}");
        }
        Ok(())
    };
    // Both VIPs are one instance: their four connections are all that it may have.
    for (specification, lets_in) in [
        ("{ max_connections = 4 }", false),
        ("\"slb.s1.small\"", true),
        ("{ max_connections = 1 }", false),
        ("\"shared\"", true),
    ] {
        specified(specification)?;
        for vip in VIPS {
            let answers = scene.ask(http_at(vip), Question::Http, few())?;
            let answered = answers.answered();
            assert_eq!(answered > 0, lets_in, "{specification} {vip}: {answers}");
            assert!(!lets_in || answers.errors.is_empty(), "{specification} {vip}: {answers}");
        }
        go_on(specification)?;
    }
    assert!(refused(&scene, "instance_connection_limit")? >= 6);
    let status = scene.slbd.status()?;
    assert_eq!(status["instances"][0]["specification"], "shared");
    Ok(())
}

/// What `slb blackhole list` shows.
fn holes(scene: &Scene) -> Result<Vec<Value>> {
    let list = scene.slbd.json(&["blackhole", "list"])?;
    Ok(list["blackholes"].as_array().cloned().unwrap_or_default())
}

#[test]
fn a_vip_above_its_threshold_is_blackholed_alone_listed_and_released() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [1, 1, 1]), echoes("wrr", [1, 1, 1])])?;
    let text =
        configuration(&scene.lab.backends, &[http("wrr", [1, 1, 1]), echoes("wrr", [1, 1, 1])]);
    let with = |duration: &str| {
        let line =
            format!("name = \"shop\"\nblackhole = {{ pps = 300, duration = \"{duration}\" }}");
        text.replacen("name = \"shop\"", &line, 1)
    };
    scene.slbd.reload(&with("120s"))?;
    without_errors("below", scene.ask(http_at(VIP_V4.into()), Question::Http, few())?)?;
    let flood = || scene.traffic(echo_at(VIP_V4.into()), Question::EchoSamePort, 8);
    let flooding = flood();
    eventually("the VIP is blackholed", PATIENCE, || Ok(!holes(&scene)?.is_empty()))?;
    drop(flooding.stop()?);
    let listed = holes(&scene)?;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["vip"], &listed[0]["instance"]),
        (&VIP_V4.to_string().into(), &"shop".into())
    );
    assert!(listed[0]["pps"].as_u64().is_some_and(|pps| pps > 300), "{listed:?}");
    let answers = scene.ask(http_at(VIP_V4.into()), Question::Http, few())?;
    assert_eq!(answers.answered(), 0, "{answers}");
    without_errors("the other VIP", scene.ask(http_at(VIP_V6.into()), Question::Http, few())?)?;
    assert!(scene.slbd.log_tail().contains("blackholed"));
    let said = scene.slbd.slb_ok(&["blackhole", "release", &VIP_V4.to_string()])?;
    assert_eq!(said, format!("{VIP_V4} of shop is let through again\n"));
    assert_eq!(scene.slbd.slb_ok(&["blackhole", "list"])?, "no VIP is blackholed\n");
    without_errors("released", scene.ask(http_at(VIP_V4.into()), Question::Http, few())?)?;
    // And by itself, when its time is over.
    scene.slbd.reload(&with("2s"))?;
    let flooding = flood();
    eventually("the VIP is blackholed", PATIENCE, || Ok(!holes(&scene)?.is_empty()))?;
    drop(flooding.stop()?);
    eventually("it is let through again", PATIENCE, || Ok(holes(&scene)?.is_empty()))?;
    without_errors("after it", scene.ask(http_at(VIP_V4.into()), Question::Http, few())?)?;
    Ok(())
}

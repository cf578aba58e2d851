//! Who gets new connections: wrr, rr, wlc and lc.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use slb_tests::lab::{Arms, Held, Lab, Load, Question, VIP_V4, VIP_V6, hold};

use crate::{
    scene::{PATIENCE, Scene, VIPS, echo_at, eventually, http_at, name_at, without_errors},
    seen,
    services::{NAME, echoes, http, names},
};

#[test]
fn with_two_arms_wrr_3_2_1_over_600_new_connections_is_exactly_300_200_100() -> Result<()> {
    wrr_is_exact(Arms::Two, "redirected", "transmitted")
}

#[test]
fn with_one_arm_wrr_3_2_1_over_600_new_connections_is_exactly_300_200_100() -> Result<()> {
    wrr_is_exact(Arms::One, "transmitted", "redirected")
}

/// TCP and UDP, IPv4 and IPv6; frames are sent by `used` and never by `unused`.
fn wrr_is_exact(arms: Arms, used: &str, unused: &str) -> Result<()> {
    let lab = Lab::builder().arms(arms).build()?;
    let scene = Scene::start(lab, &[http("wrr", [3, 2, 1]), echoes("wrr", [3, 2, 1])])?;
    for vip in VIPS {
        for (question, at) in [(Question::Http, http_at(vip)), (Question::Echo, echo_at(vip))] {
            let answers = scene.ask(at, question, Load::concurrent(600, 16))?;
            let answers = without_errors(&at.to_string(), answers)?;
            assert_eq!(answers.by_backend, counts([300, 200, 100]), "{question:?} {at}");
        }
    }
    let drops = scene.slbd.json(&["drops", "--all"])?;
    assert!(seen::verdict(&drops, used) > 4 * 600);
    assert_eq!(seen::verdict(&drops, unused), 0);
    Ok(())
}

#[test]
fn rr_gives_every_backend_the_same_whatever_its_weight() -> Result<()> {
    let scene = Scene::usual(&[http("rr", [3, 2, 1]), echoes("rr", [100, 1, 50])])?;
    for vip in VIPS {
        for (question, at) in [(Question::Http, http_at(vip)), (Question::Echo, echo_at(vip))] {
            let answers = scene.ask(at, question, Load::concurrent(300, 8))?;
            let answers = without_errors(&at.to_string(), answers)?;
            assert_eq!(answers.by_backend, counts([100, 100, 100]), "{question:?} {at}");
        }
    }
    Ok(())
}

#[test]
fn wlc_keeps_active_connections_by_weight_within_one_connection_at_every_step() -> Result<()> {
    let scene = Scene::usual(&[names("wlc", [3, 2, 1])])?;
    let mut held = Held { connections: Vec::new() };
    for step in 1..=30 {
        let opened = hold(scene.client(), name_at(VIP_V4.into()), 1)?;
        held.connections.extend(opened.connections);
        is_even(&scene, &held, [3, 2, 1], step)?;
    }
    assert_eq!(owned(&held), counts([15, 10, 5]));
    Ok(())
}

#[test]
fn lc_keeps_active_connections_within_one_at_every_step_whatever_the_weights() -> Result<()> {
    let scene = Scene::usual(&[names("lc", [3, 2, 1])])?;
    let mut held = Held { connections: Vec::new() };
    for step in 1..=15 {
        let opened = hold(scene.client(), name_at(VIP_V6.into()), 1)?;
        held.connections.extend(opened.connections);
        is_even(&scene, &held, [1, 1, 1], step)?;
    }
    assert_eq!(owned(&held), counts([5, 5, 5]));
    Ok(())
}

#[test]
fn wlc_gives_the_next_connections_to_the_backend_whose_connections_have_ended() -> Result<()> {
    let scene = Scene::usual(&[names("wlc", [1, 1, 1])])?;
    let mut held = hold(scene.client(), name_at(VIP_V4.into()), 12)?;
    assert_eq!(owned(&held), counts([4, 4, 4]));
    held.connections.retain(|(backend, _)| backend != "backend2");
    eventually("the ended connections are not active any more", PATIENCE, || {
        let status = scene.slbd.status()?;
        Ok(seen::number(seen::listener(&status, NAME), "active_connections") == 8)
    })?;
    let opened = hold(scene.client(), name_at(VIP_V4.into()), 4)?;
    assert_eq!(owned(&opened), BTreeMap::from([("backend2".to_owned(), 4)]));
    Ok(())
}

/// The client's view and the balancer's gauges agree, and no backend is more than one connection
/// away from what its weight says.
fn is_even(scene: &Scene, held: &Held, weights: [u64; 3], step: usize) -> Result<()> {
    let clients_view = owned(held);
    let status = scene.slbd.status()?;
    let mut shares = Vec::new();
    for (backend, weight) in scene.lab.backends.iter().zip(weights) {
        let vip = held.connections[0].1.peer_addr()?.ip();
        let address = backend.endpoint(vip, 0).ip();
        let active = seen::number(seen::backend(&status, NAME, address), "active_connections");
        let opened = clients_view.get(&backend.name).copied().unwrap_or(0);
        ensure!(active == opened, "step {step}: {active} active, {opened} held: {status:#}");
        shares.push((active, weight));
    }
    for (active, weight) in &shares {
        for (other_active, other_weight) in &shares {
            // One connection less would be at most the other's share.
            let too_much = active.saturating_sub(1) * other_weight > other_active * weight;
            ensure!(!too_much, "step {step}: (active, weight) {shares:?}");
        }
    }
    Ok(())
}

fn owned(held: &Held) -> BTreeMap<String, u64> {
    held.by_backend().into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

fn counts(of: [u64; 3]) -> BTreeMap<String, u64> {
    (1..).zip(of).map(|(number, count)| (format!("backend{number}"), count)).collect()
}

//! What is not configured any more, as long as it has connections.

use anyhow::Result;
use slb_tests::lab::{Kept, Load, Question, VIP_V4, VIP_V6};

use crate::{
    scene::{PATIENCE, Scene, eventually, http_at, without_errors},
    services::{configuration, http},
};

#[test]
fn connections_of_a_removed_vip_go_on_across_a_restart_and_the_vip_goes_with_the_last() -> Result<()>
{
    let listener =
        http("rr", [1, 1, 1]).line("fin_timeout = \"1s\"").line("time_wait_timeout = \"1s\"");
    let mut scene = Scene::usual(std::slice::from_ref(&listener))?;
    let mut kept = Kept::open(scene.client(), http_at(VIP_V4.into()), 3)?;
    let owners = kept.names()?;
    // The same listener at other VIPs: the one before drains as a whole.
    let moved = configuration(&scene.lab.backends, &[listener])
        .replace(&VIP_V4.to_string(), "10.0.0.101")
        .replace(&VIP_V6.to_string(), "fd00::101");
    scene.slbd.reload(&moved)?;
    assert_eq!(kept.names()?, owners);
    assert!(has_vip(&scene)?, "clients ask for its MAC address");

    scene.slbd.stop()?;
    scene.slbd.start_again()?;
    assert_eq!(kept.names()?, owners);
    assert!(has_vip(&scene)?);
    let at = http_at("10.0.0.101".parse()?);
    without_errors("the new VIP", scene.ask(at, Question::Http, Load::sequential(6))?)?;

    drop(kept);
    eventually("the VIP is gone", PATIENCE, || Ok(!has_vip(&scene)?))
}

fn has_vip(scene: &Scene) -> Result<bool> {
    let addresses = scene.lab.balancer.output("ip", &["-oneline", "addr", "show"])?;
    Ok(addresses.contains(&format!(" {VIP_V4}/32 ")))
}

//! `slbd --detach`, and what is left after it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use slb_tests::lab::{Lab, Load, Question, VIP_V4, VIP_V6, bpffs};

use crate::{
    scene::{PATIENCE, Scene, VIPS, http_at, without_errors},
    seen,
    services::{echoes, http},
};

#[test]
fn detach_leaves_nothing_behind_says_what_it_did_and_does_no_harm_twice() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [3, 2, 1]), echoes("wrr", [1, 1, 1])])?;
    for vip in VIPS {
        without_errors("", scene.ask(http_at(vip), Question::Http, Load::sequential(6))?)?;
        assert!(has_address(&scene, &vip.to_string())?, "{vip}");
    }
    assert!(attached(&scene, "eth0")? && attached(&scene, "eth1")?);
    scene.slbd.stop()?;
    assert!(attached(&scene, "eth0")?, "the data plane outlives the daemon");

    let others = pins_beside(&scene.lab.pin_dir())?;
    let said = scene.slbd.detach()?;
    assert_eq!(pins_beside(&scene.lab.pin_dir())?, others);
    for line in [
        "XDP detached from eth0",
        "XDP detached from eth1",
        &format!("VIP {VIP_V4} removed from eth0"),
        &format!("VIP {VIP_V6} removed from eth0"),
        &format!("maps removed from {}", scene.lab.pin_dir().display()),
        "backends' neighbour entries let go: 6",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    assert!(!attached(&scene, "eth0")? && !attached(&scene, "eth1")?);
    assert!(!scene.lab.pin_dir().exists());
    for vip in VIPS {
        assert!(!has_address(&scene, &vip.to_string())?, "{vip}");
    }
    // Else the kernel would go on asking for backends for ever.
    let neighbours = scene.lab.balancer.output("ip", &["neigh", "show", "nud", "all"])?;
    assert!(!neighbours.contains("managed"), "{neighbours}");

    assert_eq!(scene.slbd.detach()?, "nothing to detach\n");
    scene.slbd.start_again()?;
    // Until then clients are refused, and told so.
    scene.slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    without_errors("", scene.ask(http_at(VIP_V4.into()), Question::Http, Load::sequential(6))?)?;
    Ok(())
}

#[test]
fn detach_beside_a_running_daemon_is_refused_and_changes_nothing() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [3, 2, 1])])?;
    let output = scene.slbd.run(&["--detach"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let running =
        format!("slbd runs (answers on {}): stop it first", scene.slbd.socket().display());
    assert!(said.contains(&running), "{said}");
    assert!(attached(&scene, "eth0")? && attached(&scene, "eth1")?);
    without_errors("", scene.ask(http_at(VIP_V4.into()), Question::Http, Load::sequential(6))?)?;
    Ok(())
}

#[test]
fn an_address_that_the_operator_put_on_the_host_is_not_taken_away_by_detach() -> Result<()> {
    let lab = Lab::builder().build()?;
    lab.balancer.output("ip", &["addr", "add", "10.0.0.100/32", "dev", "lo"])?;
    let mut scene = Scene::start(lab, &[http("wrr", [1, 1, 1])])?;
    without_errors("", scene.ask(http_at(VIP_V4.into()), Question::Http, Load::sequential(6))?)?;
    scene.slbd.stop()?;
    scene.slbd.detach()?;
    assert!(has_address(&scene, "10.0.0.100")?);
    Ok(())
}

fn has_address(scene: &Scene, address: &str) -> Result<bool> {
    let text = scene.lab.balancer.output("ip", &["-json", "addr", "show"])?;
    let links: Value = serde_json::from_str(&text)?;
    let addresses = seen::array(&links).flat_map(|link| seen::array(&link["addr_info"]));
    Ok(addresses.into_iter().any(|one| one["local"] == address))
}

fn attached(scene: &Scene, interface: &str) -> Result<bool> {
    let arguments = ["-json", "link", "show", "dev", interface];
    let links: Value = serde_json::from_str(&scene.lab.balancer.output("ip", &arguments)?)?;
    Ok(!links[0]["xdp"].is_null())
}

/// What others have pinned.
fn pins_beside(own: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(bpffs::MOUNT_POINT)?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path != own);
    paths.sort();
    Ok(paths)
}

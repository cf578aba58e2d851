//! A backend that comes back gets its share little by little.

use anyhow::Result;
use slb_tests::lab::{Answers, Load, Question, Service};

use crate::{
    scene::{PATIENCE, Scene, VIPS, eventually, http_at, without_errors},
    services::{HTTP, http},
};

fn ask(scene: &Scene, vip: std::net::IpAddr) -> Result<Answers> {
    let answers = scene.ask(http_at(vip), Question::Http, Load::sequential(40))?;
    without_errors("while a backend ramps", answers)
}

#[test]
fn a_backend_that_comes_back_ramps_up_to_its_whole_weight_and_a_restart_starts_no_ramp()
-> Result<()> {
    for scheduler in ["wrr", "tch"] {
        let mut scene = Scene::usual(&[http(scheduler, [1, 1]).line("slow_start = \"6s\"")])?;
        scene.servers("backend2", Service::Http).for_each(|server| server.kill());
        scene.wait_for_health(HTTP, 2, "unhealthy")?;
        for server in scene.servers("backend2", Service::Http) {
            server.restart()?;
        }
        scene.wait_for_health(HTTP, 2, "healthy")?;
        for vip in VIPS {
            // A tenth of the weight is an eleventh of the whole; some steps may be over.
            let early = ask(&scene, vip)?.of("backend2");
            assert!(early <= 16, "{scheduler}: {early} of 40 at once");
        }
        let even = |scene: &Scene| -> Result<bool> {
            let shares = VIPS.map(|vip| ask(scene, vip).map(|answers| answers.of("backend2")));
            let [v4, v6] = shares;
            let expected = if scheduler == "wrr" { 20..=20 } else { 10..=30 };
            Ok(expected.contains(&v4?) && expected.contains(&v6?))
        };
        eventually("both have their whole weight", PATIENCE, || even(&scene))?;
        scene.slbd.crash()?;
        scene.slbd.start_again()?;
        assert!(even(&scene)?, "{scheduler}: after a restart of the daemon");
    }
    Ok(())
}

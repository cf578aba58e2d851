//! The step that kills a backend's server under traffic and starts it again.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use slb_tests::lab::{Load, Question, Traffic, VIP_V4, ask};

use crate::{
    counts,
    scene::{HTTP_PORT, PATIENCE, Scene},
    show::Show,
    steps::in_short,
};

const VICTIM: &str = "backend1";
/// Three failed checks a second apart, the first up to a second after the kill; the rest is room
/// for a slow machine. The time itself is shown, not judged.
const LONGEST: Duration = Duration::from_secs(10);

/// Shows how long it takes, what clients notice, and that the backend comes back.
pub(crate) fn failover(show: &mut Show, scene: &mut Scene) -> Result<()> {
    show.step(&format!("Fail-over: the server of {VICTIM} is killed under traffic"));
    let client = scene.lab.clients[0].namespace.clone();
    let vip = (VIP_V4, HTTP_PORT).into();
    let traffic = Traffic::start(&client, vip, Question::Http, 4, Duration::from_millis(3));
    traffic.wait_for_answers(100, PATIENCE)?;

    let killed = Instant::now();
    scene.http_servers(VICTIM).for_each(|server| server.kill());
    wait_for_health(scene, "unhealthy")?;
    let noticed = Instant::now();
    traffic.wait_for_answers(300, PATIENCE)?;

    for server in scene.http_servers(VICTIM) {
        server.restart()?;
    }
    let restarted = Instant::now();
    wait_for_health(scene, "healthy")?;
    let recovered = restarted.elapsed();
    let traffic = traffic.stop()?;

    let took = noticed - killed;
    show.claim(
        took < LONGEST,
        &format!("out of service {:.1} s after the kill: third failed check", took.as_secs_f64()),
    );
    let last = traffic.errors.last().map_or(Duration::ZERO, |error| error.at - killed);
    let in_all = in_short(&traffic, "connections in all");
    show.line(&format!("  {in_all}, the last {:.1} s after the kill", last.as_secs_f64()));
    let after = traffic.errors_after(noticed);
    show.claim(after == 0, &format!("{after} client errors after that"));

    let answers = ask(&client, vip, Question::Http, Load::concurrent(120, 8))?;
    let back = answers.of(VICTIM);
    show.claim(
        answers.errors.is_empty() && back == 60,
        &format!(
            "back {:.1} s after its restart: answers {back} of 120 new connections",
            recovered.as_secs_f64()
        ),
    );
    Ok(())
}

fn wait_for_health(scene: &mut Scene, wanted: &str) -> Result<()> {
    let address = scene.lab.backends[0].v4.to_string();
    let reached = |status: &Value| counts::health(status, "tcp", &address) == Some(wanted);
    let what = format!("{VICTIM} is {wanted}");
    scene.slbd()?.wait_for_status(&what, PATIENCE, reached).map(drop)
}

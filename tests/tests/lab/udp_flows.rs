//! UDP flows: one entry per flow, until it has been idle for its time.

use std::time::{Duration, Instant};

use anyhow::Result;
use slb_tests::lab::{Load, Question, VIP_V4, VIP_V6};

use crate::{
    scene::{Scene, VIPS, echo_at, without_errors},
    seen,
    services::{ECHO, echoes},
};

#[test]
fn a_flow_stays_on_its_backend_and_is_one_connection_however_many_datagrams_it_has() -> Result<()> {
    let scene = Scene::usual(&[echoes("rr", [1, 1, 1])])?;
    for vip in VIPS {
        let load = Load::concurrent(300, 3);
        let answers = scene.ask(echo_at(vip), Question::EchoSamePort, load)?;
        let answers = without_errors("three flows", answers)?;
        assert_eq!(answers.by_backend.len(), 3, "{answers}");
    }
    let status = scene.slbd.status()?;
    let listener = seen::listener(&status, ECHO);
    let counts = ["connections_total", "active_connections", "inactive_connections", "packets_in"];
    assert_eq!(counts.map(|name| seen::number(listener, name)), [6, 6, 0, 600]);
    Ok(())
}

#[test]
fn idle_flows_leave_the_table_after_their_timeout_and_the_gauges_are_zero_again() -> Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(10);
    /// Sweeps come every two seconds; one may have just begun.
    const SWEEP: Duration = Duration::from_secs(3);
    let scene = Scene::usual(&[echoes("wrr", [3, 2, 1]).line("established_timeout = \"10s\"")])?;
    let begun = Instant::now();
    for vip in [VIP_V4.into(), VIP_V6.into()] {
        let answers = scene.ask(echo_at(vip), Question::Echo, Load::concurrent(60, 6))?;
        without_errors("60 flows", answers)?;
    }
    let last = Instant::now();
    assert_eq!(scene.slbd.json(&["conns", "--state", "udp"])?["matching"], 120);
    let gone = |status: &serde_json::Value| seen::number(&status["dataplane"], "connections") == 0;
    let status = scene.slbd.wait_for_status("the table is empty", 2 * TIMEOUT, gone)?;
    assert!(begun.elapsed() >= TIMEOUT - Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(last.elapsed() <= TIMEOUT + SWEEP, "{:?}", last.elapsed());
    assert_eq!(scene.slbd.slb_ok(&["conns"])?, "no connections\n");
    let listener = seen::listener(&status, ECHO);
    let counts = ["active_connections", "inactive_connections", "connections_total"];
    assert_eq!(counts.map(|name| seen::number(listener, name)), [0, 0, 120]);
    Ok(())
}

//! qch: packets of QUIC connections go to the backend whose server id is in their connection ID,
//! also if a command has added it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context, Result};
use slb_tests::lab::udp_from;

use crate::{
    scene::{PATIENCE, Scene, VIPS, echo_at},
    seen,
    services::{ECHO, Share, echoes},
};

const LISTENER: &str = "shop/udp:53";

/// Who answers a packet with this server id, as draft-ietf-quic-load-balancers-21 has it: first
/// octet of a short header; connection ID of rotation, server id and nonce; anything.
fn who_answers(scene: &Scene, vip: IpAddr, server: u16) -> Result<String> {
    let any: IpAddr = match vip {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    // The kernel would pick one at random, now and then one of before, and what comes from that is
    // of the flow of before: its backend has it, whatever the connection ID says.
    static PORTS: AtomicU16 = AtomicU16::new(20_000);
    let own = SocketAddr::new(any, PORTS.fetch_add(1, Ordering::Relaxed));
    let socket = udp_from(scene.client(), own, echo_at(vip))?;
    let [high, low] = server.to_be_bytes();
    let nonce = [0xd1, 0x3c, 0x77, 0x05, 0x9e];
    socket.send(&[&[0x5b, 0x0b, high, low][..], &nonce, &[0xee; 40]].concat())?;
    let mut answer = [0; 100];
    let length = socket.recv(&mut answer).with_context(|| format!("{vip}, server {server}"))?;
    let name = answer[..length].split(|byte| *byte == b':').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

#[test]
fn a_backend_that_is_added_with_its_server_id_gets_the_packets_that_name_it() -> Result<()> {
    let mut scene = Scene::usual(&[echoes("qch", [1, 1, 1]).share(3, Share::Absent)])?;
    let hosts = [("10.0.1.13", "10.0.1.13:5353"), ("fd01::13", "[fd01::13]:5353")];
    for (_, endpoint) in hosts {
        let words = ["backend", "add", LISTENER, endpoint, "--weight", "0", "--server-id", "258"];
        let said = scene.slbd.slb_ok(&words)?;
        let expected =
            format!("+ backend {endpoint} of {LISTENER}, weight 0, primary, server id 258\n");
        assert_eq!(said, expected);
    }
    let healthy = |status: &serde_json::Value| {
        hosts.iter().all(|(address, _)| seen::backend(status, ECHO, address)["health"] == "healthy")
    };
    scene.slbd.wait_for_status("the added backend is healthy", PATIENCE, healthy)?;
    for restarted in [false, true] {
        if restarted {
            scene.slbd.crash()?;
            scene.slbd.start_again()?;
            scene.slbd.wait_for_status("it is healthy again", PATIENCE, healthy)?;
        }
        for vip in VIPS {
            for _ in 0..10 {
                assert_eq!(who_answers(&scene, vip, 258)?, "backend3", "{restarted}");
                assert_ne!(who_answers(&scene, vip, 259)?, "backend3", "of weight 0, {restarted}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_server_id_that_another_backend_has_is_refused() -> Result<()> {
    let scene = Scene::usual(&[echoes("qch", [1, 1, 1]).share(3, Share::Absent)])?;
    let add = |endpoint| ["backend", "add", LISTENER, endpoint, "--server-id", "7"];
    scene.slbd.slb_ok(&add("10.0.1.13:5353"))?;
    let output = scene.slbd.slb(&add("10.0.1.14:5353"))?;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = "10.0.1.13:5353 and 10.0.1.14:5353 of shop/udp:53 both have server id 7";
    assert!(said.contains(expected), "{said}");
    let status = scene.slbd.status()?;
    assert!(seen::backend(&status, ECHO, "10.0.1.14").is_null(), "nothing was changed");
    // The other address of the same server may have it too.
    scene.slbd.slb_ok(&add("[fd01::13]:5353"))?;
    let output =
        scene.slbd.slb(&["backend", "add", LISTENER, "10.0.1.14:5353", "--server-id", "65536"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("65536 is not in 0..=65535"), "{said}");
    Ok(())
}

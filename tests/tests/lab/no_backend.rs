//! What a client meets when no backend is usable.

use std::{
    io::ErrorKind,
    net::{IpAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::Value;
use slb_tests::lab::{Lab, Namespace, Slbd, udp_from};

use crate::{
    scene::{PATIENCE, VIPS, echo_at, name_at},
    seen,
    services::{configuration, echoes, names},
};

/// A lab in which nobody serves, and every check has failed.
fn without_backends(line: &str) -> Result<(Slbd, Lab)> {
    let lab = Lab::builder().backends(1).build()?;
    let listeners = [names("wrr", [1]).line(line), echoes("wrr", [1]).line(line)];
    let slbd = Slbd::start(&lab, &configuration(&lab.backends, &listeners))?;
    slbd.wait_for_status("all backends unhealthy", PATIENCE, |status| {
        seen::backends(status).all(|each| each["health"] == "unhealthy")
    })?;
    Ok((slbd, lab))
}

/// How connect() and a datagram fail, each within its time.
fn failures(
    client: &Namespace,
    source: &slb_tests::lab::Host,
    vip: IpAddr,
) -> Result<[ErrorKind; 2]> {
    let limit = Duration::from_secs(2);
    let connected = client.run(|| TcpStream::connect_timeout(&name_at(vip), limit))?;
    let socket = udp_from(client, source.endpoint(vip, 0), echo_at(vip))?;
    socket.set_read_timeout(Some(limit))?;
    socket.send(b"anybody?")?;
    let received = socket.recv(&mut [0; 10]);
    Ok([connected.expect_err("nobody serves").kind(), received.expect_err("nobody serves").kind()])
}

fn answered(drops: &Value, label: &str) -> u64 {
    let found = seen::array(&drops["answers"]).find(|one| one["label"] == label);
    found.map_or(0, |one| seen::number(one, "packets"))
}

#[test]
fn clients_of_a_listener_without_backend_are_refused_at_once() -> Result<()> {
    let (slbd, lab) = without_backends("")?;
    let client = &lab.clients[0];
    for vip in VIPS {
        let begun = Instant::now();
        let failures = failures(&client.namespace, client, vip)?;
        ensure!(failures == [ErrorKind::ConnectionRefused; 2], "{vip}: {failures:?}");
        ensure!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
    let drops = slbd.json(&["drops"])?;
    ensure!(seen::verdict(&drops, "no_backend") == 4, "{drops:#}");
    ensure!((answered(&drops, "reset"), answered(&drops, "unreachable")) == (2, 2), "{drops:#}");
    Ok(())
}

#[test]
fn with_no_backend_drop_clients_wait_in_vain() -> Result<()> {
    let (slbd, lab) = without_backends("no_backend = \"drop\"")?;
    let client = &lab.clients[0];
    for vip in VIPS {
        let failures = failures(&client.namespace, client, vip)?;
        ensure!(failures == [ErrorKind::TimedOut, ErrorKind::WouldBlock], "{vip}: {failures:?}");
    }
    let drops = slbd.json(&["drops"])?;
    ensure!(seen::verdict(&drops, "no_backend") >= 4, "{drops:#}");
    ensure!(seen::array(&drops["answers"]).all(|one| one["packets"] == 0), "{drops:#}");
    Ok(())
}

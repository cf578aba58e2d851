//! Bandwidth of a listener in both directions, by datagrams that real sockets send faster.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use slb_tests::lab::{Lab, Server, Service, VIP_V4, udp_from};

use crate::{
    scene::{Scene, echo_at},
    seen,
    services::{ECHO, echoes, port_of},
};

/// How long datagrams are sent.
const TIME: Duration = Duration::from_secs(10);
/// A rest of the sender that is longer is not the balancer's: the machine did something else.
const STALL: Duration = Duration::from_millis(20);

/// Sends 58 Mbit/s; returns how long it has been kept from sending.
fn send(socket: &UdpSocket) -> Result<Duration> {
    let (begun, payload) = (Instant::now(), [7; 1200]);
    let (mut stalled, mut last) = (Duration::ZERO, begun);
    while begun.elapsed() < TIME {
        for _ in 0..6 {
            socket.send(&payload)?;
        }
        thread::sleep(Duration::from_millis(1));
        let rest = last.elapsed();
        last = Instant::now();
        if rest > STALL {
            stalled += rest;
        }
    }
    Ok(stalled)
}

#[test]
fn both_directions_of_a_listener_keep_to_their_bandwidth_within_5_percent() -> Result<()> {
    let lab = Lab::builder().backends(1).build()?;
    let bandwidth = "bandwidth = { in = \"30Mbit\", out = \"20Mbit\" }";
    let mut scene = Scene::start(lab, &[echoes("wrr", [1]).line(bandwidth)])?;
    scene.servers("backend1", Service::Echo).for_each(Server::kill);
    let backend = scene.lab.backends[0].endpoint(VIP_V4.into(), port_of(Service::Echo));
    let mirror = scene.lab.backends[0].namespace.run(|| UdpSocket::bind(backend))??;
    mirror.set_read_timeout(Some(Duration::from_millis(100)))?;
    let done = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&done);
    let mirroring = thread::spawn(move || {
        let mut buffer = [0; 2000];
        while !over.load(Relaxed) {
            if let Ok((length, from)) = mirror.recv_from(&mut buffer) {
                // A full queue is the same as a packet that the balancer drops.
                let _ = mirror.send_to(&buffer[..length], from);
            }
        }
    });
    let source = scene.lab.clients[0].endpoint(VIP_V4.into(), 23_000);
    let socket = udp_from(scene.client(), source, echo_at(VIP_V4.into()))?;
    let stalled = send(&socket)?;
    done.store(true, Relaxed);
    mirroring.join().expect("the mirror");
    let status = scene.slbd.status()?;
    let listener = seen::listener(&status, ECHO);
    for (direction, bits) in [("bytes_in", 30e6), ("bytes_out", 20e6)] {
        let bytes = seen::number(listener, direction) as f64;
        let most = bits / 8.0 * TIME.as_secs_f64();
        let least = bits / 8.0 * TIME.saturating_sub(stalled).as_secs_f64();
        let told = format!("{direction}: {bytes} of {most}, the sender stalled for {stalled:?}");
        assert!(bytes <= most * 1.05 && bytes >= least * 0.95, "{told}");
    }
    let refused = &listener["refused"]["bandwidth"];
    assert!(refused.as_u64().is_some_and(|count| count > 1000), "{listener:#}");
    Ok(())
}

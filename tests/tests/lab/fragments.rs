//! Datagrams that are longer than the way's MTU: the sockets' own kernels cut them up and put them
//! together again.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
};

use anyhow::{Context, Result};
use slb_tests::lab::{Lab, Server, Service, Slbd, udp_from};

use crate::{
    scene::{PATIENCE, Scene, VIPS, echo_at, start_servers},
    seen,
    segments::DATAPLANE,
    services::{ECHO, configuration, echoes, port_of},
};

/// Three fragments of Ethernet.
const LENGTH: usize = 4000;

/// Sends one long datagram through the balancer and gets it back.
fn there_and_back(scene: &Scene, what: &str, port: u16) -> Result<()> {
    for vip in VIPS {
        let backend = scene.lab.backends[0].endpoint(vip, port_of(Service::Echo));
        let mirror = scene.lab.backends[0].namespace.run(|| UdpSocket::bind(backend))??;
        mirror.set_read_timeout(Some(PATIENCE))?;
        let mirroring = thread::spawn(move || -> Result<(usize, SocketAddr)> {
            let mut buffer = [0; 2 * LENGTH];
            let (length, from) = mirror.recv_from(&mut buffer)?;
            mirror.send_to(&buffer[..length], from)?;
            Ok((length, from))
        });
        let source = scene.lab.clients[0].endpoint(vip, port);
        let socket = udp_from(scene.client(), source, echo_at(vip))?;
        let payload: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
        socket.send(&payload)?;
        let (length, from) = mirroring.join().expect("the mirror")?;
        assert_eq!(length, LENGTH, "{what} {vip}");
        // Full NAT alone speaks by another address.
        assert_eq!(from.ip() == source.ip(), what != "fullnat", "{what} {vip}: {from}");
        let mut buffer = [0; 2 * LENGTH];
        let received = socket.recv(&mut buffer).with_context(|| format!("{what} {vip}"))?;
        assert_eq!(buffer[..received], payload, "{what} {vip}");
    }
    Ok(())
}

#[test]
fn long_datagrams_come_through_and_back_whole() -> Result<()> {
    let lab = Lab::builder().backends(1).build()?;
    let servers = start_servers(&lab.backends)?;
    let with = |lines: &str| configuration(&lab.backends, &[echoes("wrr", [1]).line(lines)]);
    let slbd = Slbd::start_with(&lab, DATAPLANE, &with(""))?;
    slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    let mut scene = Scene { slbd, servers, lab };
    scene.servers("backend1", Service::Echo).for_each(Server::kill);
    let modes = ["nat", "fullnat"].map(|mode| (mode, format!("mode = \"{mode}\"")));
    let one_by_one = ("one packet", "one_packet = true".to_owned());
    for (port, (what, line)) in (22_000..).zip(modes.into_iter().chain([one_by_one])) {
        let text = configuration(&scene.lab.backends, &[echoes("wrr", [1]).line(&line)]);
        scene.slbd.reload(&text)?;
        there_and_back(&scene, what, port)?;
    }
    let status = scene.slbd.status()?;
    let listener = seen::listener(&status, ECHO);
    // The third one left no entry, and each of its datagrams is counted as a connection.
    assert_eq!(seen::number(listener, "connections_total"), 6);
    assert_eq!(
        seen::number(listener, "active_connections")
            + seen::number(listener, "inactive_connections"),
        4
    );
    Ok(())
}

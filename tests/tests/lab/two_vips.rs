//! One client endpoint on two VIPs of the same backends: at a backend it would be one connection.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Result, ensure};
use slb_tests::lab::{Lab, Slbd, VIP_V4, name_on, tcp_from, udp_from};

use crate::{
    scene::{PATIENCE, Scene, start_servers},
    seen,
    services::{ECHO, NAME, configuration, echoes, names},
};

const OTHER_VIP: [u8; 4] = [10, 0, 0, 101];
/// Client ports that are tried.
const PORTS: std::ops::Range<u16> = 30_000..30_020;

#[test]
fn tcp_from_one_port_to_two_vips_reaches_two_backends_or_is_refused_and_never_mixed() -> Result<()>
{
    for scheduler in ["sh", "lc", "rr"] {
        let scene = scene(scheduler, 2)?;
        let mut refused = 0;
        let mut open = Vec::new();
        for port in PORTS {
            let [first, second] = pair(&scene, port, NAME);
            let one = tcp_from(scene.client(), first.0, first.1)?;
            let name = name_on(&one)?;
            open.push(one);
            match tcp_from(scene.client(), second.0, second.1) {
                Ok(other) => {
                    let other_name = name_on(&other)?;
                    ensure!(name != other_name, "{scheduler}: both of port {port} are on {name}");
                    open.push(other);
                }
                Err(_) => refused += 1,
            }
            // A third would fit nowhere; a refusal takes the connect's whole patience.
            if refused == 2 {
                break;
            }
        }
        let drops = scene.slbd.json(&["drops", "--all"])?;
        let counted = seen::verdict(&drops, "backend_tuple_in_use");
        assert!(counted >= refused, "{counted} counted, {refused} refused");
        let entries = scene.slbd.json(&["conns", "--state", "established"])?;
        assert_eq!(entries["matching"], open.len());
        still_quiet(&open)?;
    }
    Ok(())
}

/// Nothing came on any of them that belongs to another.
fn still_quiet(open: &[std::net::TcpStream]) -> Result<()> {
    for stream in open {
        stream.set_nonblocking(true)?;
        let looked = stream.peek(&mut [0; 8]);
        let quiet = matches!(&looked, Err(error) if error.kind() == ErrorKind::WouldBlock);
        ensure!(quiet, "{looked:?}");
    }
    Ok(())
}

#[test]
fn udp_from_one_port_to_two_vips_reaches_two_backends_or_is_dropped_and_never_mixed() -> Result<()>
{
    let scene = scene("sh", 2)?;
    let mut dropped = 0;
    for port in PORTS {
        let [first, second] = pair(&scene, port, ECHO);
        let one = udp_from(scene.client(), first.0, first.1)?;
        let other = udp_from(scene.client(), second.0, second.1)?;
        other.set_read_timeout(Some(Duration::from_millis(200)))?;
        let name = echo(&one, "one")?;
        match echo(&other, "other") {
            Ok(other_name) => ensure!(name != other_name, "both of port {port} are on {name}"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => dropped += 1,
            Err(error) => return Err(error.into()),
        }
        // Each still has its own, whatever became of the other.
        assert_eq!(echo(&one, "one again")?, name);
    }
    let drops = scene.slbd.json(&["drops", "--all"])?;
    assert_eq!(seen::verdict(&drops, "backend_tuple_in_use"), dropped);
    Ok(())
}

#[test]
fn with_one_backend_the_second_vip_is_refused_to_that_port_until_the_first_flow_is_gone()
-> Result<()> {
    let scene = scene("wrr", 1)?;
    let [first, second] = pair(&scene, 30_000, ECHO);
    let one = udp_from(scene.client(), first.0, first.1)?;
    let other = udp_from(scene.client(), second.0, second.1)?;
    other.set_read_timeout(Some(Duration::from_millis(200)))?;
    assert_eq!(echo(&one, "one")?, "backend1");
    assert!(echo(&other, "other").is_err());
    assert_eq!(seen::verdict(&scene.slbd.json(&["drops", "--all"])?, "backend_tuple_in_use"), 1);
    // Another port is another endpoint.
    let [_, free] = pair(&scene, 30_001, ECHO);
    assert_eq!(echo(&udp_from(scene.client(), free.0, free.1)?, "free")?, "backend1");
    Ok(())
}

/// Two IPv4 VIPs of one instance in front of `backends` backends.
fn scene(scheduler: &'static str, backends: u8) -> Result<Scene> {
    let lab = Lab::builder().backends(backends).build()?;
    let weights = || (0..backends).map(|_| 1);
    let listeners = [names(scheduler, weights()), echoes(scheduler, weights())];
    let text = configuration(&lab.backends, &listeners);
    let other = IpAddr::from(OTHER_VIP);
    let text = text.replace(&format!("\"{VIP_V4}\","), &format!("\"{VIP_V4}\", \"{other}\","));
    let servers = start_servers(&lab.backends)?;
    let slbd = Slbd::start(&lab, &text)?;
    slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    Ok(Scene { slbd, servers, lab })
}

/// From one endpoint of the client to both VIPs.
fn pair(scene: &Scene, client_port: u16, port: u16) -> [(SocketAddr, SocketAddr); 2] {
    let source = (scene.lab.clients[0].v4, client_port).into();
    [(source, (VIP_V4, port).into()), (source, (OTHER_VIP, port).into())]
}

/// The backend that echoes a word, and only that word.
fn echo(socket: &UdpSocket, word: &str) -> io::Result<String> {
    socket.send(word.as_bytes())?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    match answer.split_once(':') {
        Some((backend, echoed)) if echoed == word => Ok(backend.to_owned()),
        _ => Err(io::Error::other(format!("{answer:?} is no echo of {word:?}"))),
    }
}

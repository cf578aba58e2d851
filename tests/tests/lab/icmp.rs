//! ICMP as real sockets meet it: the path MTU is learnt on both sides of the balancer, and a trace
//! of the route shows every hop to and behind a VIP.

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{
    Host, Lab, Namespace, Server, Service, Slbd, far,
    probes::{self, Ended},
    tcp_from,
};

use crate::{
    foreign_traffic::ping,
    scene::{PATIENCE, VIPS, echo_at, name_at},
    seen,
    services::{Listener, configuration, echoes, names, port_of},
};

/// Forwarding modes in which both directions come by.
const MODES: [&str; 2] = ["nat", "fullnat"];
/// What they want of the data plane: one local address of each family.
pub(crate) const DATAPLANE: &str = "xdp_mode = \"native\"\nmax_connections = 65_536\n\
                         local_addresses = [\"100.64.0.8/32\", \"fd64::8/128\"]";
/// What the narrow link takes.
const NARROW: u16 = 1400;
/// What goes each way.
const BYTES: usize = 1_000_000;

#[test]
fn the_path_mtu_is_learnt_over_a_narrow_link_on_the_clients_side() -> Result<()> {
    for mode in MODES {
        let lab = Lab::builder().backends(1).build()?;
        let client = far::behind(&lab, &lab.clients[0], 1, NARROW)?;
        transfer_and_learn(&lab, (mode, ""), &client, &lab.backends[0], [NARROW; 2])?;
    }
    Ok(())
}

#[test]
fn the_path_mtu_is_learnt_by_connections_behind_cookies() -> Result<()> {
    for mode in MODES {
        let lab = Lab::builder().backends(1).build()?;
        let client = far::behind(&lab, &lab.clients[0], 1, NARROW)?;
        let always = (mode, "syn_defence = { mode = \"always\" }");
        transfer_and_learn(&lab, always, &client, &lab.backends[0], [NARROW; 2])?;
    }
    Ok(())
}

#[test]
fn the_path_mtu_is_learnt_over_a_narrow_link_on_the_backends_side() -> Result<()> {
    for mode in MODES {
        let lab = Lab::builder().backends(1).build()?;
        let backend = far::behind(&lab, &lab.backends[0], 2, NARROW)?;
        // Behind full NAT the client leaves room for its endpoint.
        let learnt = match mode {
            "fullnat" => [NARROW - 8, NARROW - 20],
            _ => [NARROW; 2],
        };
        transfer_and_learn(&lab, (mode, ""), &lab.clients[0], &backend, learnt)?;
    }
    Ok(())
}

/// Sends a megabyte each way, and looks what either end has learnt of the path: the client this
/// much of the way to each VIP. The listener is of a mode and has another line.
fn transfer_and_learn(
    lab: &Lab,
    (mode, line): (&str, &str),
    client: &Host,
    backend: &Host,
    learnt: [u16; 2],
) -> Result<()> {
    for vip in VIPS {
        mirror(&backend.namespace, backend.endpoint(vip, port_of(Service::Name)))?;
    }
    let listener = names("wrr", [1]).line(&format!("mode = \"{mode}\"\n{line}"));
    let slbd = start(lab, backend, &[listener])?;
    for (vip, learnt) in VIPS.into_iter().zip(learnt) {
        transfer(&client.namespace, client.endpoint(vip, 0), name_at(vip))
            .with_context(|| format!("{mode}, {vip}"))?;
        let peer = match mode {
            "fullnat" if vip.is_ipv4() => "100.64.0.8".to_owned(),
            "fullnat" => "fd64::8".to_owned(),
            _ => client.endpoint(vip, 0).ip().to_string(),
        };
        for (who, at, to, mtu) in [
            ("client", &client.namespace, vip.to_string(), learnt),
            ("backend", &backend.namespace, peer, NARROW),
        ] {
            let known = at.output("ip", &["route", "get", &to])?;
            ensure!(known.contains(&format!("mtu {mtu}")), "{mode}, {who}: {known}");
        }
    }
    let drops = slbd.json(&["drops", "--all"])?;
    ensure!(seen::verdict(&drops, "icmp_no_connection") == 0, "{drops:#}");
    Ok(())
}

/// The daemon with one backend, which is healthy.
fn start(lab: &Lab, backend: &Host, listeners: &[Listener]) -> Result<Slbd> {
    let services = configuration(std::slice::from_ref(backend), listeners);
    let slbd = Slbd::start_with(lab, DATAPLANE, &services)?;
    slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    Ok(slbd)
}

/// Reads to the end and then sends as much, for every connection.
pub(crate) fn mirror(at: &Namespace, address: SocketAddr) -> Result<()> {
    let listener = at.run(|| TcpListener::bind(address))??;
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut bytes = Vec::new();
                // Who sends nothing is a health check.
                if stream.read_to_end(&mut bytes).is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(&bytes);
                }
            });
        }
    });
    Ok(())
}

/// Sends a megabyte, and gets it back.
pub(crate) fn transfer(from: &Namespace, source: SocketAddr, to: SocketAddr) -> Result<()> {
    let stream: TcpStream = tcp_from(from, source, to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let sent: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    let mut received = Vec::new();
    (&stream).write_all(&sent).context("to the backend")?;
    stream.shutdown(Shutdown::Write)?;
    (&stream).read_to_end(&mut received).context("from the backend")?;
    ensure!(received == sent, "{} of {BYTES} bytes came back", received.len());
    Ok(())
}

#[test]
fn a_trace_of_the_route_shows_every_hop_to_a_vip_and_behind_it() -> Result<()> {
    MODES.into_iter().try_for_each(|mode| trace(mode).context(mode))
}

fn trace(mode: &str) -> Result<()> {
    let lab = Lab::builder().backends(1).build()?;
    let client = far::behind(&lab, &lab.clients[0], 1, 1500)?;
    let backend = far::behind(&lab, &lab.backends[0], 2, 1500)?;
    let mut servers = Vec::new();
    for vip in VIPS {
        for service in [Service::Http, Service::Name, Service::Echo] {
            let address = backend.endpoint(vip, port_of(service));
            servers.push(Server::start(&backend.namespace, "far", service, address)?);
        }
    }
    let mode = format!("mode = \"{mode}\"");
    let listeners = [names("wrr", [1]).line(&mode), echoes("wrr", [1]).line(&mode)];
    let slbd = start(&lab, &backend, &listeners)?;
    for vip in VIPS {
        let like = |v4: &str, v6: &str| -> IpAddr {
            if vip.is_ipv4() { v4 } else { v6 }.parse().expect("an address")
        };
        let hops = [
            Ended::At(like("10.9.11.1", "fd09:11::1")),
            Ended::At(like("10.9.1.1", "fd09:1::1")),
            // The balancer, by the address of its interface to clients.
            Ended::At(like("10.0.0.1", "fd00::1")),
            Ended::At(like("10.0.1.11", "fd01::11")),
            Ended::At(like("10.9.2.2", "fd09:2::2")),
            Ended::There,
        ];
        for (hops_to_live, hop) in (1..).zip(hops) {
            let datagram = probes::datagram(&client.namespace, echo_at(vip), hops_to_live)?;
            ensure!(
                datagram == hop,
                "datagram to {vip}, {hops_to_live}: {datagram:?}, not {hop:?}"
            );
            let connection = probes::connection(&client.namespace, name_at(vip), hops_to_live)?;
            ensure!(connection == hop, "connection to {vip}, {hops_to_live}: {connection:?}");
        }
        // To a port of the VIP without listener: the host is the last hop.
        let closed: SocketAddr = (vip, 33_434).into();
        let last = probes::datagram(&client.namespace, closed, 3)?;
        ensure!(last == Ended::At(vip), "{vip}: {last:?}");
    }
    let drops = slbd.json(&["drops"])?;
    let answers = seen::array(&drops["answers"]).find(|one| one["label"] == "time_exceeded");
    ensure!(answers.is_some_and(|one| one["packets"] == 4), "{drops:#}");
    Ok(())
}

#[test]
fn a_backend_without_the_port_refuses_the_client_as_if_it_were_the_vip() -> Result<()> {
    MODES.into_iter().try_for_each(|mode| refused(mode).context(mode))
}

fn refused(mode: &str) -> Result<()> {
    let lab = Lab::builder().backends(1).build()?;
    // The health check asks the HTTP server; nobody listens for datagrams.
    let mut servers = Vec::new();
    for vip in VIPS {
        let address = lab.backends[0].endpoint(vip, port_of(Service::Http));
        servers.push(Server::start(&lab.backends[0].namespace, "one", Service::Http, address)?);
    }
    let listener = echoes("wrr", [1]).line(&format!("mode = \"{mode}\""));
    let _slbd = start(&lab, &lab.backends[0], &[listener])?;
    for vip in VIPS {
        let ended = probes::datagram(&lab.clients[0].namespace, echo_at(vip), 64)?;
        ensure!(ended == Ended::At(vip), "{vip}: {ended:?}");
    }
    Ok(())
}

#[test]
fn a_vip_whose_listeners_are_all_disabled_answers_no_ping_and_no_syn() -> Result<()> {
    let lab = Lab::builder().backends(1).build()?;
    let listener = || names("wrr", [1]);
    let slbd = Slbd::start(&lab, &configuration(&lab.backends, &[listener()]))?;
    let client = &lab.clients[0].namespace;
    let pinged = |vip: IpAddr| ping(client, vip).is_ok();
    let closed = |vip: IpAddr| -> SocketAddr { (vip, 81).into() };
    for vip in VIPS {
        ensure!(pinged(vip), "{vip}");
        let refused = client.run(|| TcpStream::connect_timeout(&closed(vip), PATIENCE))?;
        let refused = refused.expect_err("nobody listens").kind();
        ensure!(refused == std::io::ErrorKind::ConnectionRefused, "{vip}: {refused}");
    }
    slbd.reload(&configuration(&lab.backends, &[listener().line("enabled = false")]))?;
    for vip in VIPS {
        ensure!(!pinged(vip), "{vip} answers");
        let quick = Duration::from_millis(700);
        let silent = client.run(|| TcpStream::connect_timeout(&closed(vip), quick))?;
        let silent = silent.expect_err("nobody listens").kind();
        ensure!(silent == std::io::ErrorKind::TimedOut, "{vip}: {silent}");
    }
    slbd.reload(&configuration(&lab.backends, &[listener()]))?;
    ensure!(VIPS.into_iter().all(pinged));
    Ok(())
}

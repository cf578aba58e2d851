//! Direct routing and tunnels by real sockets: backends have the VIPs on `lo` and answer clients
//! directly, past the balancer, over the switch that all are on.

use std::{
    io::{ErrorKind, Read},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, ensure};
use slb_tests::lab::{
    Arms, Decapsulator, Host, Kept, Lab, Load, Question, Server, Service, Slbd, VIP_V4, VIP_V6,
};

use crate::{
    scene::{PATIENCE, Scene, VIPS, eventually, without_errors},
    seen,
};

/// A port of the listener for HTTP.
const WEB: u16 = 8000;
/// The listener for datagrams.
const ECHO: u16 = 53;

/// A lab whose backends reach clients directly, with servers on the VIPs.
fn scene(backends: u8, mode: &str, of: impl Fn(&Host, usize) -> Vec<IpAddr>) -> Result<Scene> {
    let lab = Lab::builder().arms(Arms::One).backends(backends).build()?;
    let mut servers = Vec::new();
    for backend in &lab.backends {
        backend.take_vips()?;
        servers.extend(start_servers(backend)?);
    }
    let slbd = Slbd::start(&lab, &configuration(&lab, mode, of))?;
    slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    Ok(Scene { slbd, servers, lab })
}

/// HTTP on three ports and echoes, on the VIPs and on the host's own addresses.
fn start_servers(backend: &Host) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for vip in VIPS {
        let own = backend.endpoint(vip, 0).ip();
        for (address, port, service) in [
            (vip, WEB, Service::Http),
            (vip, WEB + 1, Service::Http),
            (vip, WEB + 2, Service::Http),
            (vip, ECHO, Service::Echo),
            (own, WEB, Service::Http),
        ] {
            let at = SocketAddr::new(address, port);
            servers.push(Server::start(&backend.namespace, &backend.name, service, at)?);
        }
    }
    Ok(servers)
}

/// The far end of tunnels on each backend.
fn decapsulators(scene: &Scene) -> Result<Vec<Decapsulator>> {
    scene.lab.backends.iter().map(|host| Decapsulator::start(&host.namespace)).collect()
}

fn configuration(lab: &Lab, mode: &str, of: impl Fn(&Host, usize) -> Vec<IpAddr>) -> String {
    let backends: Vec<String> = lab
        .backends
        .iter()
        .enumerate()
        .flat_map(|(number, host)| of(host, number))
        .map(|address| format!("  {{ address = \"{address}\" }},\n"))
        .collect();
    let check = format!(
        "health_check = {{ type = \"http\", path = \"/healthz\", port = {WEB}, \
         interval = \"1s\", timeout = \"1s\", healthy = 2, unhealthy = 2 }}\n\
         mode = \"{mode}\"\nscheduler = \"rr\"\nbackends = [\n{}]\n",
        backends.concat()
    );
    format!(
        "[[instance]]\nname = \"shop\"\nvips = [\"{VIP_V4}\", \"{VIP_V6}\"]\n\n\
         [[instance.listener]]\nprotocol = \"tcp\"\nport = \"{WEB}-{}\"\n{check}\n\
         [[instance.listener]]\nprotocol = \"udp\"\nport = {ECHO}\n{check}\n",
        WEB + 2
    )
}

fn both(host: &Host, _: usize) -> Vec<IpAddr> {
    vec![host.v4.into(), host.v6.into()]
}

/// TCP to every port of the range and UDP, on both VIPs, with each backend taking its turn.
fn every_backend_answers(scene: &Scene) -> Result<()> {
    let backends = scene.lab.backends.len() as u64;
    for vip in VIPS {
        for port in [WEB, WEB + 1, WEB + 2] {
            let load = Load::concurrent(10 * backends, 2);
            let answers = scene.ask((vip, port).into(), Question::Http, load)?;
            let answers = without_errors("http", answers)?;
            for host in &scene.lab.backends {
                assert_eq!(answers.of(&host.name), 10, "{vip} port {port}: {answers}");
            }
        }
        let load = Load::concurrent(20 * backends, 2);
        let answers = scene.ask((vip, ECHO).into(), Question::Echo, load)?;
        let answers = without_errors("echoes", answers)?;
        for host in &scene.lab.backends {
            assert_eq!(answers.of(&host.name), 20, "{vip}: {answers}");
        }
        let load = Load::concurrent(200, 4);
        let answers = scene.ask((vip, WEB).into(), Question::HttpKeepAlive, load)?;
        without_errors("kept connections", answers)?;
    }
    Ok(())
}

/// Replies did not come by the balancer, and what came was counted.
fn one_side_was_seen(scene: &Scene) -> Result<()> {
    let status = scene.slbd.status()?;
    let listeners: Vec<_> = seen::listeners(&status).collect();
    assert_eq!(listeners[0]["port"], format!("{WEB}-{}", WEB + 2));
    assert_eq!(listeners[1]["port"], ECHO);
    for listener in listeners {
        assert!(seen::number(listener, "packets_in") > 0, "{listener:#}");
        assert_eq!(seen::number(listener, "packets_out"), 0, "{listener:#}");
    }
    let drops = scene.slbd.json(&["drops", "--all"])?;
    for verdict in seen::array(&drops["verdicts"]) {
        let passed = ["pass", "forward"].iter().any(|action| verdict["action"] == *action);
        ensure!(passed || seen::number(verdict, "packets") == 0, "{verdict}");
    }
    Ok(())
}

#[test]
fn direct_routing_serves_tcp_and_udp_in_both_families_and_replies_go_past_the_balancer()
-> Result<()> {
    let scene = scene(3, "dr", both)?;
    every_backend_answers(&scene)?;
    one_side_was_seen(&scene)
}

#[test]
fn a_tunnel_serves_tcp_and_udp_of_each_family_over_each() -> Result<()> {
    // The first two backends are IPv4 hosts, the others IPv6 hosts; all serve both VIPs.
    let of = |host: &Host, number| match number {
        0 | 1 => vec![host.v4.into()],
        _ => vec![host.v6.into()],
    };
    let scene = scene(4, "tunnel", of)?;
    let ends = decapsulators(&scene)?;
    every_backend_answers(&scene)?;
    one_side_was_seen(&scene)?;
    for (number, end) in ends.iter().enumerate() {
        // IPv4 in IPv4, IPv6 in IPv4, IPv4 in IPv6, IPv6 in IPv6.
        let used = end.taken().map(|taken| taken > 0);
        let over_v4 = number < 2;
        assert_eq!(used, [over_v4, over_v4, !over_v4, !over_v4], "backend {}", number + 1);
    }
    Ok(())
}

#[test]
fn conns_shows_the_backend_that_a_connection_goes_to_though_replies_come_from_the_vip() -> Result<()>
{
    let scene = scene(1, "dr", both)?;
    for vip in VIPS {
        let _open = Kept::open(scene.client(), (vip, WEB + 1).into(), 1)?;
        let backend = scene.lab.backends[0].endpoint(vip, WEB + 1).to_string();
        let shown = || scene.slbd.json(&["conns", "--backend", &backend]);
        eventually("the connection is established", PATIENCE, || {
            let list = shown()?;
            let found = seen::array(&list["connections"]).next().cloned().unwrap_or_default();
            Ok(found["state"] == "established" && found["listener_port"] == WEB)
        })?;
    }
    Ok(())
}

#[test]
fn a_reload_to_another_mode_leaves_open_connections_in_theirs() -> Result<()> {
    let scene = scene(2, "nat", both)?;
    let ends = decapsulators(&scene)?;
    let mut open: Vec<(Kept, Vec<String>)> = Vec::new();
    for mode in ["nat", "dr", "tunnel", "nat"] {
        scene.slbd.reload(&configuration(&scene.lab, mode, both))?;
        for vip in VIPS {
            let mut kept = Kept::open(scene.client(), (vip, WEB).into(), 2)?;
            let names = kept.names()?;
            assert_ne!(names[0], names[1], "{mode} {vip}: both backends take connections");
            open.push((kept, names));
        }
        for (kept, names) in &mut open {
            assert_eq!(kept.names()?, *names, "after a reload to {mode}");
        }
    }
    let through: u64 = ends.iter().flat_map(Decapsulator::taken).sum();
    ensure!(through > 0, "some connections went through tunnels");
    Ok(())
}

#[test]
fn a_client_of_direct_routing_or_a_tunnel_is_reset_when_its_idle_time_is_over() -> Result<()> {
    let scene = scene(1, "dr", both)?;
    let _ends = decapsulators(&scene)?;
    let mut open = Vec::new();
    for mode in ["dr", "tunnel"] {
        let text = configuration(&scene.lab, mode, both);
        let rr = "scheduler = \"rr\"\n";
        let idle = format!("{rr}established_timeout = \"10s\"\n");
        // Datagrams have no such end.
        scene.slbd.reload(&text.replacen(rr, &idle, 1))?;
        for vip in VIPS {
            let mut kept = Kept::open(scene.client(), (vip, WEB).into(), 1)?;
            kept.names()?;
            open.push((mode, vip, kept));
        }
    }
    for (mode, vip, kept) in &open {
        let socket = &kept.sockets()[0];
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let got = (&*socket).read(&mut [0]);
        let reset = matches!(&got, Err(error) if error.kind() == ErrorKind::ConnectionReset);
        ensure!(reset, "{mode} {vip}: {got:?}");
    }
    Ok(())
}

#[test]
fn real_clients_pass_the_challenges_of_direct_routing_and_tunnels() -> Result<()> {
    let scene = scene(2, "dr", both)?;
    let _ends = decapsulators(&scene)?;
    let counted = |label: &str| -> Result<u64> {
        let drops = scene.slbd.json(&["drops", "--all"])?;
        let found = seen::array(&drops["verdicts"]).find(|one| one["label"] == label);
        Ok(found.map_or(0, |one| seen::number(one, "packets")))
    };
    for (mode, clients) in [("dr", 2), ("tunnel", 2)] {
        let text = configuration(&scene.lab, mode, both);
        let rr = "scheduler = \"rr\"\n";
        let defended = format!("{rr}syn_defence = {{ mode = \"always\" }}\n");
        // Datagrams have no such thing.
        scene.slbd.reload(&text.replacen(rr, &defended, 1))?;
        for vip in VIPS {
            let answers = scene.ask((vip, WEB).into(), Question::Http, Load::concurrent(100, 4))?;
            without_errors(mode, answers)?;
        }
        // One address in each family; who is remembered is challenged no more.
        let passed = counted("syn_challenge_passed")?;
        ensure!((clients..40).contains(&passed), "{mode}: {passed} passed");
        ensure!(counted("syn_challenge")? >= passed, "{mode}");
    }
    Ok(())
}

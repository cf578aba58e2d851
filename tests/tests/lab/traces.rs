//! Debian's traceroute through every mode: it shares no code with the balancer or the lab.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{Decapsulator, Host, Server, Service, Slbd, VIP_V4, VIP_V6};

use crate::{
    icmp::DATAPLANE,
    past_the_balancer::with_far_client,
    scene::{PATIENCE, VIPS},
    seen,
};

/// Modes with the port of their listeners, TCP and UDP alike.
const MODES: [(&str, u16); 4] = [("nat", 8001), ("fullnat", 8002), ("dr", 8003), ("tunnel", 8004)];
/// Where the health checks ask.
const CHECKED: u16 = 8000;

#[test]
fn traceroute_shows_every_hop_to_a_vip_in_every_mode() -> Result<()> {
    let (lab, client) = with_far_client(1500)?;
    let backend = &lab.backends[0];
    let _servers = start_servers(backend)?;
    let _decapsulator = Decapsulator::start(&backend.namespace)?;
    let slbd = Slbd::start_with(&lab, DATAPLANE, &configuration(backend))?;
    slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    for vip in VIPS {
        for (mode, port) in MODES {
            for method in ["--tcp", "--udp"] {
                let shown = traced(&client, vip, port, method)
                    .with_context(|| format!("{mode} {vip} {method}"))?;
                let as_expected = shown.len() == 4
                    && shown.iter().zip(hops(vip)).all(|(address, hop)| hop.contains(address));
                ensure!(as_expected, "{mode} {vip} {method}: {shown:?}");
            }
        }
    }
    Ok(())
}

/// Two routers, the balancer by either of its interface's addresses, and the backend, which answers
/// as the VIP.
fn hops(vip: IpAddr) -> [Vec<IpAddr>; 4] {
    let texts = match vip {
        IpAddr::V4(_) => ["10.9.11.1", "10.9.1.1", "10.0.0.1 10.0.1.1", "10.0.0.100"],
        IpAddr::V6(_) => ["fd09:11::1", "fd09:1::1", "fd00::1 fd01::1", "fd00::100"],
    };
    texts.map(|text| text.split(' ').map(|one| one.parse().expect("an address")).collect())
}

/// Who answers, by the number of hops. Lines are the number, the address, and the time.
fn traced(from: &Host, vip: IpAddr, port: u16, method: &str) -> Result<Vec<IpAddr>> {
    let (vip, port) = (vip.to_string(), port.to_string());
    let arguments =
        ["-n", "-q", "1", "-N", "1", "-w", "2", "-m", "6", method, "-p", port.as_str(), &vip];
    let shown = from.namespace.output("traceroute", &arguments)?;
    let lines = shown.lines().skip(1);
    lines
        .map(|line| {
            let address = line.split_whitespace().nth(1).unwrap_or_default();
            address.parse().with_context(|| shown.clone())
        })
        .collect()
}

/// Servers at the VIPs and, for the modes that translate, at the backend's own addresses.
fn start_servers(backend: &Host) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    let mut start = |service, at| -> Result<()> {
        servers.push(Server::start(&backend.namespace, &backend.name, service, at)?);
        Ok(())
    };
    for vip in VIPS {
        start(Service::Http, backend.endpoint(vip, CHECKED))?;
        for (mode, port) in MODES {
            let at = match mode {
                "nat" | "fullnat" => backend.endpoint(vip, port),
                _ => SocketAddr::new(vip, port),
            };
            start(Service::Name, at)?;
            start(Service::Echo, at)?;
        }
    }
    Ok(servers)
}

fn configuration(backend: &Host) -> String {
    let listener = |(mode, port): (&str, u16), protocol| {
        format!(
            "[[instance.listener]]\nprotocol = \"{protocol}\"\nport = {port}\nmode = \"{mode}\"\n\
             health_check = {{ type = \"http\", path = \"/healthz\", port = {CHECKED}, \
             interval = \"1s\", timeout = \"1s\" }}\n\
             backends = [{{ address = \"{}\" }}, {{ address = \"{}\" }}]\n\n",
            backend.v4, backend.v6
        )
    };
    let listeners = MODES.iter().flat_map(|way| ["tcp", "udp"].map(|one| listener(*way, one)));
    format!(
        "[[instance]]\nname = \"shop\"\nvips = [\"{VIP_V4}\", \"{VIP_V6}\"]\n\n{}",
        listeners.collect::<String>()
    )
}

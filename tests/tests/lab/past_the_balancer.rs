//! ICMP as real sockets meet it where replies go past the balancer, in dr and tunnel: the path MTU
//! is learnt on both sides, also inside a tunnel, and a trace of the route shows every hop.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{
    Arms, Decapsulator, Host, Lab, Server, Service, Slbd, VIP_V4, VIP_V6, far,
    probes::{self, Ended},
};

use crate::{
    icmp::{mirror, transfer},
    scene::{PATIENCE, VIPS},
    seen,
};

/// What the narrow link takes.
const NARROW: u16 = 1400;
/// The listener for connections; its health check asks the port before it.
const TCP: u16 = 8001;
/// The listener for datagrams.
const UDP: u16 = 53;

/// A mode, and which address of a backend its listeners have.
type Way = (&'static str, fn(&Host) -> Vec<IpAddr>);

/// Packets go to the backend as they are, in IPv4 and in IPv6.
const WAYS: [Way; 3] = [
    ("dr", |host| vec![host.v4.into(), host.v6.into()]),
    ("tunnel", |host| vec![host.v4.into()]),
    ("tunnel", |host| vec![host.v6.into()]),
];

/// A daemon with one backend, whose servers listen at the VIPs.
struct Past {
    slbd: Slbd,
    _servers: Vec<Server>,
    _decapsulator: Decapsulator,
}

impl Past {
    fn start(lab: &Lab, backend: &Host, (mode, of): Way) -> Result<Self> {
        let mut servers = Vec::new();
        for vip in VIPS {
            mirror(&backend.namespace, (vip, TCP).into())?;
            for (at, service) in [
                (backend.endpoint(vip, TCP - 1), Service::Http),
                (SocketAddr::new(vip, UDP), Service::Echo),
            ] {
                servers.push(Server::start(&backend.namespace, &backend.name, service, at)?);
            }
        }
        let _decapsulator = Decapsulator::start(&backend.namespace)?;
        let slbd = Slbd::start(lab, &configuration(mode, &of(backend)))?;
        slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
        Ok(Self { slbd, _servers: servers, _decapsulator })
    }

    /// Nobody was told of an error for nothing.
    fn every_error_was_about_a_connection(&self) -> Result<()> {
        let drops = self.slbd.json(&["drops", "--all"])?;
        ensure!(seen::verdict(&drops, "icmp_no_connection") == 0, "{drops:#}");
        Ok(())
    }
}

fn configuration(mode: &str, backends: &[IpAddr]) -> String {
    let backends: String =
        backends.iter().map(|address| format!("  {{ address = \"{address}\" }},\n")).collect();
    let listener = |protocol, port| {
        format!(
            "[[instance.listener]]\nprotocol = \"{protocol}\"\nport = {port}\nmode = \"{mode}\"\n\
             health_check = {{ type = \"http\", path = \"/healthz\", port = {}, \
             interval = \"1s\", timeout = \"1s\" }}\nbackends = [\n{backends}]\n\n",
            TCP - 1
        )
    };
    format!(
        "[[instance]]\nname = \"shop\"\nvips = [\"{VIP_V4}\", \"{VIP_V6}\"]\n\n{}{}",
        listener("tcp", TCP),
        listener("udp", UDP)
    )
}

/// A lab whose only backend, with the VIPs, and whose far client reach each other past the balancer.
pub(crate) fn with_far_client(mtu: u16) -> Result<(Lab, Host)> {
    let lab = Lab::builder().arms(Arms::One).backends(1).build()?;
    let client = far::behind(&lab, &lab.clients[0], 1, mtu)?;
    lab.backends[0].take_vips()?;
    let (near, backend) = (&lab.clients[0], &lab.backends[0].namespace);
    backend.ip_batch(&format!(
        "route add 10.9.11.0/24 via {} dev eth0 onlink table 100\n\
         route add fd09:11::/64 via {} dev eth0 onlink table 100",
        near.v4, near.v6
    ))?;
    Ok((lab, client))
}

/// A lab with a far backend that has the VIPs; its replies go from its last router to the client.
fn with_far_backend(mtu: u16) -> Result<(Lab, Host)> {
    let lab = Lab::builder().arms(Arms::One).backends(1).build()?;
    let backend = far::behind(&lab, &lab.backends[0], 2, mtu)?;
    backend
        .namespace
        .ip_batch(&format!("addr add {VIP_V4}/32 dev lo\naddr add {VIP_V6}/128 dev lo nodad"))?;
    let near = &lab.backends[0].namespace;
    near.ip_batch(&format!(
        "route add 10.0.0.0/24 dev eth0 table 100\nrule add from {VIP_V4} lookup 100\n\
         route add fd00::/64 dev eth0 table 100"
    ))?;
    near.output("ip", &["-6", "rule", "add", "from", &VIP_V6.to_string(), "lookup", "100"])?;
    Ok((lab, backend))
}

/// Sends a megabyte each way, and looks what either end has learnt of the path: the client this
/// much of the way to the VIP.
fn transfer_and_learn(client: &Host, backend: &Host, vip: IpAddr, learnt: u16) -> Result<()> {
    let from = client.endpoint(vip, 0);
    transfer(&client.namespace, from, (vip, TCP).into())?;
    let (from, vip) = (from.ip().to_string(), vip.to_string());
    for (who, at, route, mtu) in [
        ("client", client, &[vip.as_str()][..], learnt),
        ("backend", backend, &[from.as_str(), "from", vip.as_str()], NARROW),
    ] {
        let known = at.namespace.output("ip", &[&["route", "get"], route].concat())?;
        ensure!(known.contains(&format!("mtu {mtu}")), "{who}: {known}");
    }
    Ok(())
}

#[test]
fn past_the_balancer_the_path_mtu_is_learnt_over_a_narrow_link_on_the_clients_side() -> Result<()> {
    for way in WAYS {
        let (lab, client) = with_far_client(NARROW)?;
        let backend = &lab.backends[0];
        let past = Past::start(&lab, backend, way)?;
        for vip in VIPS {
            transfer_and_learn(&client, backend, vip, NARROW)
                .with_context(|| format!("{}, {:?}, {vip}", way.0, way.1(backend)))?;
        }
        past.every_error_was_about_a_connection()?;
    }
    Ok(())
}

#[test]
fn the_path_mtu_is_learnt_over_a_narrow_link_inside_a_tunnel() -> Result<()> {
    for (way, overhead) in WAYS[1..].iter().zip([20, 40]) {
        let (lab, backend) = with_far_backend(NARROW)?;
        let past = Past::start(&lab, &backend, *way)?;
        for vip in VIPS {
            transfer_and_learn(&lab.clients[0], &backend, vip, NARROW - overhead)
                .with_context(|| format!("{:?}, {vip}", way.1(&backend)))?;
        }
        past.every_error_was_about_a_connection()?;
    }
    Ok(())
}

#[test]
fn past_the_balancer_a_trace_of_the_route_shows_every_hop_to_the_backend() -> Result<()> {
    for way in WAYS {
        let (lab, client) = with_far_client(1500)?;
        let _past = Past::start(&lab, &lab.backends[0], way)?;
        for vip in VIPS {
            trace(&client, vip).with_context(|| format!("{}, {vip}", way.0))?;
        }
    }
    Ok(())
}

fn trace(client: &Host, vip: IpAddr) -> Result<()> {
    let like = |v4: &str, v6: &str| -> IpAddr {
        if vip.is_ipv4() { v4 } else { v6 }.parse().expect("an address")
    };
    let hops = [
        vec![Ended::At(like("10.9.11.1", "fd09:11::1"))],
        vec![Ended::At(like("10.9.1.1", "fd09:1::1"))],
        // The balancer, by either of its interface's addresses.
        vec![Ended::At(like("10.0.0.1", "fd00::1")), Ended::At(like("10.0.1.1", "fd01::1"))],
        vec![Ended::There],
    ];
    for (hops_to_live, hop) in (1..).zip(hops) {
        let datagram = probes::datagram(&client.namespace, (vip, UDP).into(), hops_to_live)?;
        ensure!(hop.contains(&datagram), "datagram, {hops_to_live}: {datagram:?}, not {hop:?}");
        let connection = probes::connection(&client.namespace, (vip, TCP).into(), hops_to_live)?;
        ensure!(
            hop.contains(&connection),
            "connection, {hops_to_live}: {connection:?}, not {hop:?}"
        );
    }
    Ok(())
}

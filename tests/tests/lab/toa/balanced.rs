//! The whole way: real clients, the balancer in mode fullnat, unchanged servers on a backend.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{Host, Server, Service, Slbd, VIP_V4, VIP_V6, tcp_from, udp_from};

use super::{LISTENERS, backend::Backend, shown};
use crate::{
    scene::{PATIENCE, within},
    seen,
    segments::DATAPLANE,
};

/// Where the balancer's health checks go.
const HEALTH: u16 = 8080;
/// Where the servers of datagrams are.
const UDP: u16 = 7053;

/// Dropped from the top.
struct Balanced {
    _slbd: Slbd,
    _health: Vec<Server>,
    backend: Backend,
}

impl Balanced {
    /// Servers of both protocols in both families, and the daemon before them. `slb toa` is not
    /// attached.
    fn start() -> Result<Self> {
        let mut backend = Backend::behind_the_balancer()?;
        let host = backend.host().clone();
        let mut health = Vec::new();
        for vip in VIPS {
            let at = host.endpoint(vip, HEALTH);
            health.push(Server::start(&host.namespace, &host.name, Service::Http, at)?);
        }
        for (address, port, only) in LISTENERS {
            backend.python(address, port, only)?;
        }
        backend.python_udp("0.0.0.0", UDP)?;
        backend.python_udp("::", UDP)?;
        let tcp = LISTENERS.map(|(_, port, _)| ("tcp", port));
        let listeners: Vec<String> = tcp
            .into_iter()
            .chain([("udp", UDP)])
            .map(|(protocol, port)| {
                let [v4, v6] = VIPS.map(|vip| host.endpoint(vip, port).ip());
                format!(
                    "[[instance.listener]]\nprotocol = \"{protocol}\"\nport = {port}\n\
                     mode = \"fullnat\"\n\
                     health_check = {{ type = \"tcp\", port = {HEALTH}, interval = \"1s\", \
                     timeout = \"1s\", healthy = 2, unhealthy = 2 }}\n\
                     backends = [{{ address = \"{v4}\" }}, {{ address = \"{v6}\" }}]\n"
                )
            })
            .collect();
        let services = format!(
            "[[instance]]\nname = \"shop\"\nvips = [\"{VIP_V4}\", \"{VIP_V6}\"]\n{}",
            listeners.concat()
        );
        let slbd = Slbd::start_with(&backend.lab, DATAPLANE, &services)?;
        slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
        Ok(Self { _slbd: slbd, _health: health, backend })
    }

    /// A connection to a VIP: the client's own endpoint, and what the server says of it.
    fn talk(&self, vip: IpAddr, port: u16) -> Result<(SocketAddr, Vec<String>)> {
        talk_from(&self.backend.lab.clients[0], vip, port)
    }

    /// A datagram to a VIP, likewise.
    fn ask(&self, vip: IpAddr) -> Result<(SocketAddr, String)> {
        let client = &self.backend.lab.clients[0];
        let socket = udp_from(&client.namespace, client.endpoint(vip, 0), (vip, UDP).into())?;
        socket.send(b"who am I?")?;
        let mut answer = [0; 100];
        let length = socket.recv(&mut answer)?;
        Ok((socket.local_addr()?, String::from_utf8_lossy(&answer[..length]).into_owned()))
    }
}

const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP_V4), IpAddr::V6(VIP_V6)];

/// Each listener with a VIP of each family that it takes.
fn ways() -> [(&'static str, u16, IpAddr); 4] {
    let [v4, dual, v6] = LISTENERS.map(|(address, port, _)| (address, port));
    [
        (v4.0, v4.1, VIPS[0]),
        (dual.0, dual.1, VIPS[0]),
        (dual.0, dual.1, VIPS[1]),
        (v6.0, v6.1, VIPS[1]),
    ]
}

/// A connection from a host to a VIP.
fn talk_from(client: &Host, vip: IpAddr, port: u16) -> Result<(SocketAddr, Vec<String>)> {
    let source = client.endpoint(vip, 0);
    let mut stream = tcp_from(&client.namespace, source, (vip, port).into())?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut said = String::new();
    stream.read_to_string(&mut said).with_context(|| format!("{vip} port {port}"))?;
    let own = stream.local_addr()?;
    Ok((own, said.lines().map(str::to_owned).collect()))
}

/// Refuses what is not one of the balancer's local addresses, as Python shows it.
fn is_local(said: &str) -> Result<()> {
    let (address, port) = said.split_once(' ').with_context(|| said.to_owned())?;
    let address: IpAddr = address.trim_start_matches("::ffff:").parse()?;
    let own = match address {
        IpAddr::V4(address) => (8..12).any(|last| address.octets() == [100, 64, 0, last]),
        IpAddr::V6(address) => {
            (8..12).any(|last| address.segments() == [0xfd64, 0, 0, 0, 0, 0, 0, last])
        }
    };
    ensure!(own && port.parse::<u16>()? >= 1024, "{said} is none of the local endpoints");
    Ok(())
}

#[test]
fn behind_fullnat_an_unchanged_server_sees_local_endpoints_and_with_toa_the_clients() -> Result<()>
{
    let balanced = Balanced::start()?;
    for (listener, port, vip) in ways() {
        let mut seen = HashSet::new();
        for _ in 0..5 {
            let (_, said) = balanced.talk(vip, port)?;
            assert_eq!(said.len(), 3, "{said:?}");
            said.iter().try_for_each(|line| is_local(line)).context(listener)?;
            seen.extend(said);
        }
        assert_eq!(seen.len(), 5, "each connection has an endpoint of its own: {seen:?}");
    }
    balanced.backend.attach()?;
    for (listener, port, vip) in ways() {
        for _ in 0..5 {
            let (client, said) = balanced.talk(vip, port)?;
            assert_eq!(said, vec![shown(client, listener); 3], "{listener} {vip}");
        }
    }
    let counted = ["client_v4", "client_v6", "absent", "malformed", "not_believed"];
    let counted = counted.map(|name| balanced.backend.counted(name));
    let counted = counted.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(counted[..2], [10, 10]);
    assert_eq!(counted[3..], [0, 0]);
    Ok(())
}

#[test]
fn behind_fullnat_servers_of_datagrams_see_local_endpoints_also_with_toa() -> Result<()> {
    let balanced = Balanced::start()?;
    balanced.backend.attach()?;
    for vip in VIPS {
        // The server is there a moment after it was started.
        within(PATIENCE, || balanced.ask(vip))?;
        let mut seen = HashSet::new();
        for _ in 0..5 {
            let (client, said) = balanced.ask(vip)?;
            assert_ne!(said, shown(client, ""));
            is_local(&said)?;
            seen.insert(said);
        }
        assert_eq!(seen.len(), 5, "each flow has an endpoint of its own: {seen:?}");
    }
    Ok(())
}

#[test]
fn behind_fullnat_a_backend_is_a_client_of_its_own_listener() -> Result<()> {
    let balanced = Balanced::start()?;
    let host = balanced.backend.host();
    for (listener, port, vip) in ways() {
        let (_, said) = talk_from(host, vip, port)?;
        said.iter().try_for_each(|line| is_local(line)).context(listener)?;
    }
    balanced.backend.attach()?;
    for (listener, port, vip) in ways() {
        let (own, said) = talk_from(host, vip, port)?;
        assert_eq!(said, vec![shown(own, listener); 3], "{listener} {vip}");
    }
    Ok(())
}

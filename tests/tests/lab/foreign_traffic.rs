//! Traffic through an attached interface that is not balanced, and frames of full size that are.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{
    Arms, Kept, Lab, Load, Namespace, Question, Server, Service, VIP_V4, VIP_V6, ask,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    scene::{PATIENCE, Scene, VIPS, echo_at, http_at, without_errors},
    seen,
    services::{ECHO, echoes, http, port_of},
};

/// Where the balancer host's own service listens.
const SSH: u16 = 22;

#[test]
fn the_hosts_own_services_answer_on_its_addresses_and_on_vips_without_that_listener() -> Result<()>
{
    let scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    let own =
        [Ipv4Addr::new(10, 0, 0, 1).into(), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into()];
    for address in own.into_iter().chain(VIPS) {
        let address: SocketAddr = (address, SSH).into();
        let host = Server::start(&scene.lab.balancer, "balancer", Service::Name, address)?;
        let answers = scene.ask(address, Question::Name, Load::concurrent(20, 4))?;
        let answers = without_errors(&address.to_string(), answers)?;
        assert_eq!(answers.of("balancer"), 20, "{address}: {answers}");
        assert!(host.served().connections() >= 20);
    }
    let drops = scene.slbd.json(&["drops", "--all"])?;
    assert!(seen::verdict(&drops, "no_listener") > 0 && seen::verdict(&drops, "not_ours") > 0);
    assert_eq!(scene.slbd.slb_ok(&["drops"])?, "nothing has been dropped\n");
    Ok(())
}

#[test]
fn the_host_reaches_backends_and_clients_itself_through_the_attached_interfaces() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    for vip in VIPS {
        for backend in &scene.lab.backends {
            let address = backend.endpoint(vip, port_of(Service::Http));
            let answers = ask(&scene.lab.balancer, address, Question::Http, Load::sequential(3))?;
            assert_eq!(without_errors("", answers)?.of(&backend.name), 3);
        }
        let address = scene.lab.clients[0].endpoint(vip, 8000);
        let _client = Server::start(scene.client(), "client1", Service::Name, address)?;
        let answers = ask(&scene.lab.balancer, address, Question::Name, Load::sequential(3))?;
        assert_eq!(without_errors("", answers)?.of("client1"), 3);
    }
    Ok(())
}

#[test]
fn what_is_only_routed_between_the_networks_goes_on_beside_balanced_traffic() -> Result<()> {
    let scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    for vip in VIPS {
        for backend in &scene.lab.backends {
            // Straight to the backend, past the VIP: the kernel forwards it.
            let address = backend.endpoint(vip, port_of(Service::Http));
            let answers = scene.ask(address, Question::Http, Load::sequential(5))?;
            assert_eq!(without_errors("", answers)?.of(&backend.name), 5);
        }
    }
    let mut balanced = Kept::open(scene.client(), http_at(VIP_V4.into()), 3)?;
    assert_eq!(balanced.names()?, ["backend1", "backend2", "backend3"]);
    Ok(())
}

#[test]
fn a_ping_of_each_vip_is_answered_while_it_balances_and_while_the_daemon_is_away() -> Result<()> {
    let mut scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    for vip in VIPS {
        ping(scene.client(), vip)?;
    }
    scene.slbd.stop()?;
    for vip in VIPS {
        ping(scene.client(), vip)?;
    }
    Ok(())
}

/// One echo request, and its reply.
pub(crate) fn ping(client: &Namespace, address: IpAddr) -> Result<()> {
    client.sysctl(&[("net/ipv4/ping_group_range", "0 0")])?;
    let target: SocketAddr = (address, 0).into();
    let (protocol, request, reply) = match address {
        IpAddr::V4(_) => (Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Protocol::ICMPV6, 128, 129),
    };
    let socket =
        client.run(|| Socket::new(Domain::for_address(target), Type::DGRAM, Some(protocol)))?;
    let socket: UdpSocket = socket.context("a ping socket")?.into();
    socket.set_read_timeout(Some(Duration::from_millis(700)))?;
    socket.connect(target)?;
    let mut buffer = [0; 64];
    // One that comes before the way is known may be lost, as with any ping.
    let answered = (0..3).find_map(|_| {
        // The kernel fills in checksum and identifier.
        socket.send(&[&[request, 0, 0, 0, 0, 0, 0, 1][..], b"are you there?"].concat()).ok()?;
        socket.recv(&mut buffer).ok()
    });
    let length = answered.with_context(|| format!("ping {address}"))?;
    ensure!(
        buffer[0] == reply && buffer[8..length] == *b"are you there?",
        "{:?}",
        &buffer[..length]
    );
    Ok(())
}

#[test]
fn datagrams_that_fill_the_mtu_come_through_and_back_whole() -> Result<()> {
    for arms in [Arms::Two, Arms::One] {
        let lab = Lab::builder().arms(arms).backends(1).build()?;
        let mut scene = Scene::start(lab, &[echoes("wrr", [1])])?;
        // Its answers would be longer than the question, and one that fills the MTU too long.
        scene.servers("backend1", Service::Echo).for_each(Server::kill);
        for (vip, headers) in [(IpAddr::V4(VIP_V4), 28), (VIP_V6.into(), 48)] {
            let length = 1500 - headers;
            let backend = scene.lab.backends[0].endpoint(vip, port_of(Service::Echo));
            let mirror = scene.lab.backends[0].namespace.run(|| UdpSocket::bind(backend))??;
            mirror.set_read_timeout(Some(PATIENCE))?;
            let mirroring = thread::spawn(move || -> Result<usize> {
                let mut buffer = [0; 2000];
                let (length, from) = mirror.recv_from(&mut buffer)?;
                mirror.send_to(&buffer[..length], from)?;
                Ok(length)
            });
            let source = scene.lab.clients[0].endpoint(vip, 21_000);
            let socket = slb_tests::lab::udp_from(scene.client(), source, echo_at(vip))?;
            let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
            socket.send(&payload)?;
            let mut buffer = [0; 2000];
            let received = socket.recv(&mut buffer).with_context(|| format!("{arms:?} {vip}"))?;
            assert_eq!(&buffer[..received], payload);
            assert_eq!(mirroring.join().expect("the mirror")?, length);
        }
        let listener = scene.slbd.status()?;
        let listener = seen::listener(&listener, ECHO);
        assert_eq!(
            (seen::number(listener, "bytes_in"), seen::number(listener, "bytes_out")),
            (3000, 3000)
        );
    }
    Ok(())
}

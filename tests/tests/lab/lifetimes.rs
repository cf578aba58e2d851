//! What ends connections: idle time, deadlines, failed backends, commands. Both ends are real
//! sockets, and both are told.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{Host, Lab, Service, Slbd, VIP_V4, tcp_from, udp_from};

use crate::{
    scene::{PATIENCE, Scene, VIPS, echo_at, eventually, start_servers},
    seen,
    segments::DATAPLANE,
    services::{ECHO, configuration, echoes, http},
};

/// The listener under test, on both VIPs.
const PORT: u16 = 95;
/// Its backends' port, where the test itself accepts.
const BACKEND_PORT: u16 = 9500;
const LISTENER: &str = "shop/tcp:95";

/// A listener on [`PORT`] with these lines and the first so many backends, checked by the HTTP
/// server beside them.
fn listener(hosts: &[Host], lines: &str) -> String {
    let mut text = format!(
        "[[instance.listener]]\nprotocol = \"tcp\"\nport = {PORT}\nscheduler = \"rr\"\n{lines}\n\
         health_check = {{ type = \"http\", path = \"/healthz\", port = 8080, interval = \"1s\", \
         timeout = \"1s\", healthy = 2, unhealthy = 2 }}\nbackends = [\n"
    );
    for host in hosts {
        for vip in VIPS {
            text +=
                &format!("  {{ address = \"{}\", port = {BACKEND_PORT} }},\n", address(host, vip));
        }
    }
    text + "]\n"
}

const fn address(host: &Host, vip: IpAddr) -> IpAddr {
    match vip {
        IpAddr::V4(_) => IpAddr::V4(host.v4),
        IpAddr::V6(_) => IpAddr::V6(host.v6),
    }
}

/// A scene with that listener on its first `backends` backends, all healthy.
fn scene(lines: &str, backends: usize) -> Result<Scene> {
    let scene = Scene::usual(&[http("wrr", [1, 1, 1])])?;
    let hosts = &scene.lab.backends;
    let usual = configuration(hosts, &[http("wrr", [1, 1, 1])]);
    scene.slbd.reload(&(usual + &listener(&hosts[..backends], lines)))?;
    scene.slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    Ok(scene)
}

/// Both ends of a connection through a VIP.
struct Ends {
    client: TcpStream,
    backend: TcpStream,
}

impl Ends {
    /// Opens one over which data went both ways; the backend is whose turn it is.
    fn open(scene: &Scene, vip: IpAddr, accepting: &[TcpListener]) -> Result<Self> {
        let any = SocketAddr::new(unspecified(vip), 0);
        let mut client = tcp_from(scene.client(), any, (vip, PORT).into())?;
        client.write_all(b"ask")?;
        let mut backend = accept(accepting)?;
        let mut asked = [0; 3];
        backend.read_exact(&mut asked)?;
        backend.write_all(b"a longer answer")?;
        let mut answer = [0; 15];
        client.read_exact(&mut answer)?;
        client.write_all(b"thanks")?;
        let mut thanks = [0; 6];
        backend.read_exact(&mut thanks)?;
        Ok(Self { client, backend })
    }

    /// True if neither end has heard anything.
    fn both_open(&self) -> Result<bool> {
        let open = |stream: &TcpStream| -> Result<bool> {
            stream.set_nonblocking(true)?;
            let got = stream.peek(&mut [0]);
            stream.set_nonblocking(false)?;
            Ok(matches!(got, Err(error) if error.kind() == ErrorKind::WouldBlock))
        };
        Ok(open(&self.client)? && open(&self.backend)?)
    }

    /// Waits until both ends are reset; returns how long that took.
    fn wait_for_resets(self, limit: Duration) -> Result<Duration> {
        let begun = Instant::now();
        for (end, mut stream) in [("client", self.client), ("backend", self.backend)] {
            stream.set_read_timeout(Some(limit))?;
            let got = stream.read(&mut [0]);
            let reset = matches!(&got, Err(error) if error.kind() == ErrorKind::ConnectionReset);
            ensure!(reset, "the {end} got {got:?} after {:?}", begun.elapsed());
        }
        Ok(begun.elapsed())
    }
}

const fn unspecified(vip: IpAddr) -> IpAddr {
    match vip {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

/// Sockets that accept on a backend, in both families.
fn accepting(host: &Host) -> Result<Vec<TcpListener>> {
    let bind = |vip| -> Result<TcpListener> {
        let listener =
            host.namespace.run(|| TcpListener::bind((address(host, vip), BACKEND_PORT)))??;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    VIPS.into_iter().map(bind).collect()
}

/// The next connection on any of them.
fn accept(accepting: &[TcpListener]) -> Result<TcpStream> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        for listener in accepting {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
    anyhow::bail!("nobody connected within {PATIENCE:?}")
}

#[test]
fn both_ends_of_an_idle_connection_are_reset_when_its_time_is_over() -> Result<()> {
    let scene = scene("established_timeout = \"10s\"", 1)?;
    let servers = accepting(&scene.lab.backends[0])?;
    let ends: Vec<Ends> =
        VIPS.into_iter().map(|vip| Ends::open(&scene, vip, &servers)).collect::<Result<_>>()?;
    let begun = Instant::now();
    thread::sleep(Duration::from_secs(9));
    for one in &ends {
        assert!(one.both_open()?, "before its time");
    }
    for one in ends {
        one.wait_for_resets(Duration::from_secs(8))?;
    }
    let took = begun.elapsed();
    // The timeout, a tick, a sweep.
    assert!(took < Duration::from_secs(14), "{took:?}");
    Ok(())
}

#[test]
fn behind_fullnat_both_ends_are_reset_as_well() -> Result<()> {
    let lab = Lab::builder().backends(1).build()?;
    let web = start_servers(&lab.backends)?;
    let lines = "mode = \"fullnat\"\nestablished_timeout = \"10s\"";
    let text = configuration(&lab.backends, &[http("wrr", [1])]) + &listener(&lab.backends, lines);
    let slbd = Slbd::start_with(&lab, DATAPLANE, &text)?;
    slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    let scene = Scene { slbd, servers: web, lab };
    let servers = accepting(&scene.lab.backends[0])?;
    let ends: Vec<Ends> =
        VIPS.into_iter().map(|vip| Ends::open(&scene, vip, &servers)).collect::<Result<_>>()?;
    for one in &ends {
        let seen = one.backend.peer_addr()?;
        assert_ne!(seen.ip(), one.client.local_addr()?.ip(), "a local address");
    }
    for one in ends {
        one.wait_for_resets(Duration::from_secs(16))?;
    }
    Ok(())
}

#[test]
fn a_daemon_that_comes_back_resets_what_expired_while_it_was_away() -> Result<()> {
    let mut scene = scene("established_timeout = \"10s\"", 1)?;
    let servers = accepting(&scene.lab.backends[0])?;
    let ends: Vec<Ends> =
        VIPS.into_iter().map(|vip| Ends::open(&scene, vip, &servers)).collect::<Result<_>>()?;
    scene.slbd.crash()?;
    thread::sleep(Duration::from_secs(12));
    for one in &ends {
        assert!(one.both_open()?, "nobody is there to tell");
    }
    scene.slbd.start_again()?;
    for one in ends {
        one.wait_for_resets(Duration::from_secs(4))?;
    }
    Ok(())
}

#[test]
fn what_a_removed_backend_still_has_at_the_drain_deadline_is_reset_and_no_other() -> Result<()> {
    let scene = scene("drain_timeout = \"2s\"", 2)?;
    let hosts = &scene.lab.backends;
    let servers = [accepting(&hosts[0])?, accepting(&hosts[1])?];
    let servers: Vec<TcpListener> = servers.into_iter().flatten().collect();
    for vip in VIPS {
        let leaving = format!("{}", SocketAddr::new(address(&hosts[0], vip), BACKEND_PORT));
        let first = Ends::open(&scene, vip, &servers)?;
        let second = Ends::open(&scene, vip, &servers)?;
        let on_first = |ends: &Ends| -> Result<bool> {
            Ok(ends.backend.local_addr()?.ip() == address(&hosts[0], vip))
        };
        let (doomed, other) = if on_first(&first)? { (first, second) } else { (second, first) };
        assert!(on_first(&doomed)? && !on_first(&other)?, "a turn each");
        scene.slbd.slb_ok(&["backend", "remove", LISTENER, &leaving])?;
        let status = scene.slbd.status()?;
        let left =
            seen::number(seen::backend(&status, PORT, address(&hosts[0], vip)), "drain_left_s");
        assert!((1..=2).contains(&left), "{left}");
        assert!(doomed.both_open()?);
        let took = doomed.wait_for_resets(Duration::from_secs(4))?;
        assert!(took > Duration::from_millis(1500), "{took:?}");
        assert!(other.both_open()?);
    }
    Ok(())
}

#[test]
fn a_drained_backend_has_the_deadline_that_the_command_gives_it() -> Result<()> {
    let scene = scene("", 2)?;
    let host = &scene.lab.backends[0];
    let servers = [accepting(host)?, accepting(&scene.lab.backends[1])?];
    let servers: Vec<TcpListener> = servers.into_iter().flatten().collect();
    let mut all = Vec::new();
    for vip in VIPS {
        all.push(Ends::open(&scene, vip, &servers)?);
        all.push(Ends::open(&scene, vip, &servers)?);
    }
    for vip in VIPS {
        let backend = SocketAddr::new(address(host, vip), BACKEND_PORT).to_string();
        let said =
            scene.slbd.slb_ok(&["backend", "drain", LISTENER, &backend, "--timeout", "1s"])?;
        assert!(said.ends_with("its connections may go on for 1 s, then they are cut\n"), "{said}");
    }
    for one in all {
        let ip = one.backend.local_addr()?.ip();
        if VIPS.into_iter().any(|vip| ip == address(host, vip)) {
            one.wait_for_resets(Duration::from_secs(4))?;
        } else {
            assert!(one.both_open()?);
        }
    }
    // A weight of 0 alone has no deadline.
    let list = scene.slbd.slb_ok(&["backend", "list", LISTENER])?;
    assert!(list.contains("drained, 0 s left"), "{list}");
    Ok(())
}

#[test]
fn a_deadline_outlives_the_daemon() -> Result<()> {
    let mut scene = scene("drain_timeout = \"60s\"", 2)?;
    let vip = IpAddr::from(VIP_V4);
    let servers = [accepting(&scene.lab.backends[0])?, accepting(&scene.lab.backends[1])?];
    let servers: Vec<TcpListener> = servers.into_iter().flatten().collect();
    let ends = [Ends::open(&scene, vip, &servers)?, Ends::open(&scene, vip, &servers)?];
    let leaving = address(&scene.lab.backends[0], vip);
    let backend = SocketAddr::new(leaving, BACKEND_PORT).to_string();
    let begun = Instant::now();
    scene.slbd.slb_ok(&["backend", "remove", LISTENER, &backend])?;
    thread::sleep(Duration::from_secs(3));
    scene.slbd.crash()?;
    scene.slbd.start_again()?;
    let status = scene.slbd.status()?;
    let left = seen::number(seen::backend(&status, PORT, leaving), "drain_left_s");
    let passed = begun.elapsed().as_secs();
    assert!(left <= 60 - 3 && left + passed + 2 >= 60, "{left} s left, {passed} s passed");
    for one in ends {
        assert!(one.both_open()?);
    }
    Ok(())
}

#[test]
fn a_stopped_listeners_connections_are_reset_at_the_deadline() -> Result<()> {
    let scene = scene("drain_timeout = \"2s\"", 1)?;
    let servers = accepting(&scene.lab.backends[0])?;
    let ends: Vec<Ends> =
        VIPS.into_iter().map(|vip| Ends::open(&scene, vip, &servers)).collect::<Result<_>>()?;
    let hosts = &scene.lab.backends;
    let stopped = listener(&hosts[..1], "drain_timeout = \"2s\"\nenabled = false");
    scene.slbd.reload(&(configuration(hosts, &[http("wrr", [1, 1, 1])]) + &stopped))?;
    for one in &ends {
        assert!(one.both_open()?);
    }
    for one in ends {
        one.wait_for_resets(Duration::from_secs(4))?;
    }
    Ok(())
}

#[test]
fn a_failed_backends_connections_are_reset_where_that_is_wanted_and_only_there() -> Result<()> {
    for (lines, reset) in [("on_backend_down = \"reset\"", true), ("", false)] {
        let scene = scene(lines, 1)?;
        let servers = accepting(&scene.lab.backends[0])?;
        let ends: Vec<Ends> =
            VIPS.into_iter().map(|vip| Ends::open(&scene, vip, &servers)).collect::<Result<_>>()?;
        for server in scene.servers.iter().filter(|one| one.name() == "backend1") {
            server.set_health_status(500);
        }
        scene.wait_for_health(PORT, 1, "unhealthy")?;
        for one in ends {
            if reset {
                one.wait_for_resets(Duration::from_secs(1))?;
            } else {
                thread::sleep(Duration::from_millis(300));
                assert!(one.both_open()?, "keep is the default");
            }
        }
    }
    Ok(())
}

#[test]
fn removing_a_backend_now_resets_both_ends_at_once() -> Result<()> {
    let scene = scene("", 1)?;
    let servers = accepting(&scene.lab.backends[0])?;
    for vip in VIPS {
        let ends = Ends::open(&scene, vip, &servers)?;
        let backend =
            SocketAddr::new(address(&scene.lab.backends[0], vip), BACKEND_PORT).to_string();
        let remove = ["backend", "remove", LISTENER, &backend, "--now"];
        assert_eq!(scene.slbd.slb(&remove)?.status.code(), Some(1), "it is the last one");
        assert!(ends.both_open()?);
        scene.slbd.slb_ok(&[&remove[..], &["--force"]].concat())?;
        ends.wait_for_resets(Duration::from_secs(1))?;
    }
    Ok(())
}

#[test]
fn a_datagrams_flow_moves_on_when_its_backend_dies() -> Result<()> {
    let mut scene = Scene::usual(&[echoes("rr", [1, 1, 1])])?;
    let mut sockets = Vec::new();
    for vip in VIPS {
        let source = SocketAddr::new(unspecified(vip), 0);
        let socket = udp_from(scene.client(), source, echo_at(vip))?;
        sockets.push((echoed(&socket)?.context("an echo")?, socket));
    }
    for (before, socket) in &sockets {
        for _ in 0..3 {
            assert_eq!(echoed(socket)?.as_ref(), Some(before), "as long as it lives");
        }
    }
    let names: Vec<String> = sockets.iter().map(|(name, _)| name.clone()).collect();
    for name in &names {
        for service in [Service::Echo, Service::Http] {
            scene.servers(name, service).for_each(slb_tests::lab::Server::kill);
        }
    }
    for (before, socket) in &sockets {
        eventually("another backend answers", PATIENCE, || {
            Ok(echoed(socket)?.is_some_and(|name| !names.contains(&name)))
        })?;
        assert_ne!(echoed(socket)?.as_ref(), Some(before));
    }
    // Each flow is one entry, wherever it goes.
    let status = scene.slbd.status()?;
    assert_eq!(seen::number(seen::listener(&status, ECHO), "active_connections"), 2);
    Ok(())
}

/// Who answers the next datagram; nobody within a moment: `None`.
fn echoed(socket: &std::net::UdpSocket) -> Result<Option<String>> {
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    // An ICMP error of an earlier datagram may surface here.
    if socket.send(b"hello").is_err() {
        return Ok(None);
    }
    let mut buffer = [0; 256];
    let Ok(length) = socket.recv(&mut buffer) else { return Ok(None) };
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    Ok(answer.split_once(':').map(|(name, _)| name.to_owned()))
}

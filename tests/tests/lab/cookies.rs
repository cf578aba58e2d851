//! Connections that begin with a SYN cookie, by real sockets: what both sides send arrives as it was
//! sent, also where segments are lost; servers that speak first are heard.

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{Lab, Load, Namespace, Question, Server, Service, Slbd};

use crate::{
    scene::{PATIENCE, Scene, VIPS, http_at, name_at, start_servers, without_errors},
    seen,
    segments::DATAPLANE,
    services::{Listener, configuration, http, names, port_of},
};

/// Bytes that go each way.
const MUCH: usize = 100_000_000;
/// Bytes where one of 50 segments is lost each way.
const LOSSY: usize = 3_000_000;
/// Bytes that are made and compared at once.
const BLOCK: usize = 1 << 16;

/// Listeners in a mode that answer SYNs by cookies when `defence` says.
fn listeners(mode: &str, defence: &str) -> [Listener; 2] {
    let line = format!("mode = \"{mode}\"\nsyn_defence = {{ mode = \"{defence}\" }}");
    [http("wrr", [1]).line(&line), names("wrr", [1]).line(&line)]
}

/// A lab with one backend whose listeners answer every SYN by a cookie.
fn scene(mode: &str) -> Result<Scene> {
    let lab = Lab::builder().backends(1).build()?;
    let servers = start_servers(&lab.backends)?;
    let services = configuration(&lab.backends, &listeners(mode, "always"));
    let slbd = Slbd::start_with(&lab, DATAPLANE, &services)?;
    slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    Ok(Scene { slbd, servers, lab })
}

/// The byte at a place of the stream that begins with `salt`: neither a lost, a doubled nor a moved
/// segment looks right.
fn byte(salt: u8, at: usize) -> u8 {
    (at ^ at >> 8 ^ at >> 15 ^ at >> 22) as u8 ^ salt
}

fn send(mut socket: &TcpStream, salt: u8, bytes: usize) -> Result<()> {
    for start in (0..bytes).step_by(BLOCK) {
        let block: Vec<u8> = (start..bytes.min(start + BLOCK)).map(|at| byte(salt, at)).collect();
        socket.write_all(&block)?;
    }
    socket.shutdown(Shutdown::Write)?;
    Ok(())
}

fn receive(mut socket: &TcpStream, salt: u8, bytes: usize) -> Result<()> {
    let (mut buffer, mut at) = (vec![0; BLOCK], 0);
    loop {
        let length = socket.read(&mut buffer).with_context(|| format!("after {at} bytes"))?;
        if length == 0 {
            ensure!(at == bytes, "{at} of {bytes} bytes");
            return Ok(());
        }
        let right = buffer[..length].iter().enumerate().all(|(n, got)| *got == byte(salt, at + n));
        ensure!(right, "wrong bytes behind {at}");
        at += length;
    }
}

/// Both directions at once; `salts`: what is sent, what is received.
fn exchange(socket: &TcpStream, salts: (u8, u8), bytes: usize) -> Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    socket.set_write_timeout(Some(Duration::from_secs(30)))?;
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(socket, salts.0, bytes));
        let received = receive(socket, salts.1, bytes);
        sending.join().expect("it sends")?;
        received
    })
}

/// Takes the places of the servers of names over, both at once: health checks go on.
fn take_over(scene: &mut Scene) -> Result<Vec<(IpAddr, TcpListener)>> {
    scene.servers("backend1", Service::Name).for_each(Server::kill);
    let backend = &scene.lab.backends[0];
    let bind = |vip: IpAddr| {
        let at = backend.endpoint(vip, port_of(Service::Name));
        Ok((vip, backend.namespace.run(|| TcpListener::bind(at))??))
    };
    VIPS.into_iter().map(bind).collect()
}

/// One connection to the listener of names, with that much each way.
fn bulk(scene: &Scene, vip: IpAddr, listener: &TcpListener, bytes: usize) -> Result<()> {
    let client = scene.client().run(|| TcpStream::connect_timeout(&name_at(vip), PATIENCE))??;
    thread::scope(|scope| {
        let serving = scope.spawn(|| -> Result<()> {
            let (socket, _) = listener.accept()?;
            exchange(&socket, (1, 2), bytes)
        });
        exchange(&client, (2, 1), bytes).context("the client")?;
        serving.join().expect("it serves").context("the server")
    })
}

/// How many packets ended so.
fn counted(scene: &Scene, label: &str) -> Result<u64> {
    Ok(seen::verdict(&scene.slbd.json(&["drops", "--all"])?, label))
}

/// Throws one of 50 packets away that come in.
fn lose(host: &Namespace) -> Result<()> {
    nft(
        host,
        &[
            "add table inet lossy",
            "add chain inet lossy input { type filter hook input priority 0 ; }",
            "add rule inet lossy input meta l4proto tcp numgen random mod 50 == 0 drop",
        ],
    )
}

fn nft(host: &Namespace, commands: &[&str]) -> Result<()> {
    commands.iter().try_for_each(|command| {
        host.output("nft", &command.split(' ').collect::<Vec<_>>()).map(drop)
    })
}

#[test]
fn a_hundred_megabytes_each_way_are_intact_behind_a_cookie() -> Result<()> {
    for mode in ["nat", "fullnat"] {
        let mut scene = scene(mode)?;
        let listeners = take_over(&mut scene)?;
        for (vip, listener) in &listeners {
            bulk(&scene, *vip, listener, MUCH).with_context(|| format!("{mode} {vip}"))?;
        }
        ensure!(counted(&scene, "syn_cookie")? >= 2, "no cookie was sent");
    }
    Ok(())
}

#[test]
fn what_is_lost_behind_a_cookie_is_sent_again_and_everything_arrives() -> Result<()> {
    for mode in ["nat", "fullnat"] {
        let mut scene = scene(mode)?;
        let listeners = take_over(&mut scene)?;
        lose(scene.client())?;
        lose(&scene.lab.backends[0].namespace)?;
        for (vip, listener) in &listeners {
            bulk(&scene, *vip, listener, LOSSY).with_context(|| format!("{mode} {vip}"))?;
        }
    }
    Ok(())
}

#[test]
fn clients_behind_cookies_are_served_and_counted_like_any_others() -> Result<()> {
    for mode in ["nat", "fullnat"] {
        let scene = scene(mode)?;
        for vip in VIPS {
            let load = Load::concurrent(300, 8);
            let answers = scene.ask(http_at(vip), Question::Http, load)?;
            assert_eq!(without_errors(mode, answers)?.answered(), 300);
            let kept = scene.ask(http_at(vip), Question::HttpKeepAlive, load)?;
            without_errors(mode, kept)?;
        }
        let status = scene.slbd.status()?;
        let listener = seen::listener(&status, crate::services::HTTP);
        assert_eq!(seen::number(listener, "connections_total"), 2 * (300 + 8), "{listener:#}");
        ensure!(counted(&scene, "syn_cookie")? >= 2 * (300 + 8), "each began with a cookie");
    }
    Ok(())
}

#[test]
fn a_server_that_speaks_first_is_heard_behind_a_cookie() -> Result<()> {
    for mode in ["nat", "fullnat"] {
        let scene = scene(mode)?;
        for vip in VIPS {
            let answers = scene.ask(name_at(vip), Question::Name, Load::concurrent(20, 20))?;
            assert_eq!(without_errors(mode, answers)?.of("backend1"), 20);
        }
        ensure!(counted(&scene, "handshake_completed")? >= 40, "each repeated its SYN-ACK");
    }
    Ok(())
}

#[test]
fn a_client_that_has_a_cookie_gets_in_after_the_defence_was_turned_off() -> Result<()> {
    for mode in ["nat", "fullnat"] {
        for defence in ["off", "auto"] {
            let scene = scene(mode)?;
            let client = scene.client();
            // The handshake is complete for the client, and nobody hears of that.
            nft(
                client,
                &[
                    "add table inet mute",
                    "add chain inet mute output { type filter hook output priority 0 ; }",
                    "add rule inet mute output tcp flags & (syn | ack) == ack drop",
                ],
            )?;
            let open = |vip| client.run(|| TcpStream::connect_timeout(&http_at(vip), PATIENCE));
            let sockets = VIPS.map(|vip| open(vip)?.context("no SYN-ACK"));
            scene.reload(&listeners(mode, defence))?;
            nft(client, &["delete table inet mute"])?;
            for socket in sockets {
                let mut socket = socket?;
                let what = format!("{mode}, {defence}, {}", socket.peer_addr()?);
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.write_all(b"GET / HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n")?;
                let mut answer = String::new();
                socket.read_to_string(&mut answer).with_context(|| what.clone())?;
                ensure!(answer.ends_with("backend1\n"), "{what}: {answer}");
            }
        }
    }
    Ok(())
}

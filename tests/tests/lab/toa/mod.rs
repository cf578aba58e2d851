//! `slb toa` on a backend: what unchanged servers take for their client when a balancer tells it
//! by TCP option 254.

mod backend;
mod balanced;
mod client;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, Result, ensure};
use aya::{
    maps::loaded_maps,
    programs::{loaded_links, loaded_programs},
};

use self::backend::{BELIEVED, Backend, STRANGERS};
use crate::scene::{PATIENCE, within};

/// Listeners: their address, port, and what they take; IPv4 alone, both families, IPv6 alone.
const LISTENERS: [(&str, u16, &str); 3] =
    [("0.0.0.0", 7004, "all"), ("::", 7005, "all"), ("::", 7006, "v6only")];

/// The clients that options tell of.
const CLIENT_V4: &str = "203.0.113.9:50000";
const CLIENT_V6: &str = "[2001:db8::9]:50001";

/// Balancer addresses of both families, then strangers'.
const BALANCER_V4: IpAddr = BELIEVED[0].1;
const BALANCER_V6: IpAddr = BELIEVED[1].1;

/// Which segments carry the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// The last of the handshake.
    Ack,
    /// The first data, after `accept` has returned.
    Data,
    Both,
    /// The data that ends the handshake, because the ACK was lost.
    DataAlone,
    None,
}

/// The option as the kernel module has it: kind, length, port, address; padded to words.
fn option(client: &str) -> Result<Vec<u8>> {
    let client: SocketAddr = client.parse()?;
    let address = match client.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = 4 + address.len() as u8;
    Ok([&[254, length][..], &client.port().to_be_bytes(), &address].concat())
}

/// Talks to a server from `source` and returns what it says.
fn talk(backend: &Backend, source: SocketAddr, port: u16, option: &[u8], on: On) -> Result<String> {
    let of = |wanted: &[On]| if wanted.contains(&on) { option } else { &[] };
    let mut client = backend.client(source, port)?;
    client.open()?;
    let accepted = if on == On::Data { backend.accepted(port)? } else { 0 };
    if on != On::DataAlone {
        client.acknowledge(of(&[On::Ack, On::Both]))?;
    }
    if on == On::Data {
        // So that accept() has returned before the option comes.
        backend.wait_for_accepted(port, accepted + 1)?;
    }
    let request = b"GET / HTTP/1.0\r\n\r\n";
    client.say(of(&[On::Data, On::Both, On::DataAlone]), request)?;
    client.hear().with_context(|| format!("{source} to {port}, option on {on:?}"))
}

/// A source of a family that no test before used: the servers still have the old connection.
fn from(address: IpAddr) -> SocketAddr {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    SocketAddr::new(address, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// As Python shows an endpoint; an IPv4 peer of an IPv6 socket is mapped.
fn shown(endpoint: SocketAddr, listener: &str) -> String {
    match endpoint.ip() {
        IpAddr::V4(address) if listener == "::" => format!("::ffff:{address} {}", endpoint.port()),
        address => format!("{address} {}", endpoint.port()),
    }
}

fn with_python() -> Result<Backend> {
    let mut backend = Backend::new()?;
    for (address, port, only) in LISTENERS {
        backend.python(address, port, only)?;
    }
    Ok(backend)
}

/// Each listener with a balancer of each family that reaches it, and a client of that family.
fn ways() -> [(&'static str, u16, IpAddr, &'static str); 4] {
    let [v4, dual, v6] = LISTENERS.map(|(address, port, _)| (address, port));
    [
        (v4.0, v4.1, BALANCER_V4, CLIENT_V4),
        (dual.0, dual.1, BALANCER_V4, CLIENT_V4),
        (dual.0, dual.1, BALANCER_V6, CLIENT_V6),
        (v6.0, v6.1, BALANCER_V6, CLIENT_V6),
    ]
}

#[test]
fn accept_and_getpeername_return_the_client_that_the_option_tells() -> Result<()> {
    let backend = with_python()?;
    backend.attach()?;
    for (listener, port, balancer, client) in ways() {
        let client_shown = shown(client.parse()?, listener);
        for on in [On::Ack, On::Both, On::DataAlone] {
            let said = talk(&backend, from(balancer), port, &option(client)?, on)?;
            let lines: Vec<&str> = said.lines().collect();
            assert_eq!(lines, [&client_shown; 3], "{listener}, {balancer}, option on {on:?}");
        }
    }
    assert_eq!((backend.counted("client_v4")?, backend.counted("client_v6")?), (6, 6));
    Ok(())
}

#[test]
fn an_option_that_comes_with_the_first_data_is_what_getpeername_returns_from_then_on() -> Result<()>
{
    let backend = with_python()?;
    backend.attach()?;
    for (listener, port, balancer, client) in ways() {
        let source = from(balancer);
        let said = talk(&backend, source, port, &option(client)?, On::Data)?;
        let before = shown(source, listener);
        let after = shown(client.parse()?, listener);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines, [&before, &before, &after], "{listener}, {balancer}");
    }
    // Data that comes later is no first data, whatever it brings: the server reads twice.
    let (listener, port, balancer, client) = ways()[0];
    let source = from(balancer);
    let mut late = backend.client(source, port)?;
    late.open()?;
    late.acknowledge(&[])?;
    late.say(&[], b"again")?;
    late.say(&option(client)?, b"more")?;
    let truly = shown(source, listener);
    assert_eq!(late.hear()?.lines().collect::<Vec<_>>(), [&truly; 3]);
    assert_eq!(backend.counted("absent")?, 1);
    Ok(())
}

#[test]
fn nginx_logs_and_answers_the_client_that_the_option_tells() -> Result<()> {
    let mut backend = Backend::new()?;
    backend.nginx(
        "listen 0.0.0.0:7080; listen [::]:7080 ipv6only=on; listen [::]:7081 ipv6only=off;",
        7080,
    )?;
    backend.attach()?;
    let already = backend.nginx_log(0).map_or(0, |lines| lines.len());
    let mut expected = Vec::new();
    for (port, balancer, client) in [
        (7080, BALANCER_V4, CLIENT_V4),
        (7080, BALANCER_V6, CLIENT_V6),
        (7081, BALANCER_V4, CLIENT_V4),
        (7081, BALANCER_V6, CLIENT_V6),
    ] {
        let client_endpoint: SocketAddr = client.parse()?;
        // nginx shows a mapped address as it is; port 7081 takes both families by one socket.
        let listener = if port == 7081 { "::" } else { "" };
        for on in [On::Ack, On::Both, On::DataAlone] {
            let said = talk(&backend, from(balancer), port, &option(client)?, on)?;
            let (_, body) = said.split_once("\r\n\r\n").context("no answer of HTTP")?;
            assert_eq!(body, shown(client_endpoint, listener), "{port}, {balancer}, {on:?}");
            expected.push(body.replace(' ', ":"));
        }
        let source = from(balancer);
        let said = talk(&backend, source, port, &[], On::None)?;
        assert!(said.ends_with(&shown(source, listener)), "without the option: {said}");
        expected.push(shown(source, listener).replace(' ', ":"));
    }
    let log = backend.nginx_log(already + expected.len())?;
    assert_eq!(log[already..], expected);
    Ok(())
}

#[test]
fn without_a_right_option_of_a_balancer_the_true_peer_is_shown() -> Result<()> {
    let backend = with_python()?;
    backend.attach()?;
    let malformed: [&[u8]; 5] = [
        &[254, 7, 0xc3, 0x50, 203, 0, 113, 1],
        &[254, 12, 0xc3, 0x50, 203, 0, 113, 9, 1, 1, 1, 1],
        // Longer than the header.
        &[254, 20, 0xc3, 0x50, 203, 0, 113, 9],
        &[254, 8, 0, 0, 203, 0, 113, 9],
        &[254, 8, 0xc3, 0x50, 0, 0, 0, 0],
    ];
    let mut connections = 0;
    for (listener, port, balancer, client) in ways() {
        let stranger = STRANGERS[usize::from(balancer.is_ipv6())];
        let option = option(client)?;
        let mut cases = vec![(balancer, &[][..], On::None), (stranger, &[][..], On::None)];
        cases.extend([On::Ack, On::Both, On::Data].map(|on| (stranger, option.as_slice(), on)));
        cases.extend(malformed.map(|option| (balancer, option, On::Ack)));
        for (address, option, on) in cases {
            let source = from(address);
            let said = talk(&backend, source, port, option, on)?;
            let truly = shown(source, listener);
            let lines: Vec<&str> = said.lines().collect();
            assert_eq!(lines, [&truly; 3], "{listener}, {address}, {option:?} on {on:?}");
            connections += 1;
        }
    }
    // An IPv4 socket cannot show an IPv6 address.
    let source = from(BALANCER_V4);
    let said = talk(&backend, source, LISTENERS[0].1, &option(CLIENT_V6)?, On::Ack)?;
    assert_eq!(said.lines().next(), Some(shown(source, "0.0.0.0").as_str()));

    assert_eq!(connections, 4 * 10);
    assert_eq!(backend.counted("malformed")?, 4 * 5 + 1);
    assert_eq!(backend.counted("not_believed")?, 4 * 2);
    assert_eq!(backend.counted("absent")?, 4);
    assert_eq!((backend.counted("client_v4")?, backend.counted("client_v6")?), (0, 0));
    Ok(())
}

#[test]
fn attaching_again_keeps_the_clients_of_open_connections_and_takes_the_new_networks() -> Result<()>
{
    let backend = with_python()?;
    backend.attach()?;
    let (listener, port, balancer, client) = ways()[0];
    let mut open = backend.client(from(balancer), port)?;
    open.open()?;
    open.acknowledge(&option(client)?)?;
    within(PATIENCE, || {
        ensure!(backend.counted("client_v4")? == 1, "not yet accepted");
        Ok(())
    })?;
    let before = backend.status()?;

    let cgroup = backend.cgroup.display().to_string();
    let again = backend.slb_toa(&["attach", "--cgroup", &cgroup, "--from", "10.0.1.0/24"])?;
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let after = backend.status()?;
    assert_eq!(
        (&after["state"], &after["from"]),
        (&"attached".into(), &["10.0.1.0/24"][..].into())
    );
    let links = |status: &serde_json::Value| status["programs"].to_string();
    assert_ne!(links(&before), links(&after), "the programs were replaced");

    open.say(&[], b"hello")?;
    let said = open.hear()?;
    assert_eq!(said.lines().last(), Some(shown(client.parse()?, listener).as_str()));
    let source = from(balancer);
    let said = talk(&backend, source, port, &option(client)?, On::Ack)?;
    assert_eq!(said.lines().next(), Some(shown(source, listener).as_str()), "not believed now");
    let said = talk(&backend, from(STRANGERS[0]), port, &option(client)?, On::Ack)?;
    assert_eq!(said.lines().next(), Some(shown(client.parse()?, listener).as_str()));
    Ok(())
}

#[test]
fn detach_leaves_nothing_behind_and_servers_see_the_true_peer_again() -> Result<()> {
    let backend = with_python()?;
    let absent = backend.slb_toa(&["status"])?;
    assert_eq!(absent.status.code(), Some(1), "not attached is a problem");
    backend.attach()?;
    let (listener, port, balancer, client) = ways()[1];
    let said = talk(&backend, from(balancer), port, &option(client)?, On::Ack)?;
    assert_eq!(said.lines().next(), Some(shown(client.parse()?, listener).as_str()));

    let status = backend.status()?;
    assert_eq!(status["state"], "attached");
    assert_eq!(status["cgroup"], backend.cgroup.display().to_string());
    assert_eq!(backend.slb_toa(&["status"])?.status.code(), Some(0));
    let ids = |name: &str| -> Vec<u64> {
        let programs = status["programs"].as_array().into_iter().flatten();
        programs.filter_map(|one| one[name].as_u64()).collect()
    };
    let (programs, links) = (ids("program_id"), ids("link_id"));
    assert_eq!((programs.len(), links.len()), (3, 3));
    let maps = maps_of(&programs)?;
    assert_eq!(maps.len(), 3);
    assert!(fs::read_dir(backend.pin_dir())?.count() == 6 && there(&programs, &links, &maps) == 9);

    let detached = backend.slb_toa(&["detach"])?;
    assert_eq!(String::from_utf8_lossy(&detached.stdout), "detached\n");
    assert!(!backend.pin_dir().exists());
    // The kernel frees programs and maps a moment after whoever used them last.
    within(PATIENCE, || {
        let left = there(&programs, &links, &maps);
        ensure!(left == 0, "{left} programs, links and maps are left");
        Ok(())
    })?;
    let source = from(balancer);
    let said = talk(&backend, source, port, &option(client)?, On::Both)?;
    assert_eq!(said.lines().collect::<Vec<_>>(), [&shown(source, listener); 3]);

    let again = backend.slb_toa(&["detach"])?;
    assert_eq!(String::from_utf8_lossy(&again.stdout), "nothing was attached\n");
    assert!(again.status.success());
    Ok(())
}

/// The maps that programs use.
fn maps_of(programs: &[u64]) -> Result<Vec<u64>> {
    let mut maps = Vec::new();
    for program in loaded_programs().filter_map(Result::ok) {
        if programs.contains(&program.id().into()) {
            maps.extend(program.map_ids()?.unwrap_or_default().into_iter().map(u64::from));
        }
    }
    maps.sort_unstable();
    maps.dedup();
    Ok(maps)
}

/// How many of these the kernel has.
fn there(programs: &[u64], links: &[u64], maps: &[u64]) -> usize {
    let programs_there = loaded_programs().filter_map(Result::ok).map(|one| u64::from(one.id()));
    let links_there = loaded_links().filter_map(Result::ok).map(|one| u64::from(one.id()));
    let maps_there = loaded_maps().filter_map(Result::ok).map(|one| u64::from(one.id()));
    programs_there.filter(|id| programs.contains(id)).count()
        + links_there.filter(|id| links.contains(id)).count()
        + maps_there.filter(|id| maps.contains(id)).count()
}

//! The commands of the page on backends for direct routing and tunnels, run as they are printed:
//! with them alone backends serve, in both modes and families.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{
    Arms, Decapsulator, Host, Kept, Lab, Load, Question, Server, Service, Slbd, VIP_V4, VIP_V6, ask,
};

use crate::{
    scene::{PATIENCE, VIPS, eventually, without_errors},
    seen,
};

const PAGE: &str = include_str!("../../../docs/how-to/direct-routing-and-tunnels.md");
const WEB: u16 = 8000;
/// Where tunnels come from is written, as the page's firewall asks for it.
const DATAPLANE: &str = "xdp_mode = \"native\"\nmax_connections = 65_536\n\
                         tunnel_source = [\"10.0.1.1\", \"fd01::1\"]";

/// The blocks of commands of one section.
fn blocks(section: &str) -> Result<Vec<&'static str>> {
    let sections: Vec<_> = PAGE.split("\n## ").filter(|one| one.starts_with(section)).collect();
    ensure!(sections.len() == 1, "one section {section:?}");
    let blocks = sections[0].split("```sh\n").skip(1);
    blocks.map(|rest| rest.split_once("```").map(|(block, _)| block).context("a block")).collect()
}

/// Runs a block on a backend, with the lab's addresses in place of the page's. The lab has no
/// router: clients are on the link.
fn run(host: &Host, block: &str) -> Result<String> {
    let mut commands = block.to_owned();
    for (printed, here) in [
        ("default via 192.0.2.1 ", "10.0.0.0/24 ".to_owned()),
        ("default via 2001:db8:1::1 ", "fd00::/64 ".to_owned()),
        ("203.0.113.10", VIP_V4.to_string()),
        ("2001:db8::10", VIP_V6.to_string()),
        ("192.0.2.11", host.v4.to_string()),
        ("2001:db8:1::11", host.v6.to_string()),
        // The balancer's source of tunnels.
        ("192.0.2.2 ", "10.0.1.1 ".to_owned()),
        ("2001:db8:1::2 ", "fd01::1 ".to_owned()),
    ] {
        commands = commands.replace(printed, &here);
    }
    let rest = ["192.0.2", "203.0.113", "2001:db8"].iter().find(|one| commands.contains(**one));
    ensure!(rest.is_none(), "an address that the lab has none for: {commands}");
    host.namespace.output("sh", &["-ec", &commands])
}

/// Runs the commands of a block of tunnels one by one; true if the kernel has such devices. Where it
/// has none `ip` has understood the command all the same, and another device stands for it in those
/// that follow.
fn run_tunnels(host: &Host, block: &str) -> Result<bool> {
    let mut tunnels = true;
    for command in block.lines() {
        match run(host, command) {
            Err(error) if format!("{error:#}").contains("Unknown device type") => {
                let name = command.split(' ').nth(3).context("a device")?;
                run(host, &format!("ip link add {name} type veth peer name {name}-far"))?;
                tunnels = false;
            }
            done => drop(done?),
        }
    }
    Ok(tunnels)
}

fn configuration(lab: &Lab, mode: &str, of: impl Fn(&Host) -> Vec<IpAddr>) -> String {
    let addresses = lab.backends.iter().flat_map(of);
    let backends: String =
        addresses.map(|address| format!("{{ address = \"{address}\" }}, ")).collect();
    format!(
        "[[instance]]\nname = \"shop\"\nvips = [\"{VIP_V4}\", \"{VIP_V6}\"]\n\n\
         [[instance.listener]]\nprotocol = \"tcp\"\nport = {WEB}\nmode = \"{mode}\"\n\
         scheduler = \"rr\"\n\
         health_check = {{ type = \"http\", path = \"/healthz\", interval = \"1s\", \
         timeout = \"1s\", healthy = 2, unhealthy = 2 }}\nbackends = [{backends}]\n"
    )
}

/// A server on each backend as most are: on all addresses of both families.
fn start_servers(lab: &Lab) -> Result<Vec<Server>> {
    let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), WEB);
    let start = |host: &Host| Server::start(&host.namespace, &host.name, Service::Http, everywhere);
    lab.backends.iter().map(start).collect()
}

/// Every backend answers on each VIP.
fn all_serve(lab: &Lab, names: &[&str], what: &str) -> Result<()> {
    for vip in VIPS {
        let load = Load::concurrent(10 * names.len() as u64, 2);
        let client = &lab.clients[0].namespace;
        let answers = ask(client, (vip, WEB).into(), Question::Http, load)?;
        let answers = without_errors(what, answers)?;
        for name in names {
            assert_eq!(answers.of(name), 10, "{what}, {vip}: {answers}");
        }
    }
    Ok(())
}

/// What the client puts into a segment of a connection to a VIP.
fn segment(lab: &Lab, vip: IpAddr) -> Result<u16> {
    let client = &lab.clients[0].namespace;
    let target = SocketAddr::new(vip, WEB);
    let mut open = Kept::open(client, target, 1)?;
    open.names()?;
    let to = ["-Htino", "state", "established", "dst", &target.to_string()];
    let shown = client.output("ss", &to)?;
    let mss = shown.split_whitespace().find_map(|word| word.strip_prefix("mss:"));
    Ok(mss.with_context(|| shown.clone())?.parse()?)
}

#[test]
fn backends_set_up_by_the_page_serve_by_direct_routing_and_tunnels() -> Result<()> {
    let lab = Lab::builder().arms(Arms::One).backends(2).build()?;
    let _servers = start_servers(&lab)?;
    let both = |host: &Host| vec![host.v4.into(), host.v6.into()];
    let slbd = Slbd::start_with(&lab, DATAPLANE, &configuration(&lab, "dr", both))?;
    slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    let client = &lab.clients[0].namespace;
    // Without the page nobody serves, though all are healthy.
    for vip in VIPS {
        let load = Load::concurrent(1, 1);
        let answers = ask(client, (vip, WEB).into(), Question::Http, load)?;
        ensure!(without_errors("too early", answers).is_err(), "{vip}: served by whom?");
    }
    let names: Vec<&str> = lab.backends.iter().map(|host| host.name.as_str()).collect();
    for host in &lab.backends {
        for section in ["Every backend", "The way back"] {
            let [block] = blocks(section)?[..] else { panic!("one block in {section:?}") };
            run(host, block)?;
        }
    }
    all_serve(&lab, &names, "dr")?;

    let [over_v4, over_v6, smaller, firewall] = blocks("Tunnels")?[..] else {
        panic!("four blocks of tunnels")
    };
    let mut ends = Vec::new();
    for host in &lab.backends {
        let [over_v4, over_v6] = [over_v4, over_v6].map(|block| run_tunnels(host, block));
        // A program of the lab does the work of devices that the kernel does not have.
        let end = (!over_v4? || !over_v6?).then(|| Decapsulator::start(&host.namespace));
        let table = "nft add table inet filter\n\
                     nft 'add chain inet filter input { type filter hook input priority 0 ; }'";
        run(host, &format!("{table}\n{firewall}"))?;
        let end = end.transpose()?;
        ends.extend(end);
    }
    for (what, of) in [
        ("over IPv4", (|host: &Host| vec![host.v4.into()]) as fn(&Host) -> Vec<IpAddr>),
        ("over IPv6", |host: &Host| vec![host.v6.into()]),
    ] {
        slbd.reload(&configuration(&lab, "tunnel", of))?;
        let wanted: Vec<String> =
            lab.backends.iter().flat_map(of).map(|address| address.to_string()).collect();
        eventually("these backends are healthy", PATIENCE, || {
            let status = slbd.status()?;
            let healthy = seen::backends(&status).filter(|each| each["health"] == "healthy");
            let addresses: Vec<_> = healthy.map(|each| each["address"].clone()).collect();
            Ok(wanted.iter().all(|address| addresses.iter().any(|one| one == address)))
        })?;
        all_serve(&lab, &names, what)?;
    }
    // Less 12 bytes for timestamps.
    for (vip, before) in VIPS.into_iter().zip([1448, 1428]) {
        assert_eq!(segment(&lab, vip)?, before, "{vip}");
    }
    for host in &lab.backends {
        run(host, smaller)?;
    }
    for vip in VIPS {
        assert_eq!(segment(&lab, vip)?, 1400 - 12, "{vip}");
    }
    Ok(())
}

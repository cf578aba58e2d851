//! Builds a lab: namespaces, wires, addresses, routes.

use std::{
    fs,
    path::Path,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    Arms, Families, Host, Lab, LabBuilder, Namespace, bpffs, leftovers,
    links::{self, End},
    namespace,
    topology::{Net, VIP_V4, VIP_V6},
};

pub(super) fn build(wanted: &LabBuilder) -> Result<Lab> {
    bpffs::ensure_mounted()?;
    raise_descriptor_limit()?;
    leftovers::remove_of_dead_processes();

    let name = wanted.name.clone().unwrap_or_else(unique_name);
    let balancer = format!("{name}-balancer");
    let taken = Path::new(namespace::DIRECTORY).join(&balancer).exists();
    ensure!(!taken, "a lab named {name} exists already");
    build_as(&name, wanted).inspect_err(|_| leftovers::remove(&name)).with_context(|| {
        format!(
            "build the lab {name} (needs iproute2, ethtool, and a kernel with veth and bridges)"
        )
    })
}

fn build_as(name: &str, wanted: &LabBuilder) -> Result<Lab> {
    let work_dir = leftovers::work_dir(name);
    fs::create_dir_all(&work_dir).with_context(|| work_dir.display().to_string())?;

    let balancer = Namespace::create(&format!("{name}-balancer"))?;
    balancer.sysctl(&[
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
        // With one arm the kernel would tell clients of the shorter way.
        ("net/ipv4/conf/all/send_redirects", "0"),
        ("net/ipv4/conf/default/send_redirects", "0"),
    ])?;
    without_address_detection(&balancer)?;

    let clients = new_hosts(name, "client", wanted.clients, Net::Clients)?;
    let backends = new_hosts(name, "backend", wanted.backends, Net::Backends)?;
    let first = Namespace::create(&format!("{name}-switch0"))?;
    wire_switch(&first, &balancer, "eth0", &clients, wanted.mtu)?;
    let backend_arm = match wanted.arms {
        Arms::One => {
            wire_hosts(&first, &backends, wanted.mtu)?;
            "eth0"
        }
        Arms::Two | Arms::Three => {
            let second = Namespace::create(&format!("{name}-switch1"))?;
            wire_switch(&second, &balancer, "eth1", &backends, wanted.mtu)?;
            "eth1"
        }
    };

    let mut lines = Vec::new();
    push_addresses(&mut lines, wanted.families, "eth0", Net::Clients, 1);
    push_addresses(&mut lines, wanted.families, backend_arm, Net::Backends, 1);
    balancer.ip_batch(&lines.join("\n"))?;
    for (number, client) in (11..).zip(&clients) {
        address_host(client, number, wanted.families, Net::Clients)?;
    }
    for (number, backend) in (11..).zip(&backends) {
        address_host(backend, number, wanted.families, Net::Backends)?;
    }
    let outside = match wanted.arms {
        Arms::One | Arms::Two => None,
        Arms::Three => Some(outside(name, &balancer, wanted)?),
    };
    let name = name.to_owned();
    Ok(Lab { name, clients, balancer, backends, outside, arms: wanted.arms, kept: false })
}

/// The host behind the third arm, and the way there.
fn outside(lab: &str, balancer: &Namespace, wanted: &LabBuilder) -> Result<Host> {
    const NUMBER: u8 = 11;
    let namespace = Namespace::create(&format!("{lab}-outside"))?;
    without_address_detection(&namespace)?;
    let here = End { namespace: balancer, interface: "eth2" };
    let there = End { namespace: &namespace, interface: "eth0" };
    let processors = aya::util::nr_cpus().map_err(|(what, error)| anyhow!("{what}: {error}"))?;
    links::wide_wire(&here, &there, wanted.mtu, processors)?;
    let (v4, v6) = (Net::Outside.v4(NUMBER), Net::Outside.v6(NUMBER));
    let host = Host { name: "outside".to_owned(), namespace, v4, v6 };
    address_host(&host, NUMBER, wanted.families, Net::Outside)?;
    let mut lines = Vec::new();
    push_addresses(&mut lines, wanted.families, "eth2", Net::Outside, 1);
    if wanted.families.v4() {
        lines.push(format!("route add default via {v4}"));
    }
    if wanted.families.v6() {
        lines.push(format!("route add ::/0 via {v6}"));
    }
    balancer.ip_batch(&lines.join("\n"))?;
    Ok(host)
}

fn new_hosts(lab: &str, kind: &str, count: u8, net: Net) -> Result<Vec<Host>> {
    (1..=count)
        .map(|number| {
            let name = format!("{kind}{number}");
            let namespace = Namespace::create(&format!("{lab}-{name}"))?;
            without_address_detection(&namespace)?;
            namespace.sysctl(&[
                ("net/ipv4/ip_local_port_range", "1024 65535"),
                // No offset per peer: a backend that holds TIME_WAIT takes a new SYN from the
                // same port also when that came by another VIP.
                ("net/ipv4/tcp_timestamps", "2"),
            ])?;
            Ok(Host { name, namespace, v4: net.v4(10 + number), v6: net.v6(10 + number) })
        })
        .collect()
}

/// Makes a bridge with the hosts and one arm of the balancer; its port is called like the arm.
fn wire_switch(
    switch: &Namespace,
    balancer: &Namespace,
    arm: &str,
    hosts: &[Host],
    mtu: u16,
) -> Result<()> {
    links::bridge(switch, "br0", mtu)?;
    let here = End { namespace: balancer, interface: arm };
    let there = End { namespace: switch, interface: arm };
    links::wire(&here, &there, mtu)?;
    bpffs::attach_pass_program(switch, arm)?;
    links::plug(switch, "br0", arm)?;
    wire_hosts(switch, hosts, mtu)
}

/// Wires each host's `eth0` to a port of its name.
fn wire_hosts(switch: &Namespace, hosts: &[Host], mtu: u16) -> Result<()> {
    for host in hosts {
        let here = End { namespace: &host.namespace, interface: "eth0" };
        let there = End { namespace: switch, interface: &host.name };
        links::wire(&here, &there, mtu)?;
        links::plug(switch, "br0", &host.name)?;
    }
    Ok(())
}

fn address_host(host: &Host, number: u8, families: Families, net: Net) -> Result<()> {
    let mut lines = Vec::new();
    push_addresses(&mut lines, families, "eth0", net, number);
    // Backends answer through the balancer: nat needs that.
    let (v4, v6) = (net.v4(1), net.v6(1));
    if families.v4() {
        lines.push(format!("route add default via {v4}"));
        if net == Net::Clients {
            lines.push(format!("route add {VIP_V4}/32 via {v4}"));
        }
    }
    if families.v6() {
        lines.push(format!("route add ::/0 via {v6}"));
        if net == Net::Clients {
            lines.push(format!("route add {VIP_V6}/128 via {v6}"));
        }
    }
    host.namespace.ip_batch(&lines.join("\n"))
}

fn push_addresses(
    lines: &mut Vec<String>,
    families: Families,
    interface: &str,
    net: Net,
    number: u8,
) {
    if families.v4() {
        lines.push(format!("addr add {}/24 dev {interface}", net.v4(number)));
    }
    if families.v6() {
        lines.push(format!("addr add {}/64 dev {interface} nodad", net.v6(number)));
    }
}

fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}{}-{number}", leftovers::TEST_PREFIX, process::id())
}

/// Addresses are usable at once instead of after a second.
fn without_address_detection(namespace: &Namespace) -> Result<()> {
    namespace
        .sysctl(&[("net/ipv6/conf/all/accept_dad", "0"), ("net/ipv6/conf/default/accept_dad", "0")])
}

/// A connection is two descriptors when both its ends are in this process.
fn raise_descriptor_limit() -> Result<()> {
    const WANTED: u64 = 100_000;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < WANTED {
        // Root without CAP_SYS_RESOURCE (containers) has to make do with the hard limit.
        setrlimit(Resource::RLIMIT_NOFILE, WANTED, hard.max(WANTED))
            .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, hard.min(WANTED), hard))
            .context("raise the limit of open files")?;
    }
    Ok(())
}

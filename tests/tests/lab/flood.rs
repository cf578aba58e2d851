//! A flood of spoofed SYNs: open connections go on as if there were none, none of their entries is
//! given up, and new clients get in.

use std::{collections::BTreeSet, net::IpAddr, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use slb_tests::{
    lab::{
        Answers, Arms, Conversations, Flooder, Inverter, Lab, Pace, Question, Server, Service,
        Slbd, Traffic, VIP_V4, VIP_V6,
    },
    table_lab::pin,
};

use crate::{
    scene::{PATIENCE, Scene, http_at, name_at, start_servers, without_errors},
    seen,
    services::{HTTP, NAME, configuration, http, names, port_of},
};

/// What comes before the defence begins fills such a table several times over.
const DATAPLANE: &str = "xdp_mode = \"native\"\nmax_connections = 2048\n\
                         max_connections_v6 = 2048\n\
                         local_addresses = [\"100.64.0.8/30\", \"fd64::8/126\"]";
/// Open connections; each carries a kilobyte both ways in a tenth of a second.
const PACE: Pace = Pace { connections: 200, interval: Duration::from_millis(100), bytes: 1000 };
/// Half-open connections of a second above which a VIP is flooded, if the listener says nothing.
const THRESHOLD: u64 = 10_000;
/// New clients at once, and how long each rests.
const NEW_CLIENTS: (usize, Duration) = (4, Duration::from_millis(20));

/// A lab with a third arm whose backends answer every byte by its inverse on the listener of names.
fn scene(mode: &str) -> Result<(Scene, Vec<Inverter>)> {
    let lab = Lab::builder().arms(Arms::Three).backends(2).build()?;
    let servers = start_servers(&lab.backends)?;
    let line = format!("mode = \"{mode}\"");
    let listeners = [http("wrr", [1, 1]).line(&line), names("wrr", [1, 1]).line(&line)];
    let slbd = Slbd::start_with(&lab, DATAPLANE, &configuration(&lab.backends, &listeners))?;
    let mut scene = Scene { slbd, servers, lab };
    let mut inverters = Vec::new();
    for host in scene.lab.backends.clone() {
        scene.servers(&host.name, Service::Name).for_each(Server::kill);
        for like in [VIP_V4.into(), VIP_V6.into()] {
            let at = host.endpoint(like, port_of(Service::Name));
            inverters.push(Inverter::start(&host.namespace, at)?);
        }
    }
    scene.slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
    Ok((scene, inverters))
}

/// The established connections of the listener of names: the client and the backend of each.
fn established(scene: &Scene, vip: IpAddr) -> Result<BTreeSet<(String, String)>> {
    let vip = name_at(vip).to_string();
    let filters = ["--vip", &vip, "--state", "established", "--limit", "1000"];
    let list = scene.slbd.json(&[&["conns"], &filters[..]].concat())?;
    let entries = seen::array(&list["connections"]);
    let ends = entries.map(|one| Some((one["client"].as_str()?, one["backend"].as_str()?)));
    let owned = |(client, backend): (&str, &str)| (client.to_owned(), backend.to_owned());
    ends.map(|ends| ends.map(owned).context("an entry without ends")).collect()
}

/// What the balancer has counted.
struct Counted {
    /// SYNs answered by cookies.
    cookies: u64,
    /// SYNs that found no place, or two processors at once at theirs.
    refused: u64,
    /// Connections of each listener.
    opened: [u64; 2],
}

impl Counted {
    fn read(scene: &Scene) -> Result<Self> {
        let (drops, status) = (scene.slbd.json(&["drops", "--all"])?, scene.slbd.status()?);
        let opened = |port| seen::number(seen::listener(&status, port), "connections_total");
        Ok(Self {
            cookies: seen::verdict(&drops, "syn_cookie"),
            refused: seen::verdict(&drops, "table_full") + seen::verdict(&drops, "contended"),
            opened: [HTTP, NAME].map(opened),
        })
    }
}

fn flooded(status: &Value, vip: IpAddr) -> bool {
    seen::array(&status["instances"][0]["flooded_vips"]).any(|one| *one == vip.to_string())
}

/// SYNs that the client's kernel sent again.
fn repeated_syns(scene: &Scene) -> Result<u64> {
    let shown = scene.client().output("nstat", &["-asz", "--json", "TcpExtTCPSynRetrans"])?;
    let shown: Value = serde_json::from_str(&shown)?;
    Ok(seen::number(&shown["kernel"], "TcpExtTCPSynRetrans"))
}

/// Sends the flood; while it goes on, looks at the entries of open connections, and has new clients
/// come.
fn flood(
    scene: &Scene,
    flooder: &mut Flooder,
    vip: IpAddr,
    syns: u32,
    before: &BTreeSet<(String, String)>,
) -> Result<Answers> {
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            // Each processor has a queue of its own on the wire.
            pin(0)?;
            flooder.send(http_at(vip), syns)
        });
        let begun = |status: &Value| flooded(status, vip);
        scene.slbd.wait_for_status("the VIP is flooded", PATIENCE, begun)?;
        let (workers, rest) = NEW_CLIENTS;
        let new = Traffic::start(scene.client(), http_at(vip), Question::Http, workers, rest);
        while !sending.is_finished() {
            let now = established(scene, vip)?;
            ensure!(now == *before, "gone or come: {:?}", now.symmetric_difference(before));
            thread::sleep(Duration::from_millis(300));
        }
        sending.join().expect("it sends")?;
        new.stop()
    })
}

fn nobody_is_hurt(mode: &str, vip: IpAddr, syns: u32) -> Result<()> {
    let (scene, _inverters) = scene(mode)?;
    let open = Conversations::open(scene.client(), name_at(vip), PACE)?;
    let entries = established(&scene, vip)?;
    let clients: BTreeSet<String> = open.endpoints().map(|one| one.to_string()).collect();
    let known: BTreeSet<String> = entries.iter().map(|(client, _)| client.clone()).collect();
    ensure!(known == clients, "{entries:?}");
    let (before, said) = (Counted::read(&scene)?, open.exchanges());

    let mut flooder = Flooder::start(&scene.lab)?;
    let new = flood(&scene, &mut flooder, vip, syns, &entries)?;
    let new = without_errors("new clients", new)?;
    ensure!(new.answered() >= 20, "{new}");
    let said = open.exchanges() - said;
    ensure!(said > PACE.connections as u64, "{said} messages while the flood went on");
    assert_eq!(established(&scene, vip)?, entries);

    // Each SYN that came is accounted for: the first of them opened something, the others got a
    // cookie, which was sent to where the flood came from.
    let after = Counted::read(&scene)?;
    let answered = flooder.answered();
    let cookies = answered.cookies + flooder.lost_on_the_way_back()?;
    let without = u64::from(syns) - cookies;
    let refused = after.refused - before.refused;
    let [opened, others] = [0, 1].map(|listener| after.opened[listener] - before.opened[listener]);
    // A client that is there may have to ask twice.
    ensure!(opened + refused >= without + new.opened, "{without}: {opened} and {refused}");
    assert_eq!(others, 0);
    let to_real = after.cookies - before.cookies - cookies;
    ensure!(to_real <= new.opened + repeated_syns(&scene)?, "{to_real} cookies to {new}");
    // The defence begins with the first SYN above it in one second, and some may come before that.
    ensure!((THRESHOLD..3 * THRESHOLD).contains(&without), "{without} got no cookie");
    ensure!(answered.by_backends > 0, "no SYN got as far as a backend");

    let broken = open.stop();
    ensure!(broken.is_empty(), "{} broken: {broken:#?}", broken.len());
    Ok(())
}

#[test]
fn five_million_spoofed_syns_break_no_connection_and_keep_no_client_out() -> Result<()> {
    nobody_is_hurt("nat", VIP_V4.into(), 5_000_000)
}

#[test]
fn a_flood_over_ipv6_does_not_hurt_clients_of_full_nat_either() -> Result<()> {
    nobody_is_hurt("fullnat", VIP_V6.into(), 1_000_000)
}

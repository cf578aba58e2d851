//! The network of the soak: four backends on one switch with the balancer, for every mode.

use std::{
    collections::BTreeMap, fmt::Write, net::IpAddr, net::SocketAddr, path::PathBuf, time::Duration,
};

use anyhow::{Context, Result};
use aya::maps::{HashMap, Map, MapData};
use serde_json::Value;
use slb_tests::lab::{
    Arms, Decapsulator, Host, Lab, Namespace, Question, Server, Service, Slbd, Traffic, VIP_V4,
    VIP_V6,
};

use crate::{PATIENCE, chance::Chance, seen};

/// Both VIPs.
pub(crate) const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP_V4), IpAddr::V6(VIP_V6)];
const DATAPLANE: &str = "xdp_mode = \"native\"\nmax_connections = 65_536\n\
                         local_addresses = [\"100.64.0.8/30\", \"fd64::8/126\"]";
/// Rest of a worker after an answer.
const PAUSE: Duration = Duration::from_millis(20);

/// A listener on both VIPs, and its servers.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) mode: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) port: u16,
    /// Another than the listener's in nat and fullnat.
    server: u16,
}

/// One for each mode and protocol.
pub(crate) const LISTENERS: [Listener; 8] = [
    Listener { mode: "nat", protocol: "tcp", port: 80, server: 8080 },
    Listener { mode: "dr", protocol: "tcp", port: 81, server: 81 },
    Listener { mode: "tunnel", protocol: "tcp", port: 82, server: 82 },
    Listener { mode: "fullnat", protocol: "tcp", port: 83, server: 8083 },
    Listener { mode: "nat", protocol: "udp", port: 5300, server: 5400 },
    Listener { mode: "dr", protocol: "udp", port: 5301, server: 5301 },
    Listener { mode: "tunnel", protocol: "udp", port: 5302, server: 5302 },
    Listener { mode: "fullnat", protocol: "udp", port: 5303, server: 5403 },
];

impl Listener {
    /// Whether replies pass the balancer, and servers are on their host's own addresses.
    pub(crate) fn replies_pass(&self) -> bool {
        matches!(self.mode, "nat" | "fullnat")
    }

    pub(crate) const fn questions(&self) -> &'static [Question] {
        match self.service() {
            Service::Echo => &[Question::Echo, Question::EchoSamePort],
            Service::Http | Service::Name => &[Question::Http, Question::HttpKeepAlive],
        }
    }

    const fn service(&self) -> Service {
        if self.protocol.len() == "udp".len() && self.protocol.as_bytes()[0] == b'u' {
            Service::Echo
        } else {
            Service::Http
        }
    }

    fn text(&self, scheduler: &str, backends: &str) -> String {
        // A SYN is repeated after a second: its entry has to outlive that, or one connection counts
        // as two. So has an entry that waits for a client whose machine has other things to do.
        let closing = "syn_timeout = \"3s\"\nfin_timeout = \"3s\"\ntime_wait_timeout = \"1s\"\n";
        format!(
            "[[instance.listener]]\nprotocol = \"{}\"\nport = {}\nmode = \"{}\"\n\
             scheduler = \"{scheduler}\"\nestablished_timeout = \"10s\"\n{}\
             health_check = {{ type = \"http\", path = \"/healthz\", port = {HEALTH}, \
             interval = \"1s\", timeout = \"1s\", healthy = 2, unhealthy = 2 }}\n\
             backends = [\n{backends}]\n",
            self.protocol,
            self.port,
            self.mode,
            if self.protocol == "tcp" { closing } else { "" }
        )
    }
}

/// Where every backend answers health checks.
const HEALTH: u16 = 8080;

/// Dropped from the top.
pub(crate) struct Ground {
    pub(crate) slbd: Slbd,
    _ends: Vec<Decapsulator>,
    servers: Vec<Server>,
    lab: Lab,
}

impl Ground {
    /// Everything in place and all backends healthy.
    pub(crate) fn start() -> Result<Self> {
        let lab = Lab::builder().arms(Arms::One).backends(4).build()?;
        let (mut servers, mut ends) = (Vec::new(), Vec::new());
        for host in &lab.backends {
            host.take_vips()?;
            ends.push(Decapsulator::start(&host.namespace)?);
            for (listener, vip) in LISTENERS.iter().flat_map(|one| VIPS.map(|vip| (one, vip))) {
                let own = host.endpoint(vip, listener.server);
                let at = if listener.replies_pass() { own } else { (vip, listener.port).into() };
                let service = listener.service();
                servers.push(Server::start(&host.namespace, &host.name, service, at)?);
            }
        }
        let slbd = Slbd::start_with(&lab, DATAPLANE, &plain(&lab.backends))?;
        slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
        Ok(Self { slbd, _ends: ends, servers, lab })
    }

    pub(crate) fn client(&self) -> &Namespace {
        &self.lab.clients[0].namespace
    }

    /// The client and the backends.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.lab.clients.iter().chain(&self.lab.backends)
    }

    pub(crate) fn work_dir(&self) -> PathBuf {
        self.lab.work_dir()
    }

    /// The source of the frames that leave the balancer.
    pub(crate) fn balancer_mac(&self) -> Result<String> {
        let shown = self.lab.balancer.output("ip", &["-o", "link", "show", "eth0"])?;
        let mac = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
        mac.map(str::to_owned).context("eth0 has an address")
    }

    pub(crate) fn traffic(&self, listener: &Listener, vip: IpAddr, question: Question) -> Traffic {
        let at = SocketAddr::new(vip, listener.port);
        Traffic::start(self.client(), at, question, 3, PAUSE)
    }

    /// Other schedulers, weights and backends.
    pub(crate) fn reload(&self, chance: &mut Chance) -> Result<()> {
        let schedulers = ["wrr", "rr", "wlc", "lc", "sh", "mh", "tch", "sed", "nq"];
        self.slbd.reload(&configuration(&self.lab.backends, || {
            let scheduler = chance.of(&schedulers);
            // One of the first two may be dead, so both take connections always.
            let others = std::array::from_fn(|_| chance.of(&[None, Some(0), Some(1), Some(7)]));
            let [third, fourth] = others;
            let weight = |chance: &mut Chance| Some(chance.between(1, 10) as u16);
            (scheduler, [weight(chance), weight(chance), third, fourth])
        }))
    }

    /// All backends, all of one weight.
    pub(crate) fn reload_all(&self) -> Result<()> {
        self.slbd.reload(&plain(&self.lab.backends))
    }

    /// Kills every server of one backend, with the connections that it has; returns its name.
    pub(crate) fn kill(&mut self, chance: &mut Chance) -> String {
        let index = chance.between(0, self.lab.backends.len() as u64 - 1) as usize;
        let name = self.lab.backends[index].name.clone();
        self.servers.iter_mut().filter(|one| one.name() == name).for_each(Server::kill);
        name
    }

    /// Kills every server.
    pub(crate) fn kill_all(&mut self) {
        self.servers.iter_mut().for_each(Server::kill);
    }

    pub(crate) fn restart(&mut self, backend: &str) -> Result<()> {
        // What answers checks comes last: a backend that has just been added is used after the first
        // good one, and its other servers have to be there by then.
        let mut own: Vec<_> = self.servers.iter_mut().filter(|one| one.name() == backend).collect();
        own.sort_by_key(|one| one.address().port() == HEALTH);
        own.into_iter().try_for_each(Server::restart)
    }

    /// Whether a backend is left in every listener when one dies: the first two are always there.
    pub(crate) fn can_lose_one(&self, status: &Value) -> bool {
        let first_two = &self.lab.backends[..2];
        let own = |one: &Value| {
            let mut hosts = first_two.iter();
            hosts.any(|host| {
                one["address"] == host.v4.to_string() || one["address"] == host.v6.to_string()
            })
        };
        seen::backends(status).filter(|one| own(one)).all(|one| one["health"] == "healthy")
    }

    /// Whether no listener sends anything to this backend any more.
    pub(crate) fn is_down(&self, status: &Value, backend: &str) -> bool {
        let host = self.lab.backends.iter().find(|one| one.name == backend);
        let own = host.map(|one| [one.v4.to_string(), one.v6.to_string()]).unwrap_or_default();
        seen::backends(status)
            .filter(|one| own.iter().any(|address| one["address"] == *address))
            .all(|one| one["health"] != "healthy")
    }

    /// Requests and datagrams that a listener's servers answered, by the backend's name.
    pub(crate) fn served(&self, listener: &Listener) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        let at = if listener.replies_pass() { listener.server } else { listener.port };
        for server in self.servers.iter().filter(|one| one.address().port() == at) {
            let served = server.served();
            *sums.entry(server.name().to_owned()).or_default() +=
                served.requests() + served.datagrams();
        }
        sums
    }

    /// Local ports of full NAT that are taken, both families.
    pub(crate) fn local_ports(&self) -> Result<usize> {
        let open = |name: &str| -> Result<Map> {
            let pin = self.lab.pin_dir().join(name);
            let found = MapData::from_pin(&pin).with_context(|| pin.display().to_string())?;
            Ok(Map::HashMap(found))
        };
        let v4: HashMap<MapData, [u8; 16], [u8; 8]> = open("LOCAL_PORTS4")?.try_into()?;
        let v6: HashMap<MapData, [u8; 48], [u8; 8]> = open("LOCAL_PORTS6")?.try_into()?;
        Ok(v4.keys().count() + v6.keys().count())
    }
}

fn plain(hosts: &[Host]) -> String {
    configuration(hosts, || ("wrr", [Some(1); 4]))
}

/// The instance, with a scheduler and the backends' weights for each listener; without a weight, a
/// backend is not there.
fn configuration(
    hosts: &[Host],
    mut draw: impl FnMut() -> (&'static str, [Option<u16>; 4]),
) -> String {
    let mut text =
        format!("[[instance]]\nname = \"shop\"\nvips = [\"{VIP_V4}\", \"{VIP_V6}\"]\n\n");
    for listener in &LISTENERS {
        let (scheduler, weights) = draw();
        let mut backends = String::new();
        for (host, weight) in hosts.iter().zip(weights) {
            let Some(weight) = weight else { continue };
            for vip in VIPS {
                let at = host.endpoint(vip, listener.server);
                // Writing to a string cannot fail.
                let _ = writeln!(
                    backends,
                    "  {{ address = \"{}\", port = {}, weight = {weight} }},",
                    at.ip(),
                    at.port()
                );
            }
        }
        text += &listener.text(scheduler, &backends);
    }
    text
}

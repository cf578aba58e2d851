//! The scene: the lab, its servers, the daemon, and what the client has been answered so far.

use std::{
    collections::BTreeMap, fmt::Write as _, net::IpAddr, net::SocketAddr, process, time::Duration,
};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{
    Answers, Host, Lab, Load, PacketsCounted, Question, Server, Service, Slbd, VIP_V4, VIP_V6, ask,
    leftovers,
};

/// Weights of the backends, first to last.
pub(crate) const WEIGHTS: [u64; 3] = [3, 2, 1];
/// Port of the HTTP listener.
pub(crate) const HTTP_PORT: u16 = 80;
/// Port of the UDP listener.
pub(crate) const ECHO_PORT: u16 = 7;
/// Port of the backends' HTTP servers.
const BACKEND_HTTP_PORT: u16 = 8080;
/// Port of the backends' UDP servers.
const BACKEND_ECHO_PORT: u16 = 7000;

/// The VIPs.
pub(crate) const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP_V4), IpAddr::V6(VIP_V6)];

/// Everything on stage; dropping it takes it away, the daemon first.
pub(crate) struct Scene {
    /// None before it is started.
    pub(crate) slbd: Option<Slbd>,
    pub(crate) servers: Vec<Server>,
    pub(crate) lab: Lab,
    /// What the client's kernel had counted before the first request.
    pub(crate) counted_before: PacketsCounted,
    /// Answers by protocol and backend address, as the client saw them.
    pub(crate) answered: BTreeMap<(&'static str, String), u64>,
}

impl Scene {
    /// Builds the network and starts the servers.
    pub(crate) fn build(name: &str) -> Result<Self> {
        let lab = Lab::builder().name(name).build()?;
        let servers = start_servers(&lab.backends)?;
        let counted_before = PacketsCounted::read(&lab.clients[0].namespace)?;
        Ok(Self { slbd: None, servers, lab, counted_before, answered: BTreeMap::new() })
    }

    /// The daemon, from the step on that started it.
    pub(crate) fn slbd(&mut self) -> Result<&mut Slbd> {
        self.slbd.as_mut().context("the daemon has not been started")
    }

    /// Asks a VIP from the client, and remembers who answered.
    pub(crate) fn ask(
        &mut self,
        vip: SocketAddr,
        question: Question,
        load: Load,
    ) -> Result<Answers> {
        let answers = ask(&self.lab.clients[0].namespace, vip, question, load)?;
        ensure!(answers.answered() > 0, "nobody answers at {vip}: {answers}");
        let protocol = if question == Question::Echo { "udp" } else { "tcp" };
        for backend in &self.lab.backends {
            let address = backend.endpoint(vip.ip(), 0).ip().to_string();
            *self.answered.entry((protocol, address)).or_default() += answers.of(&backend.name);
        }
        Ok(answers)
    }

    /// The HTTP servers of one backend, both families.
    pub(crate) fn http_servers(&mut self, backend: &str) -> impl Iterator<Item = &mut Server> {
        self.servers.iter_mut().filter(move |server| {
            server.name() == backend && server.address().port() == BACKEND_HTTP_PORT
        })
    }
}

/// The name of a lab that nobody else shall find.
pub(crate) fn own_name() -> String {
    format!("{}{}-0", leftovers::TEST_PREFIX, process::id())
}

/// HTTP and UDP echo, both families, on every backend.
pub(crate) fn start_servers(backends: &[Host]) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for backend in backends {
        for vip in VIPS {
            for (service, port) in
                [(Service::Http, BACKEND_HTTP_PORT), (Service::Echo, BACKEND_ECHO_PORT)]
            {
                let address = backend.endpoint(vip, port);
                servers.push(Server::start(&backend.namespace, &backend.name, service, address)?);
            }
        }
    }
    Ok(servers)
}

/// The configuration below `[daemon]` and `[dataplane]`, with these weights.
pub(crate) fn services(backends: &[Host], weights: [u64; 3]) -> String {
    let list = |port: u16| {
        let mut lines = String::new();
        for vip in VIPS {
            for (backend, weight) in backends.iter().zip(weights) {
                let address = backend.endpoint(vip, port).ip();
                let _ = writeln!(
                    lines,
                    "  {{ address = \"{address}\", port = {port}, weight = {weight} }},"
                );
            }
        }
        lines
    };
    let check = format!(
        "health_check = {{ type = \"http\", path = \"/healthz\", port = {BACKEND_HTTP_PORT}, \
         interval = \"1s\", timeout = \"1s\", healthy = 2, unhealthy = 3 }}"
    );
    format!(
        "[[instance]]\nname = \"demo\"\nvips = [\"{VIP_V4}\", \"{VIP_V6}\"]\n\n\
         [[instance.listener]]\nprotocol = \"tcp\"\nport = {HTTP_PORT}\nmode = \"nat\"\n\
         scheduler = \"wrr\"\n{check}\nbackends = [\n{}]\n\n\
         [[instance.listener]]\nprotocol = \"udp\"\nport = {ECHO_PORT}\nmode = \"nat\"\n\
         scheduler = \"wrr\"\n{check}\nbackends = [\n{}]\n",
        list(BACKEND_HTTP_PORT),
        list(BACKEND_ECHO_PORT),
    )
}

/// How long the demonstration waits for what should take a second or two.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

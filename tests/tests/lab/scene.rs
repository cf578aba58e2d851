//! A lab with servers on all backends and the daemon between them.

use std::{
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::Value;
use slb_tests::lab::{
    Answers, Host, Lab, Load, Namespace, Question, Server, Service, Slbd, Traffic, VIP_V4, VIP_V6,
    ask,
};

use crate::{
    seen,
    services::{ECHO, HTTP, Listener, NAME, configuration, port_of},
};

/// How long a test waits for what should take a second or two.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Rest after an answer, for traffic that runs beside something else.
pub(crate) const PAUSE: Duration = Duration::from_millis(2);
/// Both VIPs.
pub(crate) const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP_V4), IpAddr::V6(VIP_V6)];

/// Dropped from the top: the daemon goes first, the network last.
pub(crate) struct Scene {
    pub(crate) slbd: Slbd,
    pub(crate) servers: Vec<Server>,
    pub(crate) lab: Lab,
}

impl Scene {
    /// Servers of every kind on every backend, and the daemon, with every backend healthy.
    pub(crate) fn start(lab: Lab, listeners: &[Listener]) -> Result<Self> {
        let servers = start_servers(&lab.backends)?;
        let slbd = Slbd::start(&lab, &configuration(&lab.backends, listeners))?;
        slbd.wait_for_status("all backends healthy", PATIENCE, seen::all_healthy)?;
        Ok(Self { slbd, servers, lab })
    }

    /// The same with the usual lab: two arms, one client, three backends.
    pub(crate) fn usual(listeners: &[Listener]) -> Result<Self> {
        Self::start(Lab::builder().build()?, listeners)
    }

    /// The first client.
    pub(crate) fn client(&self) -> &Namespace {
        &self.lab.clients[0].namespace
    }

    /// Asks from the first client.
    pub(crate) fn ask(&self, at: SocketAddr, question: Question, load: Load) -> Result<Answers> {
        ask(self.client(), at, question, load)
    }

    /// Asks without end from the first client.
    pub(crate) fn traffic(&self, at: SocketAddr, question: Question, workers: usize) -> Traffic {
        Traffic::start(self.client(), at, question, workers, PAUSE)
    }

    /// The servers of a backend, both families, by kind.
    pub(crate) fn servers(
        &mut self,
        backend: &str,
        service: Service,
    ) -> impl Iterator<Item = &mut Server> {
        let port = port_of(service);
        self.servers
            .iter_mut()
            .filter(move |one| one.name() == backend && one.address().port() == port)
    }

    /// Takes other listeners into use.
    pub(crate) fn reload(&self, listeners: &[Listener]) -> Result<()> {
        self.slbd.reload(&configuration(&self.lab.backends, listeners))
    }

    /// Waits until a backend has this health, on both VIPs' families; returns the status.
    pub(crate) fn wait_for_health(&self, port: u16, backend: usize, health: &str) -> Result<Value> {
        let host = &self.lab.backends[backend - 1];
        self.slbd.wait_for_status(&format!("{} is {health}", host.name), PATIENCE, |status| {
            [IpAddr::V4(host.v4), host.v6.into()]
                .iter()
                .all(|address| seen::backend(status, port, address)["health"] == health)
        })
    }
}

/// HTTP, names and echoes in both families.
pub(crate) fn start_servers(backends: &[Host]) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for backend in backends {
        for vip in VIPS {
            for service in [Service::Http, Service::Name, Service::Echo] {
                let address = backend.endpoint(vip, port_of(service));
                servers.push(Server::start(&backend.namespace, &backend.name, service, address)?);
            }
        }
    }
    Ok(servers)
}

/// The HTTP listener in a family.
pub(crate) fn http_at(vip: IpAddr) -> SocketAddr {
    (vip, HTTP).into()
}

/// The listener of names in a family.
pub(crate) fn name_at(vip: IpAddr) -> SocketAddr {
    (vip, NAME).into()
}

/// The echoing listener in a family.
pub(crate) fn echo_at(vip: IpAddr) -> SocketAddr {
    (vip, ECHO).into()
}

/// Refuses answers with errors among them.
pub(crate) fn without_errors(what: &str, answers: Answers) -> Result<Answers> {
    ensure!(answers.errors.is_empty(), "{what}: {answers}");
    Ok(answers)
}

/// Tries again until it succeeds, for what the last packets on their way still change; at the limit
/// the last error counts.
pub(crate) fn within<T>(limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(_) if begun.elapsed() < limit => thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
}

/// The same for what is so or not.
pub(crate) fn eventually(what: &str, limit: Duration, so: impl Fn() -> Result<bool>) -> Result<()> {
    within(limit, || {
        ensure!(so()?, "not within {limit:?}: {what}");
        Ok(())
    })
}

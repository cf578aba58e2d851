//! Configurations of the tests: which listeners, and which backend has which share.

use std::fmt::Write;

use slb_tests::lab::{Host, Service, VIP_V4, VIP_V6};

/// Listener of the servers that answer HTTP.
pub(crate) const HTTP: u16 = 80;
/// Listener of the servers that say their name and keep the connection.
pub(crate) const NAME: u16 = 90;
/// Listener of the servers that echo datagrams.
pub(crate) const ECHO: u16 = 53;

/// What the listener means to give a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// It is not among the listener's backends.
    Absent,
    /// A primary of this weight.
    Primary(u16),
    /// A backup of this weight.
    Backup(u16),
}

/// A listener on both VIPs, with the backends of both families.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    service: Service,
    scheduler: &'static str,
    shares: Vec<Share>,
    unhealthy: u8,
    lines: Vec<String>,
}

/// HTTP on [`HTTP`], checked by a request.
pub(crate) fn http(scheduler: &'static str, weights: impl IntoIterator<Item = u16>) -> Listener {
    listener(Service::Http, scheduler, weights)
}

/// Names on [`NAME`], checked by a handshake.
pub(crate) fn names(scheduler: &'static str, weights: impl IntoIterator<Item = u16>) -> Listener {
    listener(Service::Name, scheduler, weights)
}

/// Echoes on [`ECHO`], checked by the HTTP server beside them.
pub(crate) fn echoes(scheduler: &'static str, weights: impl IntoIterator<Item = u16>) -> Listener {
    listener(Service::Echo, scheduler, weights)
}

fn listener(
    service: Service,
    scheduler: &'static str,
    weights: impl IntoIterator<Item = u16>,
) -> Listener {
    let shares = weights.into_iter().map(Share::Primary).collect();
    // The smallest number of failed checks that is allowed: a second less to wait for.
    Listener { service, scheduler, shares, unhealthy: 2, lines: Vec::new() }
}

impl Listener {
    /// Another share for one backend; the first is 1.
    pub(crate) fn share(mut self, backend: usize, share: Share) -> Self {
        self.shares[backend - 1] = share;
        self
    }

    /// Another number of failed checks that make a backend unhealthy.
    pub(crate) fn unhealthy(self, checks: u8) -> Self {
        Self { unhealthy: checks, ..self }
    }

    /// One more line of the listener's table.
    pub(crate) fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    fn text(&self, hosts: &[Host]) -> String {
        let (protocol, port) = match self.service {
            Service::Http => ("tcp", HTTP),
            Service::Name => ("tcp", NAME),
            Service::Echo => ("udp", ECHO),
        };
        let kind = match self.service {
            Service::Name => "type = \"tcp\"".to_owned(),
            Service::Http | Service::Echo => {
                format!("type = \"http\", path = \"/healthz\", port = {}", port_of(Service::Http))
            }
        };
        let mut text = format!(
            "[[instance.listener]]\nprotocol = \"{protocol}\"\nport = {port}\n\
             scheduler = \"{}\"\n\
             health_check = {{ {kind}, interval = \"1s\", timeout = \"1s\", healthy = 2, \
             unhealthy = {} }}\n{}\nbackends = [\n",
            self.scheduler,
            self.unhealthy,
            self.lines.join("\n")
        );
        for vip in [VIP_V4.into(), VIP_V6.into()] {
            for (host, share) in hosts.iter().zip(&self.shares) {
                let (weight, role) = match share {
                    Share::Absent => continue,
                    Share::Primary(weight) => (weight, "primary"),
                    Share::Backup(weight) => (weight, "backup"),
                };
                let endpoint = host.endpoint(vip, port_of(self.service));
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "  {{ address = \"{}\", port = {}, weight = {weight}, role = \"{role}\" }},",
                    endpoint.ip(),
                    endpoint.port()
                );
            }
        }
        text + "]\n"
    }
}

/// Where a server of a kind listens on its backend.
pub(crate) const fn port_of(service: Service) -> u16 {
    match service {
        Service::Http => 8080,
        Service::Name => 9000,
        Service::Echo => 5353,
    }
}

/// The configuration below `[daemon]` and `[dataplane]`: one instance, `shop`.
pub(crate) fn configuration(hosts: &[Host], listeners: &[Listener]) -> String {
    let listeners: String = listeners.iter().map(|one| one.text(hosts)).collect();
    format!("[[instance]]\nname = \"shop\"\nvips = [\"{VIP_V4}\", \"{VIP_V6}\"]\n\n{listeners}")
}

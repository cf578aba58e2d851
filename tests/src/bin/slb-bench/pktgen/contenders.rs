//! Who forwards: a program that only redirects, the balancer, IPVS, the kernel's routing. All of
//! them forward the same packets out of the same interface to the same counter.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Result};
use aya::programs::xdp::XdpMode;
use slb_tests::lab::{Lab, Slbd, VIP_V4};

use super::ground::{BACK, FRONT, Ground, HEALTH_PORT};
use crate::varied::{Sizes, Varied};

/// Ports of the listeners: the mode, and whether all features of layer 4 are on.
pub(super) const LISTENERS: [(&str, Features, u16); 4] = [
    ("nat", Features::None, 80),
    ("dr", Features::None, 81),
    ("tunnel", Features::None, 82),
    ("nat", Features::All, 83),
];
/// Services of IPVS: the mode, its option, the scheduler, the port.
pub(super) const SERVICES: [(&str, &str, &str, u16); 6] = [
    ("nat", "-m", "wrr", 90),
    ("dr", "-g", "wrr", 91),
    ("tunnel", "-i", "wrr", 92),
    ("nat", "-m", "sh", 93),
    ("dr", "-g", "sh", 94),
    ("tunnel", "-i", "sh", 95),
];
/// Entries of the access list, none of which is met.
const ACL: u8 = 250;

/// What a listener has beside its scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Features {
    None,
    /// An access list, limits and persistence.
    All,
}

/// A program that redirects to the backends' interface whatever comes.
pub(super) struct Bare {
    /// Detached with it.
    _program: Varied,
}

impl Bare {
    pub(super) fn attach(lab: &Lab) -> Result<Self> {
        let mut program = Varied::load(Sizes::flows(1))?;
        let attach = || {
            let interface = nix::net::if_::if_nametoindex(BACK)?;
            program.set_receiver(&slb_common::bench::Receiver { interface, ..Default::default() });
            program.program("bare_redirect")?.attach(FRONT, XdpMode::Driver)?;
            anyhow::Ok(())
        };
        lab.balancer.run(attach)?.context("attach the program that only redirects")?;
        Ok(Self { _program: program })
    }
}

/// The daemon has set everything up and has gone; the data plane stays.
pub(super) fn balancer(ground: &Ground) -> Result<Slbd> {
    let mut daemon = Slbd::start(&ground.lab, &configuration(ground))?;
    daemon.wait_for_status("every backend is healthy", Duration::from_secs(60), |status| {
        let listeners = status["instances"][0]["listeners"].as_array();
        let mut backends = listeners
            .into_iter()
            .flatten()
            .flat_map(|listener| listener["backends"].as_array().into_iter().flatten());
        backends.all(|backend| backend["health"] == "healthy")
    })?;
    daemon.stop()?;
    Ok(daemon)
}

fn configuration(ground: &Ground) -> String {
    let mut text = format!("[[instance]]\nname = \"lab\"\nvips = [\"{VIP_V4}\"]\n");
    for (mode, features, port) in LISTENERS {
        let backends: Vec<String> = ground
            .lab
            .backends
            .iter()
            .map(|host| format!("{{ address = \"{}\", port = {port} }}", host.v4))
            .collect();
        let _ = write!(
            text,
            "\n[[instance.listener]]\nprotocol = \"udp\"\nport = {port}\nmode = \"{mode}\"\n\
             established_timeout = \"900s\"\nbackends = [{}]\n\
             health_check = {{ type = \"tcp\", port = {HEALTH_PORT} }}\n",
            backends.join(", ")
        );
        if features == Features::All {
            let denied: Vec<String> =
                (0..ACL).map(|number| format!("\"172.16.{number}.0/24\"")).collect();
            let _ = write!(
                text,
                "acl = {{ deny = [{}] }}\npersistence = {{ timeout = \"300s\" }}\n\
                 limits = {{ max_connections = 50_000, cps = 1_000_000 }}\n",
                denied.join(", ")
            );
        }
    }
    text
}

/// IPVS with all its services; it is emptied with the namespace.
pub(super) fn ipvs(lab: &Lab) -> Result<()> {
    lab.balancer.ip_batch(&format!("addr replace {VIP_V4}/32 dev lo"))?;
    let run =
        |line: String| lab.balancer.output("ipvsadm", &line.split_whitespace().collect::<Vec<_>>());
    for (_, option, scheduler, port) in SERVICES {
        run(format!("-A -u {VIP_V4}:{port} -s {scheduler}"))?;
        for host in &lab.backends {
            run(format!("-a -u {VIP_V4}:{port} -r {}:{port} {option} -w 1", host.v4))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_contenders_share_a_port() {
        let ports = LISTENERS.iter().map(|listener| listener.2);
        let ports: HashSet<u16> = ports.chain(SERVICES.iter().map(|service| service.3)).collect();
        assert_eq!(ports.len(), LISTENERS.len() + SERVICES.len());
    }
}

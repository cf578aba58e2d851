//! Where the outer headers of tunnels come from.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use slb_common::vip::TunnelSource;

use super::state::State;
use crate::{
    config::model::{Config, Family, ForwardingMode},
    maps::words::words,
    network::{self, addresses, links::LinkTable},
};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// The outer sources, IPv4 and IPv6: as configured, else the first address of an interface of the
/// data plane.
pub(super) async fn sources(
    config: &Config,
    links: &LinkTable,
) -> Result<[TunnelSource; 2], network::Error> {
    let names = config.dataplane.interfaces.iter();
    let indexes: Vec<u32> = names.filter_map(|name| links.by_name(name)).map(|l| l.index).collect();
    let own = addresses::global(&network::connect()?, &indexes).await?;
    Ok(FAMILIES.map(|family| source(config, &own, family)))
}

fn source(config: &Config, own: &[IpAddr], family: Family) -> TunnelSource {
    let configured = config.dataplane.tunnel_source.iter();
    if let Some(network) = configured.into_iter().find(|net| Family::of(net.addr()) == family) {
        return TunnelSource {
            address: words(network.network()),
            spread: words(network.hostmask()),
        };
    }
    let vips: HashSet<IpAddr> =
        config.instances.iter().flat_map(|instance| instance.vips.iter().copied()).collect();
    let mut fitting =
        own.iter().filter(|address| Family::of(**address) == family && !vips.contains(address));
    let address = fitting.next().map_or([0; 2], |address| words(*address));
    TunnelSource { address, spread: [0; 2] }
}

/// Families that tunnels can come from.
pub(super) fn families(sources: &[TunnelSource; 2]) -> HashSet<Family> {
    let known = FAMILIES.into_iter().zip(sources).filter(|(_, source)| source.address != [0; 2]);
    known.map(|(family, _)| family).collect()
}

/// What keeps backends in tunnel mode out of use, in sentences.
fn problems(config: &Config, known: &HashSet<Family>) -> Vec<String> {
    let listeners = config.instances.iter().flat_map(|instance| &instance.listeners);
    let missing: BTreeSet<Family> = listeners
        .filter(|listener| listener.mode == ForwardingMode::Tunnel)
        .flat_map(|listener| &listener.backends)
        .map(|backend| Family::of(backend.address))
        .filter(|family| !known.contains(family))
        .collect();
    let interfaces = config.dataplane.interfaces.join(", ");
    let tell = |family| {
        format!(
            "tunnels to {family} backends have no source, so these are not used: no global \
             {family} address on {interfaces}; give it one, or set dataplane.tunnel_source"
        )
    };
    missing.into_iter().map(tell).collect()
}

impl State {
    /// Takes outer sources into use as they are now; returns what is wrong with them.
    pub(super) async fn follow_tunnel_sources(&mut self, links: &LinkTable) -> Vec<String> {
        match sources(&self.config, links).await {
            Ok(sources) => self.set_tunnel_sources(sources),
            // What is in use may still be right.
            Err(error) => return vec![format!("sources of tunnels: {error}")],
        }
        problems(&self.config, &self.circumstances.tunnels)
    }

    fn set_tunnel_sources(&mut self, sources: [TunnelSource; 2]) {
        let known = families(&sources);
        let before = std::mem::replace(&mut self.circumstances.tunnels, known);
        // First no new connections without a source, then no source; the other way round likewise.
        if before.difference(&self.circumstances.tunnels).next().is_some() {
            self.reconcile_or_log();
        }
        self.reconciler.set_tunnel_sources(sources);
        if self.circumstances.tunnels.difference(&before).next().is_some() {
            self.reconcile_or_log();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[dataplane]
interfaces = ["eth0", "eth1"]
[[instance]]
name = "shop"
vips = ["10.0.0.100"]
[[instance.listener]]
protocol = "tcp"
port = 80
mode = "tunnel"
backends = [{ address = "10.0.1.11" }, { address = "fd01::11" }]
"#;

    fn config(setting: &str) -> Config {
        let text = FILE.replace("\"eth1\"]", &format!("\"eth1\"]\n{setting}"));
        crate::config::load_str("test.toml", &text).expect("sound").config
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn without_a_setting_the_first_address_that_is_no_vip_is_the_source() {
        let own = ["10.0.0.100", "10.0.0.1", "10.0.1.1"].map(address);
        let [v4, v6] = FAMILIES.map(|family| source(&config(""), &own, family));
        assert_eq!(v4, TunnelSource { address: words(address("10.0.0.1")), spread: [0; 2] });
        assert_eq!(v6, TunnelSource::default());
        let known = families(&[v4, v6]);
        assert_eq!(known, [Family::V4].into());
        assert_eq!(
            problems(&config(""), &known),
            ["tunnels to IPv6 backends have no source, so these are not used: no global IPv6 \
                 address on eth0, eth1; give it one, or set dataplane.tunnel_source"]
        );
    }

    #[test]
    fn a_prefix_is_spread_over_and_a_single_address_is_not() {
        let both = config("tunnel_source = [\"192.0.2.16/28\", \"fd02::1\"]");
        let [v4, v6] = FAMILIES.map(|family| source(&both, &[], family));
        assert_eq!(v4.address, words(address("192.0.2.16")));
        assert_eq!(v4.spread, words(address("0.0.0.15")));
        assert_eq!(v6, TunnelSource { address: words(address("fd02::1")), spread: [0; 2] });
        assert_eq!(problems(&both, &families(&[v4, v6])), [""; 0]);
    }
}

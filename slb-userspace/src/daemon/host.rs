//! What the daemon keeps and sees on the host: VIPs on its interfaces, and how XDP runs on these.

use std::{collections::HashSet, net::IpAddr};

use super::state::State;
use crate::{
    api::InterfaceStatus,
    bpf::attach::Interface,
    config::model::{Config, VipOwner, XdpMode},
    network::{
        self,
        links::{LinkTable, XdpPlace},
        vips,
    },
    reconciler::Reconciler,
};

/// How often the host is looked at without any news.
pub(super) const INTERVAL: std::time::Duration = std::time::Duration::from_secs(30);

/// All interfaces of the host.
pub(super) async fn links() -> Result<LinkTable, network::Error> {
    LinkTable::read(&network::connect()?).await
}

/// An interface as it is now.
pub(super) fn interface<'n>(links: &LinkTable, name: &'n str) -> Interface<'n> {
    let link = links.by_name(name);
    let running = link.and_then(|link| link.xdp.first()).map(|program| match program.place {
        XdpPlace::Stack => XdpMode::Generic,
        XdpPlace::Driver | XdpPlace::Hardware => XdpMode::Native,
    });
    Interface { name, index: link.map(|link| link.index), running }
}

/// How XDP runs on the configured interfaces.
pub(super) fn attached(config: &Config, links: &LinkTable) -> (Vec<InterfaceStatus>, XdpMode) {
    let mut mode = XdpMode::Native;
    let names = &config.dataplane.interfaces;
    let interfaces = names.iter().map(|name| {
        let seen = interface(links, name);
        if seen.running == Some(XdpMode::Generic) {
            mode = XdpMode::Generic;
        }
        let problem = seen.index.is_none().then(|| format!("no interface is called `{name}`"));
        InterfaceStatus { name: name.clone(), attached: seen.running.is_some(), problem }
    });
    (interfaces.collect(), mode)
}

/// Indexes of the interfaces that frames may leave by: replies must come back where the program
/// sees them. The parent of a configured VLAN interface is one of them.
pub(super) fn own_interfaces(config: &Config, links: &LinkTable) -> HashSet<u32> {
    let names = config.dataplane.interfaces.iter();
    let indexes = names.filter_map(|name| links.by_name(name)).map(|link| link.index);
    indexes
        .flat_map(|index| {
            [Some(index), links.egress(index).ok().map(|to| to.interface)].into_iter().flatten()
        })
        .collect()
}

/// The program knows the host. It may run on no interface before: it would send replies to clients
/// on VLANs out of interfaces that XDP cannot send from.
pub(super) struct Told(());

/// Tells the program by what interfaces frames for VLANs leave, and by which addresses the host is
/// known: no daemon adopts the maps that say so.
pub(super) async fn tell(reconciler: &mut Reconciler, config: &Config, links: &LinkTable) -> Told {
    if let Err(error) = reconciler.set_vlan_egress(&links.vlan_egress()) {
        tracing::error!("VLAN interfaces of clients: {error}");
    }
    let vips = config.instances.iter().flat_map(|instance| instance.vips.iter().copied());
    let told = match network::own::addresses(links, &vips.collect()).await {
        Ok(own) => reconciler.set_own_addresses(&own).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = told {
        tracing::error!("the host's own addresses: {error}");
    }
    Told(())
}

impl State {
    /// Looks at the interfaces and puts VIPs where they belong; returns what is wrong. Nothing is
    /// done where all is as it should be.
    pub(super) async fn follow_host(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        match links().await {
            Ok(links) => {
                tell(&mut self.reconciler, &self.config, &links).await;
                self.look_at(&links);
                problems.extend(self.follow_tunnel_sources(&links).await);
            }
            Err(error) => problems.push(error.to_string()),
        }
        for interface in &self.interfaces {
            problems.extend(interface.problem.clone());
        }
        if self.config.dataplane.vip_owner == VipOwner::Host {
            problems.extend(self.sync_vips().await);
        }
        if problems != self.host_problems {
            for problem in &problems {
                tracing::error!("{problem}");
            }
            self.host_problems.clone_from(&problems);
        }
        problems
    }

    fn look_at(&mut self, links: &LinkTable) {
        (self.interfaces, self.xdp_mode) = attached(&self.config, links);
        let own = own_interfaces(&self.config, links);
        if own != self.own_interfaces {
            self.own_interfaces = own;
            self.sort_hops();
            self.reconcile_or_log();
        }
    }

    /// Puts VIPs and local addresses on the host; one that is not configured any more stays while
    /// its connections drain.
    async fn sync_vips(&mut self) -> Option<String> {
        let present: Vec<String> = self
            .interfaces
            .iter()
            .filter(|interface| interface.problem.is_none())
            .map(|interface| interface.name.clone())
            .collect();
        let wanted: HashSet<IpAddr> = self
            .config
            .instances
            .iter()
            .flat_map(|instance| instance.vips.iter().copied())
            .chain(self.reconciler.applied.vips.iter().copied())
            .chain(self.locals.iter().copied())
            .collect();
        let wanted: Vec<IpAddr> = wanted.into_iter().collect();
        match vips::sync(&present, &wanted).await {
            Ok(changes) => {
                changes.iter().for_each(|change| tracing::info!("{change}"));
                None
            }
            Err(error) => {
                let problem = format!("VIPs on the host: {error}");
                // Any interface would do for a VIP: the first one stands for all.
                if let Some(first) = self.interfaces.first_mut() {
                    first.problem.get_or_insert_with(|| problem.clone());
                }
                Some(problem)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::links::{Link, LinkKind, LinkState, VlanTag, XdpProgram};

    fn link(index: u32, name: &str, kind: LinkKind, place: Option<XdpPlace>) -> Link {
        let xdp = place.into_iter().map(|place| XdpProgram { id: 1, place }).collect();
        let (name, mac) = (name.to_owned(), Some([2; 6]));
        Link { index, name, mac, mtu: 1500, state: LinkState::Up, kind, xdp }
    }

    fn config(interfaces: &[&str]) -> Config {
        let text = "[dataplane]\ninterfaces = [\"eth0\"]\n";
        let mut config = crate::config::load_str("test.toml", text).expect("sound").config;
        config.dataplane.interfaces = interfaces.iter().map(ToString::to_string).collect();
        config
    }

    #[test]
    fn an_interface_that_is_not_there_is_told_and_the_others_are_as_they_are() {
        let links = [link(2, "eth0", LinkKind::Device, Some(XdpPlace::Stack))];
        let links: LinkTable = links.into_iter().collect();
        let (seen, mode) = attached(&config(&["eth9", "eth0"]), &links);
        assert_eq!(seen[0].problem.as_deref(), Some("no interface is called `eth9`"));
        assert!(!seen[0].attached && seen[1].attached && seen[1].problem.is_none());
        assert_eq!(mode, XdpMode::Generic);
    }

    #[test]
    fn frames_may_leave_by_configured_interfaces_and_parents_of_configured_vlans() {
        let vlan = LinkKind::Vlan { parent: Some(3), id: 7, tag: VlanTag::Customer };
        let links: LinkTable = [
            link(2, "eth0", LinkKind::Device, None),
            link(3, "eth1", LinkKind::Device, None),
            link(4, "eth1.7", vlan, None),
            link(5, "eth2", LinkKind::Device, None),
        ]
        .into_iter()
        .collect();
        assert_eq!(own_interfaces(&config(&["eth0", "eth1.7"]), &links), [2, 3, 4].into());
    }
}

//! Next hops, VIPs and the preflight against the kernel, in network namespaces of their own. They
//! need root, and fail without it.

// A test says by panicking what is wrong.
#![allow(clippy::unwrap_used)]

mod namespaces;

use std::{
    collections::HashSet,
    io::Write,
    net::IpAddr,
    time::{Duration, Instant},
};

use namespaces::{Pair, inside};
use slb_userspace::{
    network::{
        ClientHopChange, HopChange, Resolver, Unresolved,
        vips::{self, ChangeKind},
    },
    preflight::{self, Level},
};
use tokio::sync::mpsc;

/// Longer than the kernel asks for a neighbour before it gives up (three times one second).
const PATIENCE: Duration = Duration::from_secs(10);

struct Watched {
    resolver: Resolver,
    changes: mpsc::Receiver<HopChange>,
    client_changes: mpsc::Receiver<ClientHopChange>,
}

impl Watched {
    fn start(addresses: &[&str]) -> Self {
        let (sender, changes) = mpsc::channel(64);
        let (client_sender, client_changes) = mpsc::channel(64);
        let resolver = Resolver::start(sender, client_sender).unwrap();
        let watched = Self { resolver, changes, client_changes };
        watched.want(addresses);
        watched
    }

    fn want(&self, addresses: &[&str]) {
        let addresses: HashSet<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        self.resolver.set_addresses(addresses);
    }

    async fn next(&mut self) -> HopChange {
        tokio::time::timeout(PATIENCE, self.changes.recv()).await.expect("a change").unwrap()
    }

    async fn moved(&mut self) -> ([u8; 6], [u8; 6]) {
        let moved = async {
            loop {
                let change = self.client_changes.recv().await.unwrap();
                if let ClientHopChange::NeighbourMoved { old_mac, new_mac, .. } = change {
                    return (old_mac, new_mac);
                }
            }
        };
        tokio::time::timeout(PATIENCE, moved).await.expect("a neighbour that moved")
    }

    /// Waits until the reason why an address is not resolved is the one of that text.
    async fn reason(&self, address: &str, wanted: &str) {
        let address: IpAddr = address.parse().unwrap();
        let begin = Instant::now();
        loop {
            let reason = self.resolver.unresolved().get(&address).map(Unresolved::to_string);
            if reason.as_deref() == Some(wanted) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{address}: {reason:?}, not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_next_hop_of_a_backend_on_the_link_is_resolved_without_traffic_in_both_families() {
    let pair = Pair::new();
    let (here, there) = (pair.mac("lb", "eth1"), pair.mac("far", "eth0"));
    inside(&pair.balancer, async move || {
        let mut watched = Watched::start(&["10.55.0.2", "fd55::2"]);
        let (one, two) = (watched.next().await, watched.next().await);
        assert_eq!(
            HashSet::from([one.address, two.address]),
            [ip("10.55.0.2"), ip("fd55::2")].into()
        );
        for change in [one, two] {
            let hop = change.hop.unwrap();
            assert_eq!((hop.destination, hop.source, hop.vlan), (there, here, 0));
            assert_eq!(hop.interface, namespaces::index("eth1"));
            assert!(hop.usable());
        }
        assert_eq!(watched.resolver.snapshot().len(), 2);
        assert!(watched.resolver.unresolved().is_empty());
    });
}

#[test]
fn the_kernel_keeps_a_wanted_neighbour_fresh_and_an_unwanted_one_no_longer() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        let mut watched = Watched::start(&["10.55.0.2"]);
        watched.next().await;
        assert!(namespaces::run("ip -d neigh show").contains("managed"));
        watched.want(&[]);
        let begin = Instant::now();
        while namespaces::run("ip -d neigh show").contains("managed") {
            assert!(begin.elapsed() < PATIENCE, "the neighbour stays managed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(watched.resolver.snapshot().is_empty());
    });
}

#[test]
fn a_daemon_that_starts_anew_releases_what_its_predecessor_had_managed() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        let mut first = Watched::start(&["10.55.0.2"]);
        first.next().await;
        drop(first);
        assert!(namespaces::run("ip -d neigh show").contains("managed"));
        let mut second = Watched::start(&["fd55::2"]);
        second.next().await;
        assert!(!namespaces::run("ip -d -4 neigh show").contains("managed"));
    });
}

#[test]
fn a_neighbour_that_the_operator_wrote_stays_as_it_is() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        namespaces::run("ip neigh add 10.55.0.9 lladdr 02:00:00:00:00:09 dev eth1");
        let mut watched = Watched::start(&["10.55.0.9"]);
        assert_eq!(watched.next().await.hop.unwrap().destination, [2, 0, 0, 0, 0, 9]);
        assert!(namespaces::run("ip neigh show 10.55.0.9").contains("PERMANENT"));
        watched.want(&[]);
        watched.want(&["10.55.0.2"]);
        watched.next().await;
        assert!(namespaces::run("ip neigh show 10.55.0.9").contains("PERMANENT"));
    });
}

#[test]
fn a_backend_with_a_new_mac_is_followed_and_told_for_clients_too() {
    let pair = Pair::new();
    let old = pair.mac("far", "eth0");
    let new = [2, 0, 0, 0, 0, 0x77];
    let far = pair.far.name().to_string();
    inside(&pair.balancer, async move || {
        let mut watched = Watched::start(&["10.55.0.2"]);
        assert_eq!(watched.next().await.hop.unwrap().destination, old);
        namespaces::run(&format!("ip -n {far} link set dev eth0 address 02:00:00:00:00:77"));
        // The backend speaks, as a real one does: we learn its new address from its request.
        namespaces::run(&format!("ip -n {far} neigh flush dev eth0"));
        namespaces::send_from(&far, "10.55.0.1:9");
        assert_eq!(watched.moved().await, (old, new));
        assert_eq!(watched.next().await.hop.unwrap().destination, new);
    });
}

#[test]
fn a_backend_that_is_gone_loses_its_next_hop_and_gets_it_again() {
    let pair = Pair::new();
    let far = pair.far.name().to_string();
    inside(&pair.balancer, async move || {
        let mut watched = Watched::start(&["10.55.0.2"]);
        assert!(watched.next().await.hop.is_some());
        namespaces::run(&format!("ip -n {far} link set eth0 down"));
        let lost = watched.next().await;
        assert_eq!((lost.address, lost.hop), (ip("10.55.0.2"), None));
        watched.reason("10.55.0.2", "eth1 has no carrier").await;
        namespaces::run(&format!("ip -n {far} link set eth0 up"));
        assert!(watched.next().await.hop.is_some());
    });
}

#[test]
fn a_backend_that_never_answers_says_so() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        let watched = Watched::start(&["10.55.0.99"]);
        watched.reason("10.55.0.99", "asking for neighbour 10.55.0.99 on eth1").await;
        watched.reason("10.55.0.99", "no neighbour answer from 10.55.0.99 on eth1").await;
        assert!(watched.resolver.snapshot().is_empty());
    });
}

#[test]
fn a_backend_without_route_or_on_this_host_says_so() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        let watched = Watched::start(&["192.0.2.1", "2001:db8::1", "10.55.0.1"]);
        watched.reason("192.0.2.1", "no route to host").await;
        watched.reason("2001:db8::1", "no route to host").await;
        watched.reason("10.55.0.1", "it is an address of this host").await;
    });
}

#[test]
fn a_route_that_comes_and_goes_is_followed() {
    let pair = Pair::new();
    let router = pair.mac("far", "eth0");
    inside(&pair.balancer, async move || {
        let mut watched = Watched::start(&["192.0.2.1"]);
        watched.reason("192.0.2.1", "no route to host").await;
        namespaces::run("ip route add 192.0.2.0/24 via 10.55.0.2");
        assert_eq!(watched.next().await.hop.unwrap().destination, router);
        namespaces::run("ip route del 192.0.2.0/24");
        assert_eq!(watched.next().await.hop, None);
        namespaces::run("ip route add 192.0.2.0/24 via inet6 fd55::2");
        assert_eq!(watched.next().await.hop.unwrap().destination, router);
        // The kernel does not tell this one: the route goes with the interface's address.
        namespaces::run("ip link set eth1 down");
        assert_eq!(watched.next().await.hop, None);
    });
}

#[test]
fn news_that_were_lost_are_made_up_for() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        let mut watched = Watched::start(&["10.55.0.2"]);
        assert!(watched.next().await.hop.is_some());
        // Nobody reads while this thread waits for the commands: the socket overflows with routes,
        // and the kernel drops what it tells of the neighbour after them.
        let routes =
            (0..10_000).map(|n| format!("route add 192.0.2.1 via 10.55.0.2 table {}\n", 1_000 + n));
        let mut batch = tempfile::NamedTempFile::new().unwrap();
        batch.write_all(routes.collect::<String>().as_bytes()).unwrap();
        namespaces::run(&format!("ip -batch {}", batch.path().display()));
        namespaces::run("ip neigh replace 10.55.0.2 lladdr 02:00:00:00:00:88 dev eth1");
        assert_eq!(watched.next().await.hop.unwrap().destination, [2, 0, 0, 0, 0, 0x88]);
    });
}

#[test]
fn a_new_mac_of_our_own_interface_is_followed() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        let mut watched = Watched::start(&["10.55.0.2"]);
        watched.next().await;
        namespaces::run("ip link set dev eth1 address 02:00:00:00:00:55");
        loop {
            if let Some(hop) = watched.next().await.hop
                && hop.source == [2, 0, 0, 0, 0, 0x55]
            {
                return;
            }
        }
    });
}

#[test]
fn vips_are_added_once_known_as_ours_and_removed() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        let interfaces = ["lo".to_string(), "eth1".to_string()];
        let wanted = [ip("10.55.0.100"), ip("fd55::100")];
        let added = vips::sync(&interfaces, &wanted).await.unwrap();
        assert_eq!(added.len(), 2);
        assert!(added.iter().all(|c| c.kind == ChangeKind::Added && c.interface == "eth1"));
        let shown = namespaces::run("ip -d addr show dev eth1");
        assert!(shown.contains("inet 10.55.0.100/32 scope global eth1"), "{shown}");
        // Not waiting for duplicates, and never the source of the host's own connections.
        let vip = shown.lines().find(|line| line.contains("inet6 fd55::100/128")).unwrap();
        assert!(vip.contains("nodad") && vip.contains("deprecated"), "{vip}");
        assert!(!vip.contains("tentative"), "{vip}");

        // Another run, as after a restart, knows them by the mark that the kernel keeps.
        assert!(vips::sync(&interfaces, &wanted).await.unwrap().is_empty());
        let removed = vips::sync(&interfaces, &wanted[..1]).await.unwrap();
        assert_eq!(removed.len(), 1);
        assert_eq!((removed[0].kind, removed[0].address), (ChangeKind::Removed, ip("fd55::100")));
        assert_eq!(vips::remove_all().await.unwrap().len(), 1);
        let shown = namespaces::run("ip addr show dev eth1");
        assert!(!shown.contains("100/"), "{shown}");
        assert!(shown.contains("10.55.0.1/24") && shown.contains("fd55::1/64"), "{shown}");
    });
}

#[test]
fn an_address_that_somebody_else_added_is_left_alone() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        namespaces::run("ip addr add 10.55.0.100/32 dev lo");
        namespaces::run("ip -6 addr add fd55::100/128 dev eth1 nodad");
        let wanted = [ip("10.55.0.100"), ip("fd55::100")];
        assert!(vips::sync(&["eth1".into()], &wanted).await.unwrap().is_empty());
        assert!(vips::remove_all().await.unwrap().is_empty());
        assert!(namespaces::run("ip addr show").contains("10.55.0.100/32"));
        assert!(namespaces::run("ip addr show").contains("fd55::100/128"));
    });
}

#[test]
fn a_vip_answers_arp_ndp_and_echo_from_the_far_end() {
    let pair = Pair::new();
    let far = pair.far.name().to_string();
    inside(&pair.balancer, async move || {
        let wanted = [ip("10.55.0.100"), ip("fd55::100")];
        vips::sync(&["eth1".into()], &wanted).await.unwrap();
        for vip in wanted {
            namespaces::answers(&far, vip);
        }
    });
}

#[test]
fn a_dataplane_interface_that_is_not_there_is_named() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        let error = vips::sync(&["eth7".into()], &[ip("10.55.0.100")]).await.unwrap_err();
        assert_eq!(error.to_string(), "no interface is called `eth7`");
    });
}

/// The findings about interfaces of a preflight in this thread's namespace.
fn preflight(interfaces: &[&str]) -> Vec<preflight::Finding> {
    let text = format!(
        "[dataplane]\ninterfaces = {interfaces:?}\n\
         [[instance]]\nname = \"shop\"\nvips = [\"10.55.0.100\"]\n\
         [[instance.listener]]\nprotocol = \"tcp\"\nport = 80\n\
         backends = [{{ address = \"10.55.0.2\", port = 80 }}]\n"
    );
    let config = slb_userspace::config::load_str("slb.toml", &text).unwrap().config;
    preflight::run(&config, 1 << 20)
}

fn finding<'a>(findings: &'a [preflight::Finding], what: &str) -> &'a preflight::Finding {
    findings.iter().find(|finding| finding.what == what).unwrap_or_else(|| {
        panic!("nothing is said of {what}:\n{}", preflight::text(findings));
    })
}

#[test]
fn preflight_passes_an_interface_that_is_up_and_reads_its_driver() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        namespaces::run("ethtool -K eth1 gro on");
        namespaces::run(
            "sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=1",
        );
        let findings = preflight(&["eth1"]);
        let text = preflight::text(&findings);
        assert_eq!(preflight::exit_code(&findings), 0, "{text}");
        assert_eq!(finding(&findings, "eth1: state").level, Level::Ok);
        assert_eq!(finding(&findings, "eth1: kind").evidence, "veth");
        assert_eq!(finding(&findings, "eth1: VLAN offload").level, Level::Ok);
        assert!(finding(&findings, "eth1: VLAN offload").evidence.starts_with("on;"));
        assert_eq!(finding(&findings, "eth1: rp_filter").level, Level::Warning);
        let driver = finding(&findings, "eth1: XDP in the driver");
        assert!(!driver.evidence.contains("missing: basic"), "{text}");
        assert_eq!(finding(&findings, "kernel").level, Level::Ok);
        assert_eq!(finding(&findings, "capabilities").level, Level::Ok);
    });
}

#[test]
fn preflight_knows_when_a_veth_would_lose_redirected_frames() {
    let pair = Pair::new();
    let far = pair.far.name().to_string();
    inside(&pair.balancer, async move || {
        let driver = || finding(&preflight(&["eth1"]), "eth1: XDP in the driver").clone();
        assert_eq!(driver().level, Level::Warning);
        assert!(driver().evidence.contains("frames redirected to it are lost"));
        namespaces::run(&format!("nsenter --net=/run/netns/{far} ethtool -K eth0 gro on"));
        assert_eq!(driver().evidence, "basic, redirect, transmit of redirected frames");
    });
}

#[test]
fn preflight_fails_an_interface_that_is_down_missing_or_without_xdp() {
    let pair = Pair::new();
    inside(&pair.balancer, async || {
        namespaces::run("ip link set eth1 down");
        let findings = preflight(&["eth1", "eth7", "lo"]);
        assert_eq!(preflight::exit_code(&findings), 1);
        let state = finding(&findings, "eth1: state");
        assert_eq!((state.level, state.evidence.as_str()), (Level::Failure, "down"));
        assert_eq!(state.mend.as_deref(), Some("ip link set dev eth1 up"));
        let missing = finding(&findings, "eth7");
        assert_eq!(missing.level, Level::Failure);
        assert!(missing.evidence.contains("no interface is called `eth7`; there are lo, eth1"));
        assert_eq!(finding(&findings, "lo: XDP in the driver").level, Level::Warning);
    });
}

//! What a legal file means.

use std::{net::IpAddr, path::Path, time::Duration};

mod layer4;
mod networks;

use super::{VALID, accepted, changed};
use crate::config::{load, model::*};

/// The file of the design, without the keys that this version refuses.
const DESIGN: &str = r#"
[daemon]
socket = "/run/slb/slb.sock"      # API for the command line
state_dir = "/var/lib/slb"

[dataplane]
interfaces = ["eth0", "eth1"]     # XDP attaches to each
xdp_mode = "auto"                 # auto | native | generic
max_connections = 1_000_000       # capacity of the connection table
pin_dir = "/sys/fs/bpf/slb"
local_addresses = ["100.64.0.0/28"]   # fullnat only; sockets of this host never use them

[[server_group]]
name = "web"
backends = [
  { address = "10.0.1.11", port = 8080, weight = 100 },
  { address = "10.0.1.12", port = 8080, weight = 50 },
  { address = "10.0.1.13", port = 8080, role = "backup" },
  { address = "fd01::11", port = 8080, weight = 100 },   # serves the IPv6 VIP
]

[[instance]]
name = "shop"
vips = ["10.0.0.100", "fd00::100"]
specification = "slb.s2.medium"

[[instance.listener]]
protocol = "tcp"
port = 80
mode = "nat"
scheduler = "wrr"
persistence = { timeout = "300s", netmask = 32 }
established_timeout = "900s"
server_group = "web"
health_check = { type = "http", path = "/healthz", interval = "2s", timeout = "5s", healthy = 3, unhealthy = 3, codes = ["2xx", "3xx"] }
limits = { max_connections = 10000, cps = 1000 }
bandwidth = { in = "1Gbit", out = "1Gbit" }
acl = { allow = ["10.0.0.0/8", "fd00::/8"] }
"#;

fn backend(address: &str, weight: u16, role: Role) -> Backend {
    let address = address.parse().unwrap();
    let limits = BackendLimits { max_connections: None, cps: None };
    Backend { address, port: 8080, maps_ports: false, weight, role, limits, server_id: None }
}

#[test]
fn the_design_example_parses_to_the_model_it_describes() {
    let checked = accepted(DESIGN);
    let listener = Listener {
        protocol: Protocol::Tcp,
        port: 80,
        last_port: 80,
        mode: ForwardingMode::Nat,
        scheduler: Scheduler::Wrr,
        slow_start: None,
        persistence: Some(Persistence {
            timeout: Duration::from_secs(300),
            netmask: 32,
            netmask6: 128,
            shared: None,
        }),
        timeouts: Timeouts {
            established: Duration::from_secs(900),
            syn: Duration::from_secs(30),
            fin: Duration::from_secs(60),
            time_wait: Duration::from_secs(60),
        },
        drain_timeout: Duration::from_secs(300),
        on_backend_down: OnBackendDown::Keep,
        one_packet: false,
        tcp_timestamps: TcpTimestamps::Auto,
        mss_clamp: MssClamp::Off,
        limits: Limits {
            max_connections: Some(10_000),
            cps: Some(1000),
            client: None,
            shadow: false,
        },
        bandwidth: Bandwidth { inbound: Some(1_000_000_000), outbound: Some(1_000_000_000) },
        acl: Some(Acl {
            kind: AclKind::Allow,
            networks: ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()].into(),
        }),
        syn_defence: SynDefence {
            mode: SynDefenceMode::Auto,
            threshold: 10_000,
            exempt: [].into(),
        },
        no_backend: NoBackend::Reset,
        adopt: false,
        health_check: HealthCheck {
            kind: CheckKind::Http(HttpCheck {
                method: HttpMethod::Get,
                path: "/healthz".to_owned(),
                domain: String::new(),
                codes: vec![2, 3],
            }),
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            healthy: 3,
            unhealthy: 3,
            port: None,
        },
        enabled: true,
        server_group: Some("web".to_owned()),
        backends: vec![
            backend("10.0.1.11", 100, Role::Primary),
            backend("10.0.1.12", 50, Role::Primary),
            backend("10.0.1.13", 100, Role::Backup),
            backend("fd01::11", 100, Role::Primary),
        ],
    };
    let config = Config {
        daemon: DaemonSettings {
            socket: "/run/slb/slb.sock".into(),
            state_dir: "/var/lib/slb".into(),
        },
        dataplane: DataplaneSettings {
            interfaces: vec!["eth0".to_owned(), "eth1".to_owned()],
            xdp_mode: XdpMode::Auto,
            max_connections: 1_000_000,
            max_connections_v6: 1_000_000,
            max_backends: 16_384,
            ring_slots: 4_194_304,
            pin_dir: "/sys/fs/bpf/slb".into(),
            vip_owner: VipOwner::Host,
            local_addresses: vec!["100.64.0.0/28".parse().unwrap()],
            tunnel_source: Vec::new(),
            max_templates: 262_144,
            max_fragments: 16_384,
            max_acl_entries: 200_000,
            cookie_key_file: None,
        },
        instances: vec![Instance {
            name: "shop".to_owned(),
            vips: ["10.0.0.100", "fd00::100"].map(|vip| vip.parse::<IpAddr>().unwrap()).to_vec(),
            specification: Specification {
                name: "slb.s2.medium".to_owned(),
                max_connections: Some(100_000),
                cps: Some(10_000),
                qps: Some(10_000),
            },
            bandwidth: Bandwidth { inbound: None, outbound: None },
            blackhole: None,
            enabled: true,
            listeners: vec![listener],
        }],
    };
    assert_eq!(checked.config, config);
    assert_eq!(checked.warnings, []);
}

#[test]
fn a_file_on_disk_is_loaded_and_its_name_stands_in_its_findings() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("slb.toml");
    std::fs::write(&path, VALID).unwrap();
    assert_eq!(load(&path).unwrap(), accepted(VALID));
    std::fs::write(&path, "x").unwrap();
    assert!(load(&path).unwrap_err().to_string().starts_with(&format!("{}:1:", path.display())));
}

#[test]
fn a_file_that_is_not_there_is_told_from_one_that_is_wrong() {
    let found = load(Path::new("/nowhere/slb.toml")).unwrap_err();
    assert!(found.file_unreadable());
    assert!(found.to_string().starts_with("/nowhere/slb.toml: error: cannot be read: "), "{found}");
    assert!(!super::load_str("slb.toml", "").unwrap_err().file_unreadable());
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_at_its_first_wrong_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("slb.toml");
    std::fs::write(&path, b"[daemon]\n# caf\xe9 \xff\n").unwrap();
    let found = load(&path).unwrap_err();
    assert!(!found.file_unreadable());
    let shown = found.to_string();
    assert!(shown.contains(":2:6: error: not valid TOML: not UTF-8"), "{shown}");
}

#[test]
fn ipv6_connections_follow_ipv4_only_if_a_vip_is_ipv6() {
    let v4 = accepted(&changed("max_backends = 64", "max_connections = 2_000"));
    assert_eq!(v4.config.dataplane.max_connections, 2_000);
    assert_eq!(v4.config.dataplane.max_connections_v6, 65_536);
    let v6 = accepted(&DESIGN.replace("1_000_000", "3_000"));
    assert_eq!(v6.config.dataplane.max_connections_v6, 3_000);
    let own = accepted(&DESIGN.replace("1_000_000", "3_000\nmax_connections_v6 = 4_000"));
    assert_eq!(own.config.dataplane.max_connections_v6, 4_000);
}

#[test]
fn a_udp_flow_is_idle_for_90_seconds_by_default() {
    let config = accepted(VALID).config;
    let listeners = &config.instances[0].listeners;
    assert_eq!(listeners[0].timeouts.established, Duration::from_secs(900));
    assert_eq!(listeners[1].timeouts.established, Duration::from_secs(90));
}

#[test]
fn a_tcp_listener_without_a_health_check_is_checked_by_handshake() {
    let text =
        changed("health_check = { type = \"http\", path = \"/healthz\", interval = \"2s\" }\n", "");
    let check = &accepted(&text).config.instances[0].listeners[0].health_check;
    assert_eq!(check.kind, CheckKind::Tcp);
    assert_eq!((check.healthy, check.unhealthy, check.port), (3, 3, None));
}

#[test]
fn the_codes_of_a_health_check_are_sorted_and_none_stands_twice() {
    let text = changed("path = \"/healthz\"", "codes = [\"4xx\", \"2xx\", \"4xx\"]");
    let check = &accepted(&text).config.instances[0].listeners[0].health_check;
    let CheckKind::Http(http) = &check.kind else { panic!("{check:?}") };
    assert_eq!((http.path.as_str(), http.codes.as_slice()), ("/", [2, 4].as_slice()));
}

#[test]
fn the_same_port_can_have_a_tcp_and_a_udp_listener() {
    let config = accepted(&changed("port = 80\n", "port = 53\n")).config;
    assert_eq!(config.instances[0].listeners[0].port, config.instances[0].listeners[1].port);
}

#[test]
fn two_ports_of_one_protocol_are_two_listeners() {
    let text = VALID.to_owned()
        + "[[instance.listener]]\nprotocol = \"tcp\"\nport = 81\nserver_group = \"web\"\n";
    let ports = accepted(&text).config.instances.remove(0).listeners;
    assert_eq!(ports.iter().map(|listener| listener.port).collect::<Vec<_>>(), [80, 53, 81]);
}

#[test]
fn integers_may_be_written_with_underscores_and_in_other_bases() {
    let config = accepted(&changed("max_backends = 64", "max_backends = 0x1_000")).config;
    assert_eq!(config.dataplane.max_backends, 4096);
}

#[test]
fn the_edges_of_every_range_are_inside_it() {
    for (old, new) in [
        ("established_timeout = \"900s\"", "established_timeout = \"10s\""),
        ("interval = \"2s\"", "interval = \"1s\", timeout = \"300s\", healthy = 2, unhealthy = 10"),
        ("interval = \"2s\"", "interval = \"50s\", timeout = \"1s\", healthy = 10, unhealthy = 2"),
        ("port = 80\n", "port = 65535\nsyn_timeout = \"1s\"\nfin_timeout = \"300s\"\n"),
        ("port = 80\n", "port = 1\nsyn_timeout = \"60s\"\ntime_wait_timeout = \"1s\"\n"),
        ("weight = 50", "weight = 0"),
    ] {
        assert_eq!(accepted(&changed(old, new)).warnings, [], "{new}");
    }
}

#[test]
fn slow_start_and_server_ids_are_read_and_absent_if_left_out() {
    let text = DESIGN
        .replace("scheduler = \"wrr\"", "scheduler = \"wrr\"\nslow_start = \"90s\"")
        .replacen("port = 8080", "port = 8080, server_id = 258", 1);
    let config = accepted(&text).config;
    let listener = &config.instances[0].listeners[0];
    assert_eq!(listener.slow_start, Some(Duration::from_secs(90)));
    let ids: Vec<_> = listener.backends.iter().map(|backend| backend.server_id).collect();
    assert_eq!((ids[0], ids[1]), (Some(258), None));
}

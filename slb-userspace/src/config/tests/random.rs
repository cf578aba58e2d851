//! Texts that nobody would write on purpose.

use proptest::prelude::*;

use super::{VALID, load_str};
use crate::config::model::*;

/// A file with every table of layer 4 in it.
const LAYER_4: &str = concat!(
    r#"[dataplane]
interfaces = ["eth0"]
local_addresses = ["100.64.0.0/28", "fd64::/124"]
tunnel_source = ["192.0.2.0/24", "fd09::1"]
max_templates = 4096
max_fragments = 4096
max_acl_entries = 4096
cookie_key_file = ""#,
    env!("CARGO_MANIFEST_DIR"),
    r#"/src/config/tests/cookie.key"
[[server_group]]
name = "web"
backends = [
  { address = "10.0.1.11", limits = { max_connections = 10, cps = 5 } },
  { address = "fd01::11", weight = 50 },
]
[[instance]]
name = "shop"
vips = ["10.0.0.100", "fd00::100"]
specification = { max_connections = 1000, cps = 100, qps = 7 }
bandwidth = { in = "10Gbit", out = "1Gbit" }
blackhole = { pps = 1000, bps = "1Gbit", duration = "60s" }
[[instance.listener]]
protocol = "tcp"
port = 80
mode = "fullnat"
slow_start = "30s"
persistence = { timeout = "300s", netmask = 24, netmask6 = 64, shared = "a" }
drain_timeout = "0s"
on_backend_down = "reset"
tcp_timestamps = "strip"
mss_clamp = 1400
limits = { max_connections = 5, cps = 5, client = { cps = 1, netmask = 8 }, shadow = true }
bandwidth = { in = "1Mbit" }
acl = { deny = ["10.0.0.0/8", "fd00::/8"] }
syn_defence = { mode = "always", threshold = 7, exempt = ["192.0.2.1"] }
no_backend = "drop"
adopt = true
server_group = "web"
[[instance.listener]]
protocol = "udp"
port = "8000-8100"
mode = "tunnel"
one_packet = true
server_group = "web"
health_check = { type = "tcp", port = 53 }
"#
);

/// Lines of a listener, which may or may not fit together.
const LINES: [&str; 27] = [
    "mode = \"dr\"",
    "mode = \"tunnel\"",
    "mode = \"fullnat\"",
    "scheduler = \"wlc\"",
    "scheduler = \"rr\"",
    "slow_start = \"1s\"",
    "persistence = {}",
    "persistence = { shared = \"a\", netmask = 1 }",
    "drain_timeout = \"900s\"",
    "on_backend_down = \"reset\"",
    "one_packet = true",
    "tcp_timestamps = \"keep\"",
    "mss_clamp = \"auto\"",
    "mss_clamp = 9000",
    "limits = { cps = 1, client = { max_connections = 64_000_001 } }",
    "limits = { shadow = true }",
    "bandwidth = { out = \"1Mbit\" }",
    "bandwidth = { in = \"100Gbit\" }",
    "acl = { allow = [] }",
    "acl = { deny = [\"::/0\", \"0.0.0.0/0\"] }",
    "acl = { allow = [], file = \"/dev/null\" }",
    "syn_defence = { exempt = [\"10.0.0.1/31\"] }",
    "no_backend = \"drop\"",
    "adopt = false",
    "server_group = \"web\"",
    "backends = [{ address = \"10.0.1.1\", port = 80 }]",
    "backends = [{ address = \"fd01::1\" }, { address = \"10.0.1.1\", limits = { cps = 1 } }]",
];

/// What the rest of the daemon relies on without asking again.
fn is_legal(config: &Config) {
    let local: u32 = config
        .dataplane
        .local_addresses
        .iter()
        .map(|one| 1_u32 << u32::from(one.max_prefix_len() - one.prefix_len()).min(31))
        .sum();
    assert!(local <= 4096);
    for instance in &config.instances {
        for (at, one) in instance.listeners.iter().enumerate() {
            listener_is_legal(config, instance, one);
            for other in &instance.listeners[..at] {
                let apart = one.last_port < other.port || other.last_port < one.port;
                assert!(apart || one.protocol != other.protocol);
                let shared =
                    |one: &Listener| one.persistence.clone().filter(|p| p.shared.is_some());
                if let (Some(a), Some(b)) = (shared(one), shared(other)) {
                    assert!(a == b || a.shared != b.shared);
                }
            }
        }
    }
}

fn listener_is_legal(config: &Config, instance: &Instance, one: &Listener) {
    assert!(0 < one.port && one.port <= one.last_port);
    let sees_replies = matches!(one.mode, ForwardingMode::Nat | ForwardingMode::FullNat);
    assert!(sees_replies || one.bandwidth.outbound.is_none());
    assert!(one.mss_clamp != MssClamp::Auto || one.mode == ForwardingMode::Tunnel);
    if let MssClamp::Value(value) = one.mss_clamp {
        assert!((536..=9000).contains(&value));
    }
    if one.one_packet {
        assert!(one.protocol == Protocol::Udp && one.persistence.is_none());
        assert!(one.mode != ForwardingMode::FullNat);
    }
    assert!(one.acl.as_ref().is_none_or(|acl| acl.networks.len() <= 50_000));
    for (at, backend) in one.backends.iter().enumerate() {
        let twice = |other: &Backend| other.endpoint() == backend.endpoint();
        assert!(!one.backends[..at].iter().any(twice));
        assert!(!instance.vips.contains(&backend.address));
        assert!(!backend.maps_ports || backend.port == one.port && one.port < one.last_port);
        assert!(sees_replies || backend.maps_ports || one.port == one.last_port);
        assert!(sees_replies || backend.port == one.port);
        assert!(backend.limits.cps != Some(0) && backend.limits.max_connections != Some(0));
        let mut local = config.dataplane.local_addresses.iter();
        assert!(!local.clone().any(|local| local.contains(&backend.address)));
        assert!(
            one.mode != ForwardingMode::FullNat
                || local.any(|local| local.addr().is_ipv4() == backend.address.is_ipv4())
        );
    }
}

/// Pieces that get further into the checks than random characters do.
const PIECES: [&str; 32] = [
    "[daemon]\n",
    "[dataplane]\n",
    "[[instance]]\n",
    "[[instance.listener]]\n",
    "[instance]\n",
    "[[server_group]]\n",
    "backends = [",
    "health_check = {",
    "}",
    "]",
    "port = ",
    "vips = ",
    "\"10.0.0.1\"",
    "\"::1\"",
    "\"1s\"",
    "-1",
    "99999999999999999999999",
    "0x",
    "1.5e9",
    "true",
    "\n",
    ", ",
    "é\u{1F980}",
    "\"\\u0000\"",
    "\"1-65535\"",
    "\"10.0.0.0/8\"",
    "\"fd64::/0\"",
    "\"1Gbit\"",
    "limits = {",
    "acl = { allow = [",
    "persistence = {",
    "shared = \"a\"",
];

/// Checks a text; shows everything that was found, as a terminal and as a program would get it.
fn check(text: &str) {
    match load_str("slb.toml", text) {
        Ok(checked) => {
            is_legal(&checked.config);
            for warning in checked.warnings {
                let _ = warning.to_string();
            }
        }
        Err(found) => {
            assert!(found.errors() > 0);
            assert!(!found.to_string().contains('\u{1b}'));
            assert!(
                found.iter().all(|one| one.position.is_some_and(|at| at.line <= text.len() + 1))
            );
            let _ = serde_json::to_string(&found).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn random_text_never_panics(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn random_pieces_of_a_file_never_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES.as_slice()), 0..40),
    ) {
        check(&pieces.concat());
    }

    #[test]
    fn a_valid_file_with_random_changes_never_panics(
        file in prop::sample::select([VALID, LAYER_4].as_slice()),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0usize..12, prop::sample::select(PIECES.as_slice())),
            1..8,
        ),
    ) {
        let mut text = file.to_owned();
        for (at, removed, inserted) in changes {
            let starts: Vec<usize> = text.char_indices().map(|(start, _)| start).collect();
            let first = at.index(starts.len());
            let start = starts[first];
            let end = starts.get(first + removed).copied().unwrap_or(text.len());
            text.replace_range(start..end, inserted);
            if text.is_empty() {
                break;
            }
        }
        check(&text);
    }

    #[test]
    fn listeners_of_random_lines_are_refused_or_legal(
        listeners in prop::collection::vec(
            (
                prop::sample::select(["tcp", "udp"].as_slice()),
                prop::sample::select(["80", "81", "\"79-80\"", "\"1-65535\""].as_slice()),
                prop::sample::subsequence(LINES.as_slice(), 0..6),
            ),
            1..3,
        ),
    ) {
        let head = LAYER_4.split("[[instance.listener]]").next().unwrap_or_default();
        let mut text = head.to_owned();
        for (protocol, port, lines) in listeners {
            let lines = lines.join("\n");
            text += &format!(
                "[[instance.listener]]\nprotocol = \"{protocol}\"\nport = {port}\n\
                 health_check = {{ type = \"tcp\", port = 53 }}\n{lines}\n"
            );
        }
        check(&text);
    }

    #[test]
    fn a_valid_file_with_random_bytes_in_it_never_panics(
        at in any::<prop::sample::Index>(),
        character in any::<char>(),
    ) {
        let mut text = VALID.to_owned();
        text.insert(at.index(VALID.len()), character);
        check(&text);
    }
}

#[test]
fn a_file_cut_off_anywhere_never_panics() {
    for file in [VALID, LAYER_4] {
        for end in 0..file.len() {
            check(&file[..end]);
        }
    }
}

#[test]
fn the_file_of_layer_4_is_accepted_and_legal() {
    is_legal(&super::accepted(LAYER_4).config);
}

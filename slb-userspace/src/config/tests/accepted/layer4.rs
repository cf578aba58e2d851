//! Listeners, backends and limits of layer 4.

use std::time::Duration;

use crate::config::{
    model::*,
    tests::{VALID, accepted, changed},
};

/// The tcp listener of the valid file with lines added to it.
fn with(lines: &str) -> Listener {
    let text = changed("mode = \"nat\"\n", &format!("{lines}\n"));
    let checked = accepted(&text);
    assert_eq!(checked.warnings, [], "{text}");
    checked.config.instances[0].listeners[0].clone()
}

/// The udp listener of the valid file with lines added to it.
fn udp_with(lines: &str) -> Listener {
    let text = changed("port = 53\nbackends", &format!("port = 53\n{lines}\nbackends"));
    let checked = accepted(&text);
    assert_eq!(checked.warnings, [], "{text}");
    checked.config.instances[0].listeners[1].clone()
}

fn instance_with(line: &str) -> Instance {
    let text = changed("vips = [\"10.0.0.100\"]\n", &format!("vips = [\"10.0.0.100\"]\n{line}\n"));
    let checked = accepted(&text);
    assert_eq!(checked.warnings, [], "{text}");
    checked.config.instances[0].clone()
}

#[test]
fn every_setting_of_a_listener_can_be_left_out() {
    let listener = with("");
    assert_eq!((listener.port, listener.last_port), (80, 80));
    assert_eq!(listener.mode, ForwardingMode::Nat);
    assert_eq!((listener.slow_start, listener.persistence), (None, None));
    assert_eq!(listener.drain_timeout, Duration::from_secs(300));
    assert_eq!(listener.on_backend_down, OnBackendDown::Keep);
    assert!(!listener.one_packet);
    assert_eq!(listener.tcp_timestamps, TcpTimestamps::Auto);
    assert_eq!(listener.mss_clamp, MssClamp::Off);
    assert_eq!(listener.limits, Limits::default());
    assert_eq!(listener.bandwidth, Bandwidth::default());
    assert_eq!(listener.acl, None);
    let exempt = [].into();
    let auto = SynDefence { mode: SynDefenceMode::Auto, threshold: 10_000, exempt };
    assert_eq!(listener.syn_defence, auto);
    assert_eq!(listener.no_backend, NoBackend::Reset);
    assert!(!listener.adopt);
    assert_eq!(listener.backends[0].limits, BackendLimits::default());
}

#[test]
fn words_stand_for_settings() {
    let listener = with(
        "on_backend_down = \"reset\"\ntcp_timestamps = \"strip\"\nno_backend = \"drop\"\n\
         drain_timeout = \"0s\"\nslow_start = \"15m\"",
    );
    assert_eq!(listener.on_backend_down, OnBackendDown::Reset);
    assert_eq!(listener.tcp_timestamps, TcpTimestamps::Strip);
    assert_eq!(listener.no_backend, NoBackend::Drop);
    assert_eq!(listener.drain_timeout, Duration::ZERO);
    assert_eq!(listener.slow_start, Some(Duration::from_secs(900)));
}

#[test]
fn persistence_is_on_with_its_defaults_as_an_empty_table() {
    let timeout = Duration::from_secs(1000);
    let default = Persistence { timeout, netmask: 32, netmask6: 128, shared: None };
    assert_eq!(with("persistence = {}").persistence, Some(default));
    let own = with("persistence = { timeout = \"1h\", netmask = 24, netmask6 = 56 }").persistence;
    let timeout = Duration::from_secs(3600);
    assert_eq!(own, Some(Persistence { timeout, netmask: 24, netmask6: 56, shared: None }));
}

#[test]
fn persistence_can_be_shared_by_listeners_with_the_same_backends() {
    let text = changed("scheduler = \"wrr\"", "persistence = { shared = \"web\" }")
        + "[[instance.listener]]\nprotocol = \"tcp\"\nport = 443\n\
           persistence = { shared = \"web\" }\nbackends = [\n\
           { address = \"10.0.1.12\", port = 8443 },\n{ address = \"10.0.1.11\", port = 8443 }]\n";
    let checked = accepted(&text);
    assert_eq!(checked.warnings, []);
    let listeners = &checked.config.instances[0].listeners;
    let shared = |listener: &Listener| listener.persistence.clone().unwrap().shared;
    assert_eq!(shared(&listeners[0]).as_deref(), Some("web"));
    assert_eq!(shared(&listeners[0]), shared(&listeners[2]));
}

#[test]
fn limits_are_of_a_listener_its_clients_and_its_backends() {
    let listener = with(
        "limits = { max_connections = 500, cps = 50, shadow = true, \
         client = { max_connections = 5, netmask = 24, netmask6 = 48 } }",
    );
    let client = ClientLimits { max_connections: Some(5), cps: None, netmask: 24, netmask6: 48 };
    assert_eq!(
        listener.limits,
        Limits { max_connections: Some(500), cps: Some(50), client: Some(client), shadow: true }
    );
    let client = with("limits = { client = { cps = 9 } }").limits.client.unwrap();
    assert_eq!(
        client,
        ClientLimits { max_connections: None, cps: Some(9), netmask: 32, netmask6: 64 }
    );
    let text = changed("weight = 50", "limits = { max_connections = 7, cps = 3 }");
    let backend = accepted(&text).config.instances[0].listeners[0].backends[1].clone();
    assert_eq!(backend.limits, BackendLimits { max_connections: Some(7), cps: Some(3) });
}

#[test]
fn a_specification_is_a_row_of_the_table_or_numbers() {
    for (name, max_connections, cps, qps) in [
        ("slb.s1.small", 5_000, 3_000, 1_000),
        ("slb.s2.small", 50_000, 5_000, 5_000),
        ("slb.s2.medium", 100_000, 10_000, 10_000),
        ("slb.s3.small", 200_000, 20_000, 20_000),
        ("slb.s3.medium", 500_000, 50_000, 30_000),
        ("slb.s3.large", 1_000_000, 100_000, 50_000),
    ] {
        let instance = instance_with(&format!("specification = \"{name}\""));
        let [max_connections, cps, qps] = [max_connections, cps, qps].map(Some);
        let name = name.to_owned();
        assert_eq!(instance.specification, Specification { name, max_connections, cps, qps });
    }
    let shared = instance_with("specification = \"shared\"").specification;
    assert_eq!((shared.max_connections, shared.cps, shared.qps), (None, None, None));
    let own = instance_with("specification = { cps = 9, max_connections = 8 }").specification;
    assert_eq!(own.name, "custom");
    assert_eq!((own.max_connections, own.cps, own.qps), (Some(8), Some(9), None));
}

#[test]
fn bandwidth_is_in_bits_per_second_and_each_direction_stands_alone() {
    let bandwidth = with("bandwidth = { in = \"1Mbit\", out = \"100Gbit\" }").bandwidth;
    let [inbound, outbound] = [1_000_000, 100_000_000_000].map(Some);
    assert_eq!(bandwidth, Bandwidth { inbound, outbound });
    let bandwidth = instance_with("bandwidth = { out = \"2500kbit\" }").bandwidth;
    assert_eq!(bandwidth, Bandwidth { inbound: None, outbound: Some(2_500_000) });
}

#[test]
fn a_blackhole_has_one_threshold_or_two_and_lasts_60_seconds() {
    let blackhole = instance_with("blackhole = { pps = 5 }").blackhole;
    let duration = Duration::from_secs(60);
    assert_eq!(blackhole, Some(Blackhole { pps: Some(5), bps: None, duration }));
    let blackhole = instance_with("blackhole = { bps = \"20Gbit\", duration = \"1d\" }").blackhole;
    let duration = Duration::from_secs(86_400);
    assert_eq!(blackhole, Some(Blackhole { pps: None, bps: Some(20_000_000_000), duration }));
}

#[test]
fn unknown_connections_are_adopted_by_hash_schedulers_unless_told_otherwise() {
    for (scheduler, _) in Scheduler::WORDS {
        let adopt = ["sh", "mh", "tch", "qch"].contains(scheduler);
        let text = changed("port = 53\nb", &format!("port = 53\nscheduler = {scheduler:?}\nb"));
        assert_eq!(accepted(&text).config.instances[0].listeners[1].adopt, adopt, "{scheduler}");
    }
    assert!(with("adopt = true").adopt);
    let text = changed("\"wrr\"", "\"mh\"\nadopt = false");
    assert!(!accepted(&text).config.instances[0].listeners[0].adopt);
}

#[test]
fn the_mss_is_clamped_to_a_value_or_in_tunnel_mode_to_the_path() {
    assert_eq!(with("mss_clamp = 536").mss_clamp, MssClamp::Value(536));
    assert_eq!(with("mss_clamp = 9000").mss_clamp, MssClamp::Value(9000));
    assert_eq!(with("mss_clamp = \"off\"").mss_clamp, MssClamp::Off);
    let tunnel = |lines: &str| {
        let text = changed("mode = \"nat\"", &format!("mode = \"tunnel\"\n{lines}"))
            .replace(", port = 8080", "");
        accepted(&text).config.instances[0].listeners[0].mss_clamp
    };
    assert_eq!(tunnel(""), MssClamp::Auto);
    assert_eq!(tunnel("mss_clamp = \"auto\""), MssClamp::Auto);
    assert_eq!(tunnel("mss_clamp = 1400"), MssClamp::Value(1400));
}

#[test]
fn a_udp_listener_can_schedule_every_datagram() {
    assert!(udp_with("one_packet = true").one_packet);
    assert!(!udp_with("one_packet = false").one_packet);
}

/// Ports of the listener, then port and mapping of each backend.
fn ports(listener: &Listener) -> ((u16, u16), Vec<(u16, bool)>) {
    let backends = listener.backends.iter().map(|one| (one.port, one.maps_ports)).collect();
    ((listener.port, listener.last_port), backends)
}

#[test]
fn a_range_is_mapped_one_to_one_or_to_the_port_that_is_written() {
    let text = changed("port = 80\n", "port = \"8000-8100\"\n")
        .replace("\"10.0.1.11\", port = 8080", "\"10.0.1.11\"");
    let listener = accepted(&text).config.instances.remove(0).listeners.remove(0);
    assert_eq!(ports(&listener), ((8000, 8100), vec![(8000, true), (8080, false)]));
    let text = changed("port = 80\n", "port = \" 1 - 65535 \"\n").replace("nat", "dr");
    let text = text.replace(", port = 8080", "");
    let listener = accepted(&text).config.instances.remove(0).listeners.remove(0);
    assert_eq!(ports(&listener), ((1, 65_535), vec![(1, true), (1, true)]));
}

#[test]
fn a_backend_without_a_port_has_the_listeners_in_each_listener_of_its_group() {
    let text = VALID.replace(", port = 8080", "")
        + "[[instance.listener]]\nprotocol = \"tcp\"\nport = \"90-91\"\nserver_group = \"web\"\n";
    let listeners = accepted(&text).config.instances.remove(0).listeners;
    assert_eq!(ports(&listeners[0]), ((80, 80), vec![(80, false), (80, false)]));
    assert_eq!(ports(&listeners[2]), ((90, 91), vec![(90, true), (90, true)]));
}

#[test]
fn a_range_of_one_port_is_that_port() {
    let text = changed("port = 80\n", "port = \"80-80\"\n");
    assert_eq!(accepted(&text), accepted(VALID));
}

#[test]
fn dr_and_tunnel_take_a_backend_with_the_port_of_the_listener() {
    for mode in ["dr", "tunnel"] {
        let text = changed("\"nat\"", &format!("{mode:?}")).replace("8080", "80");
        assert_eq!(accepted(&text).warnings, [], "{mode}");
    }
}

#[test]
fn a_tunnel_crosses_families() {
    let text = changed("\"nat\"", "\"tunnel\"")
        .replace("\"10.0.1.11\", port = 8080", "\"fd01::11\"")
        .replace("\"10.0.1.12\", port = 8080", "\"fd01::12\"");
    let checked = accepted(&text);
    assert_eq!(checked.warnings, []);
    assert_eq!(checked.config.instances[0].listeners[0].backends.len(), 2);
}

#[test]
fn a_backend_that_a_command_adds_takes_a_range_one_to_one_by_its_first_port() {
    let text = changed("port = 80\n", "port = \"8000-8100\"\n");
    let range = accepted(&text).config.instances.remove(0).listeners.remove(0);
    let single = accepted(VALID).config.instances.remove(0).listeners.remove(0);
    let added = |listener: &Listener, endpoint: &str| {
        let one = listener.backend(endpoint.parse().unwrap(), 7, Role::Backup);
        assert_eq!((one.weight, one.role), (7, Role::Backup));
        (one.port, one.maps_ports)
    };
    assert_eq!(added(&range, "10.0.1.9:8000"), (8000, true));
    assert_eq!(added(&range, "10.0.1.9:8001"), (8001, false));
    assert_eq!(added(&single, "10.0.1.9:80"), (80, false));
}

#[test]
fn limits_within_the_table_are_promises_that_hold() {
    // A VIP of each family can use both tables.
    let text = changed(
        "vips = [\"10.0.0.100\"]",
        "vips = [\"10.0.0.100\", \"fd00::1\"]\nspecification = { max_connections = 2_000_000 }",
    )
    .replace("{ address = \"10.0.1.12\"", "{ address = \"fd01::12\"")
    .replace(
        "[{ address = \"10.0.1.21\"",
        "[{ address = \"fd01::21\", port = 1 }, { address = \"10.0.1.21\"",
    );
    assert_eq!(accepted(&text).warnings, []);
}

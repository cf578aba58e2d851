//! Listeners that do not go together.

use crate::config::{
    load_str,
    tests::{VALID, changed, refused_once},
};

/// The valid file whose tcp listener shares persistence with another one.
fn shared(persistence: &str, backends: &str) -> String {
    changed("scheduler = \"wrr\"", "persistence = { shared = \"web\" }")
        + &format!(
            "[[instance.listener]]\nprotocol = \"tcp\"\nport = 443\n\
             persistence = {persistence}\nbackends = {backends}\n"
        )
}

const SAME: &str = "[{ address = \"10.0.1.11\" }, { address = \"10.0.1.12\" }]";

#[test]
fn shared_persistence_with_different_settings_is_refused() {
    for (own, here) in [
        ("timeout = \"300s\"", "300 s, /32, /128"),
        ("netmask = 24", "1000 s, /24, /128"),
        ("netmask6 = 64", "1000 s, /32, /64"),
    ] {
        let persistence = format!("{{ shared = \"web\", {own} }}");
        refused_once(
            &shared(&persistence, SAME),
            &persistence,
            &format!(
                "persistence \"web\" is shared but differs: {here} here, \
                 1000 s, /32, /128 in line 23"
            ),
            "the same timeout, netmask and netmask6",
        );
    }
}

#[test]
fn shared_persistence_with_different_backends_is_refused() {
    let persistence = "{ shared = \"web\" }";
    refused_once(
        &shared(persistence, "[{ address = \"10.0.1.11\" }, { address = \"10.0.1.13\" }]"),
        persistence,
        "persistence \"web\" is shared, but only one of the listeners has 10.0.1.12, 10.0.1.13",
        "the listener whose persistence is in line 23",
    );
}

#[test]
fn shared_persistence_with_two_ports_of_one_backend_is_refused() {
    let persistence = "{ shared = \"web\" }";
    let twice = SAME.replace("]", ", { address = \"10.0.1.11\", port = 444 }]");
    refused_once(
        &shared(persistence, &twice),
        persistence,
        "persistence \"web\" is shared, but backend 10.0.1.11 has two ports here",
        "keep one port of each",
    );
}

#[test]
fn listeners_of_two_instances_share_nothing() {
    let other = "[[instance]]\nname = \"blog\"\nvips = [\"10.0.0.101\"]\n";
    let text = shared("{ shared = \"web\", netmask = 24 }", SAME);
    let at = text.rfind("[[instance.listener]]").unwrap();
    let apart = format!("{}{other}{}", &text[..at], &text[at..]);
    assert!(load_str("slb.toml", &apart).is_ok());
}

/// The valid file whose udp listener and another one are one-packet listeners.
fn one_packet(port: &str, backend: &str, mode: &str) -> String {
    VALID.replace("port = 53\nb", "port = 53\none_packet = true\nb")
        + &format!(
            "[[instance.listener]]\nprotocol = \"udp\"\nport = {port}\n\
             one_packet = true\nmode = \"{mode}\"\n\
             backends = [{backend}]\nhealth_check = {{ type = \"tcp\", port = 53 }}\n"
        )
}

#[test]
fn a_backend_endpoint_of_two_one_packet_listeners_in_nat_is_refused() {
    for (port, backend) in [
        ("54", "{ address = \"10.0.1.21\", port = 5353 }"),
        ("\"5350-5360\"", "{ address = \"10.0.1.21\" }"),
    ] {
        let text = one_packet(port, backend, "nat");
        let endpoint = if port == "54" { "10.0.1.21:5353" } else { "10.0.1.21:5350" };
        refused_once(
            &text,
            "true\nmode",
            &format!("backend {endpoint} serves two one_packet listeners in mode \"nat\""),
            "its replies could not tell which; the first one is in line 28",
        );
    }
    let other_port = one_packet("54", "{ address = \"10.0.1.21\", port = 54 }", "nat");
    assert!(load_str("slb.toml", &other_port).is_ok());
    let dr = one_packet("5353", "{ address = \"10.0.1.21\" }", "dr");
    assert!(load_str("slb.toml", &dr).is_ok());
}

#[test]
fn one_packet_from_a_range_to_one_port_in_nat_is_refused() {
    refused_once(
        &one_packet("\"60-70\"", "{ address = \"10.0.1.22\", port = 60 }", "nat"),
        "true\nmode",
        "one_packet leads several ports to 10.0.1.22:60",
        "leave the backend's port out",
    );
}

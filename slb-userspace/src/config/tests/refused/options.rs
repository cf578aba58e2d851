//! Modes, schedulers and options of listeners that do not fit together.

use super::refuses;
use crate::config::tests::{changed, refused_once};

fn tcp(new: &str, meant: &str, message: &str, hint: &str) {
    refuses("mode = \"nat\"", new, meant, message, hint);
}

fn udp(new: &str, meant: &str, message: &str, hint: &str) {
    refuses("port = 53\nb", &format!("port = 53\n{new}\nb"), meant, message, hint);
}

#[test]
fn an_unknown_word_is_told_what_was_meant() {
    for (key, word, meant) in [
        ("mode", "full_nat", "fullnat"),
        ("on_backend_down", "rest", "reset"),
        ("tcp_timestamps", "stripp", "strip"),
        ("no_backend", "dropp", "drop"),
    ] {
        tcp(
            &format!("{key} = {word:?}"),
            &format!("{word:?}"),
            &format!("{key} {word:?} is not known"),
            &format!("did you mean {meant:?}?"),
        );
    }
    tcp(
        "syn_defence = { mode = \"on\" }",
        "\"on\"",
        "mode \"on\" is not known",
        "one of auto, always, off",
    );
}

#[test]
fn ranges_of_options_hold() {
    for (line, meant, message, hint) in [
        (
            "slow_start = \"0s\"",
            "\"0s\"",
            "slow_start \"0s\" is out of range",
            "\"1s\" to \"900s\"",
        ),
        ("slow_start = \"901s\"", "\"901s\"", "slow_start \"901s\" is out of range", "\"900s\""),
        (
            "drain_timeout = \"901s\"",
            "\"901s\"",
            "drain_timeout \"901s\" is out of range",
            "\"0s\"",
        ),
        (
            "persistence = { timeout = \"999ms\" }",
            "\"999ms\"",
            "timeout \"999ms\" is out of range",
            "\"1s\" to \"3600s\"",
        ),
        ("persistence = { timeout = \"2h\" }", "\"2h\"", "timeout \"2h\" is out of range", "3600s"),
        ("persistence = { netmask = 33 }", "33", "netmask 33 is out of range", "from 1 to 32"),
        ("persistence = { netmask6 = 129 }", "129", "netmask6 129 is out of range", "1 to 128"),
        ("persistence = { shared = \"a b\" }", "\"a b\"", "shared \"a b\" is not a name", "a name"),
        ("syn_defence = { threshold = 0 }", "0 }", "threshold 0 is out of range", "from 1"),
        ("mss_clamp = 535", "535\n", "mss_clamp 535 is out of range", "from 536 to 9000"),
        ("mss_clamp = 9001", "9001", "mss_clamp 9001 is out of range", "from 536 to 9000"),
        ("mss_clamp = \"on\"", "\"on\"", "mss_clamp \"on\" is not known", "\"off\", \"auto\""),
        (
            "mss_clamp = \"auto\"",
            "\"auto\"",
            "mss_clamp is \"auto\" in mode \"nat\"",
            "write a number such as 1400",
        ),
    ] {
        tcp(line, meant, message, hint);
    }
}

#[test]
fn what_tcp_alone_has_is_refused_on_a_udp_listener() {
    for (key, value, hint) in [
        ("on_backend_down", "\"reset\"", "udp flows always move"),
        ("tcp_timestamps", "\"keep\"", "leave it out"),
        ("mss_clamp", "1400", "leave it out"),
        ("syn_defence", "{ mode = \"off\" }", "limits and acl work for udp"),
        ("adopt", "true", "opens one"),
    ] {
        let message = format!("\"{key}\" has no meaning on a udp listener");
        udp(&format!("{key} = {value}"), value, &message, hint);
    }
}

#[test]
fn one_packet_is_for_udp_without_persistence_in_nat_dr_and_tunnel() {
    let line = "one_packet = true";
    tcp(line, "true", "one_packet has no meaning on a tcp listener", "one backend");
    udp(
        "one_packet = true\npersistence = {}",
        "true",
        "one_packet and persistence are both written",
        "keep one",
    );
    let text = changed("port = 53\nb", "port = 53\nmode = \"fullnat\"\none_packet = true\nb")
        .replace("max_backends = 64", "local_addresses = [\"100.64.0.0/28\"]");
    let message = "one_packet does not work in mode \"fullnat\"";
    refused_once(&text, "true", message, "write mode = \"nat\" or \"dr\"");
}

#[test]
fn one_packet_in_nat_needs_replies_to_tell_their_vip() {
    let text = changed("port = 53\nb", "port = 53\none_packet = true\nb")
        .replace("[\"10.0.0.100\"]", "[\"10.0.0.100\", \"10.0.0.101\"]");
    let message = "one_packet in mode \"nat\" with more than one IPv4 VIP";
    refused_once(&text, "true", message, "one instance for each VIP");
    let v6 = text
        .replace("[\"10.0.0.100\", \"10.0.0.101\"]", "[\"fd00::100\", \"fd00::101\"]")
        .replace("\"10.0.1.", "\"fd01::");
    let message = "one_packet in mode \"nat\" with more than one IPv6 VIP";
    refused_once(&v6, "true", message, "write mode = \"dr\"");
    let dr = text.replace("one_packet = true", "one_packet = true\nmode = \"dr\"");
    assert!(crate::config::load_str("slb.toml", &dr.replace(", port = 5353", "")).is_ok());
}

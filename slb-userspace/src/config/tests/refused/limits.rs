//! Limits, specifications, bandwidth and blackholing.

use super::refuses;
use crate::config::tests::{changed, refused_once};

/// A line of the tcp listener.
fn line(new: &str, meant: &str, message: &str, hint: &str) {
    refuses("mode = \"nat\"", new, meant, message, hint);
}

/// A line of the instance.
fn instance(new: &str, meant: &str, message: &str, hint: &str) {
    let vips = "vips = [\"10.0.0.100\"]\n";
    refuses(vips, &format!("{vips}{new}\n"), meant, message, hint);
}

#[test]
fn a_limit_of_0_is_refused_and_told_what_stops_a_listener() {
    for (new, meant, key) in [
        ("limits = { max_connections = 0 }", "0 }", "max_connections"),
        ("limits = { cps = 0x0 }", "0x0", "cps"),
        ("limits = { client = { cps = 0 } }", "0 }", "cps"),
    ] {
        line(new, meant, &format!("{key} 0 would let nothing through"), "enabled = false");
    }
    let message = "qps 0 would let nothing through";
    instance("specification = { qps = 0 }", "0 }", message, "leave it out");
    let message = "pps 0 would let nothing through";
    instance("blackhole = { pps = 0 }", "0 }", message, "leave it out");
    refuses(
        "weight = 50",
        "limits = { cps = 0 }",
        "0 }",
        "cps 0 would let nothing through",
        "weight = 0 a backend",
    );
}

#[test]
fn a_limit_that_no_machine_reaches_is_refused() {
    line(
        "limits = { cps = 1_000_000_001 }",
        "1_000_000_001",
        "cps 1_000_000_001 is out of range",
        "cps is a number from 1 to 1000000000",
    );
}

#[test]
fn limits_that_limit_nothing_are_refused() {
    let none = "sets no limit";
    line("limits = {}", "{}", &format!("limits {{}} {none}"), "max_connections = 10_000");
    let shadow = "{ shadow = true }";
    line(&format!("limits = {shadow}"), shadow, &format!("limits {shadow} {none}"), "limits is");
    let client = "{ netmask = 24 }";
    let message = format!("client {client} {none}");
    line(&format!("limits = {{ client = {client} }}"), client, &message, "cps = 100");
    line("bandwidth = {}", "{}", &format!("bandwidth {{}} {none}"), "in = \"1Gbit\"");
    let message = format!("specification {{}} {none}");
    instance("specification = {}", "{}", &message, "shared, slb.s1.small");
    let message = format!("limits {{}} {none}");
    refuses("weight = 50", "limits = {}", "{}", &message, "max_connections = 1000");
}

#[test]
fn an_unknown_key_in_limits_is_all_that_is_said() {
    let unknown = |place: &str| format!("key \"cpss\" is not known in {place}");
    line("limits = { cpss = 7 }", "cpss", &unknown("limits"), "did you mean \"cps\"?");
    let client = "limits = { client = { cpss = 7 } }";
    line(client, "cpss", &unknown("limits.client"), "did you mean \"cps\"?");
    line("bandwidth = { cpss = 7 }", "cpss", &unknown("bandwidth"), "keys of bandwidth");
    instance("specification = { cpss = 7 }", "cpss", &unknown("specification"), "\"cps\"?");
    instance("blackhole = { cpss = 7 }", "cpss", &unknown("blackhole"), "keys of blackhole");
    let backend = ("weight = 50", "limits = { cpss = 7 }");
    refuses(backend.0, backend.1, "cpss", &unknown("a backend's limits"), "did you mean \"cps\"?");
}

#[test]
fn prefix_lengths_of_clients_have_ranges() {
    for (key, value, range) in [
        ("netmask", "0", "from 1 to 32"),
        ("netmask", "33", "from 1 to 32"),
        ("netmask6", "0", "from 1 to 128"),
        ("netmask6", "129", "from 1 to 128"),
    ] {
        line(
            &format!("limits = {{ client = {{ cps = 7, {key} = {value} }} }}"),
            &format!("{value} }}"),
            &format!("{key} {value} is out of range"),
            range,
        );
    }
}

#[test]
fn a_specification_that_is_not_there_is_refused() {
    instance(
        "specification = \"slb.s2.large\"",
        "\"slb.s2.large\"",
        "specification \"slb.s2.large\" is not known",
        "slb.s3.large, or a table of limits",
    );
}

#[test]
fn a_bandwidth_out_of_range_or_without_a_known_unit_is_refused() {
    for (value, why, hint) in [
        ("999kbit", "is out of range", "from \"1Mbit\" to \"100Gbit\""),
        ("101Gbit", "is out of range", "from \"1Mbit\" to \"100Gbit\""),
        ("100", "has no unit", "kbit, Mbit or Gbit"),
        ("100MB", "has the unknown unit \"MB\"", "e.g. \"100Mbit\""),
        ("1.5Gbit", "is not a rate", "whole numbers"),
    ] {
        line(
            &format!("bandwidth = {{ in = {value:?} }}"),
            &format!("{value:?}"),
            &format!("in {value:?} {why}"),
            hint,
        );
    }
}

#[test]
fn a_bandwidth_to_clients_is_refused_where_replies_do_not_come_by() {
    for mode in ["dr", "tunnel"] {
        let text = changed(
            "mode = \"nat\"",
            &format!("mode = {mode:?}\nbandwidth = {{ out = \"1Gbit\" }}"),
        );
        refused_once(
            &text.replace(", port = 8080", ""),
            "\"1Gbit\"",
            &format!("bandwidth has an \"out\", but mode is {mode:?}"),
            "leave \"out\" out",
        );
    }
}

#[test]
fn a_blackhole_without_a_threshold_is_refused() {
    let hint = "pps = 1_000_000";
    instance("blackhole = {}", "{}", "blackhole has no threshold", hint);
    let duration = "{ duration = \"60s\" }";
    let line = format!("blackhole = {duration}");
    instance(&line, duration, "blackhole has no threshold", hint);
}

#[test]
fn the_end_of_a_blackhole_has_a_range() {
    for value in ["\"999ms\"", "\"25h\""] {
        instance(
            &format!("blackhole = {{ pps = 7, duration = {value} }}"),
            value,
            &format!("duration {value} is out of range"),
            "from \"1s\" to \"86400s\"",
        );
    }
}

//! `health_check = { ... }`.

use super::refuses;
use crate::config::tests::{accepted, changed, refused_once};

const HTTP: &str = "path = \"/healthz\", interval = \"2s\"";
const UDP: &str = "health_check = { type = \"tcp\", port = 53 }";

#[test]
fn numbers_of_a_health_check_out_of_range_are_refused() {
    for (key, value, range) in [
        ("interval", "\"999ms\"", "\"1s\" to \"50s\""),
        ("interval", "\"51s\"", "\"1s\" to \"50s\""),
        ("timeout", "\"0s\"", "\"1s\" to \"300s\""),
        ("timeout", "\"301s\"", "\"1s\" to \"300s\""),
        ("healthy", "1", "2 to 10"),
        ("healthy", "11", "2 to 10"),
        ("unhealthy", "1", "2 to 10"),
        ("unhealthy", "11", "2 to 10"),
        ("port", "65536", "1 to 65535"),
    ] {
        let written = format!("{key} = {value} }}");
        let message = format!("{key} {value} is out of range");
        let text = changed(&format!("{HTTP} }}"), &written);
        refused_once(&text, &format!("{value} }}\n\n"), &message, range);
    }
}

#[test]
fn a_path_with_other_characters_or_lengths_is_refused() {
    let long = format!("/{}", "a".repeat(80));
    for path in ["", "healthz", "/a b", "/\u{e4}", "/a;b", &long] {
        refuses(
            HTTP,
            &format!("path = \"{path}\""),
            &format!("\"{path}\" }}"),
            &format!("path \"{path}\" is not a path"),
            "1 to 80 letters, digits and -_/.%?#&=, beginning with \"/\"",
        );
    }
    let longest = format!("path = \"/{}\"", "a-_/.%?#&=".repeat(8).split_off(1));
    accepted(&changed(HTTP, &longest));
}

#[test]
fn a_domain_with_other_characters_is_refused() {
    refuses(
        HTTP,
        "domain = \"a_b.example\"",
        "\"a_b.example\"",
        "domain \"a_b.example\" is not a host name",
        "letters, digits, \"-\" and \".\"",
    );
}

#[test]
fn codes_other_than_the_four_classes_are_refused() {
    for code in ["\"1xx\"", "\"200\"", "200"] {
        refuses(
            HTTP,
            &format!("codes = [{code}]"),
            &format!("{code}]"),
            &format!("codes {code} is not a class of answers"),
            "\"2xx\", \"3xx\", \"4xx\", \"5xx\"",
        );
    }
}

#[test]
fn codes_that_leave_nothing_healthy_are_refused() {
    refuses(HTTP, "codes = []", "[] }", "codes [] leaves no answer that is healthy", "\"2xx\"");
}

#[test]
fn keys_of_an_http_request_are_refused_in_a_tcp_check() {
    for (key, value) in
        [("method", "\"GET\""), ("path", "\"/\""), ("domain", "\"\""), ("codes", "[\"2xx\"]")]
    {
        refuses(
            UDP,
            &format!("health_check = {{ type = \"tcp\", port = 53, {key} = {value} }}"),
            &format!("{value} }}"),
            &format!("\"{key}\" has no meaning in a check of type tcp"),
            "type = \"http\"",
        );
    }
}

#[test]
fn a_udp_listener_without_a_health_check_is_refused() {
    refuses(
        &format!("{UDP}\n"),
        "",
        "[[instance.listener]]",
        "a udp listener has no health_check",
        "health_check = { type = \"tcp\", port = N }",
    );
}

#[test]
fn the_health_check_of_a_udp_listener_must_say_type_and_port() {
    for (left, missing) in [("type = \"tcp\"", "port"), ("port = 53", "type")] {
        refuses(
            UDP,
            &format!("health_check = {{ {left} }}"),
            &format!("{{ {left} }}"),
            &format!("the health_check of a udp listener has no \"{missing}\""),
            "health_check = { type = \"tcp\", port = N }",
        );
    }
}

#[test]
fn an_unknown_type_or_method_is_refused() {
    refuses(
        "type = \"http\"",
        "type = \"icmp\"",
        "\"icmp\"",
        "type \"icmp\" is not known",
        "one of tcp, http",
    );
    refuses(
        HTTP,
        "method = \"get\"",
        "\"get\"",
        "method \"get\" is not known",
        "did you mean \"GET\"? one of GET, HEAD",
    );
}

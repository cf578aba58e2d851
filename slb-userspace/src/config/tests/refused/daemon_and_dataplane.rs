//! `[daemon]` and `[dataplane]`.

use super::refuses;
use crate::config::tests::{accepted, changed, refused_once};

#[test]
fn a_file_without_a_dataplane_is_refused() {
    refused_once(
        "[daemon]\n",
        "[daemon]",
        "the file has no \"dataplane\"",
        "[dataplane] with interfaces",
    );
}

#[test]
fn a_list_of_no_interfaces_is_refused() {
    refuses("[\"eth0\"]", "[ ]", "[ ]", "interfaces [ ] names no interface", "[\"eth0\"]");
}

#[test]
fn an_interface_name_that_linux_would_not_take_is_refused() {
    for name in ["", "abcdefghijklmnop", "eth 0", "a/b", "eth0:1", ".", ".."] {
        refuses(
            "[\"eth0\"]",
            &format!("[\"{name}\"]"),
            &format!("\"{name}\"]\nmax_backends"),
            &format!("interface \"{name}\" cannot exist"),
            "1 to 15 characters",
        );
    }
    accepted(&changed("[\"eth0\"]", "[\"abcdefghijklmno\"]"));
}

#[test]
fn an_interface_that_is_named_twice_is_refused() {
    refuses(
        "[\"eth0\"]",
        "[\"eth0\", \"eth0\"]",
        "\"eth0\"]",
        "interface \"eth0\" is there twice",
        "leave it out here",
    );
}

#[test]
fn a_path_that_is_not_absolute_is_refused() {
    refuses(
        "\"/run/slb/slb.sock\"",
        "\"slb.sock\"",
        "\"slb.sock\"",
        "socket \"slb.sock\" is not an absolute path",
        "an absolute path",
    );
}

#[test]
fn a_socket_path_that_is_too_long_for_the_kernel_is_refused() {
    let long = |length: usize| format!("\"/{}\"", "s".repeat(length - 1));
    accepted(&changed("\"/run/slb/slb.sock\"", &long(107)));
    let message = format!("socket {} is too long for a Unix socket", long(108));
    refuses("\"/run/slb/slb.sock\"", &long(108), &long(108), &message, "at most 107 bytes");
}

#[test]
fn capacities_out_of_range_are_refused() {
    for (key, value, range) in [
        ("max_connections", "1_023", "1024 to 64000000"),
        ("max_connections", "64_000_001", "1024 to 64000000"),
        ("max_connections_v6", "0", "1024 to 64000000"),
        ("max_backends", "63", "64 to 1000000"),
        ("max_backends", "1_000_001", "64 to 1000000"),
        ("ring_slots", "-1", "65536 to 268435456"),
        ("ring_slots", "99999999999999999999999", "65536 to 268435456"),
    ] {
        refuses(
            "max_backends = 64",
            &format!("{key} = {value}"),
            &format!("{value}\n\n[[server_group"),
            &format!("{key} {value} is out of range"),
            range,
        );
    }
}

#[test]
fn more_backends_than_the_dataplane_has_slots_for_are_refused() {
    let backends: Vec<String> =
        (1..=63).map(|host| format!("{{ address = \"10.0.2.{host}\", port = 53 }}")).collect();
    refuses(
        "[{ address = \"10.0.1.21\", port = 5353 }]",
        &format!("[{}]", backends.join(", ")),
        "64\n\n[[server_group",
        "max_backends 64 is too small: listeners have 65",
        "raise it",
    );
}

#[test]
fn an_unknown_xdp_mode_is_refused() {
    refuses(
        "max_backends = 64",
        "xdp_mode = \"offload\"",
        "\"offload\"",
        "xdp_mode \"offload\" is not known",
        "one of auto, native, generic",
    );
}

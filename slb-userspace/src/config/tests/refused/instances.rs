//! `[[instance]]`: names, VIPs, specifications.

use super::refuses;
use crate::config::tests::{VALID, refused_once};

#[test]
fn two_instances_of_one_name_are_refused() {
    refused_once(
        &(VALID.to_owned() + "[[instance]]\nname = \"shop\"\nvips = [\"10.0.0.101\"]\n"),
        "\"shop\"\nvips = [\"10.0.0.101\"]",
        "instance \"shop\" is there already",
        "the first one is in line 16",
    );
}

#[test]
fn a_name_that_commands_cannot_take_is_refused() {
    for name in ["", "my shop", "shop\u{fc}", "a/b"] {
        refuses(
            "name = \"shop\"",
            &format!("name = \"{name}\""),
            &format!("\"{name}\"\nvips"),
            &format!("name \"{name}\" is not a name"),
            "1 to 64 letters",
        );
    }
}

#[test]
fn an_instance_without_vips_is_refused() {
    refuses("[\"10.0.0.100\"]", "[]", "[]\n\n[[inst", "vips [] names no address", "10.0.0.100");
}

#[test]
fn a_vip_that_is_written_twice_is_refused() {
    refuses(
        "[\"10.0.0.100\"]",
        "[\"10.0.0.100\", \"10.0.0.100\"]",
        "\"10.0.0.100\"]",
        "vip 10.0.0.100 is there already",
        "it belongs to instance \"shop\", line 17",
    );
}

#[test]
fn a_vip_of_another_instance_is_refused() {
    refused_once(
        &(VALID.to_owned() + "[[instance]]\nname = \"blog\"\nvips = [\"10.0.0.100\"]\n"),
        "\"10.0.0.100\"",
        "vip 10.0.0.100 is there already",
        "it belongs to instance \"shop\", line 17",
    );
}

#[test]
fn a_vip_that_no_client_can_send_to_is_refused() {
    for (vip, why, hint) in [
        ("0.0.0.0", "is the unspecified address", "one host"),
        ("::", "is the unspecified address", "one host"),
        ("224.0.0.1", "is a multicast address", "one host"),
        ("ff02::1", "is a multicast address", "one host"),
        ("127.0.0.1", "is a loopback address", "others can reach"),
        ("::1", "is a loopback address", "others can reach"),
        ("255.255.255.255", "is the broadcast address", "one host"),
        ("fe80::1", "is link-local and means nothing without an interface", "fd00::/8"),
        ("::ffff:10.0.0.1", "is an IPv4 address in IPv6 clothes", "write \"10.0.0.1\""),
    ] {
        let meant = format!("\"{vip}\"]");
        refuses("\"10.0.0.100\"]", &meant, &meant, &format!("vip {vip} {why}"), hint);
    }
}

#[test]
fn a_vip_that_is_not_an_address_is_refused() {
    for (vip, hint) in [
        ("10.0.0.300", "names are not resolved"),
        ("shop.example", "names are not resolved"),
        ("10.0.0.100/24", "without the prefix length: \"10.0.0.100\""),
        ("10.0.0.100:80", "write \"10.0.0.100\": ports belong to listeners"),
    ] {
        let meant = format!("\"{vip}\"]");
        let message = format!("vip \"{vip}\" is not an IP address");
        refuses("\"10.0.0.100\"]", &meant, &meant, &message, hint);
    }
}

#[test]
fn an_unknown_specification_is_refused() {
    refuses(
        "name = \"shop\"",
        "name = \"shop\"\nspecification = \"shard\"",
        "\"shard\"",
        "specification \"shard\" is not known",
        "did you mean \"shared\"? one of shared, slb.s1.small",
    );
}

//! Backends of listeners and server groups.

use super::refuses;
use crate::config::tests::{VALID, changed, load_str, refused_once};

#[test]
fn a_backend_that_is_a_vip_is_refused() {
    refuses(
        "\"10.0.1.12\"",
        "\"10.0.0.100\"",
        "\"10.0.0.100\", port",
        "backend 10.0.0.100 is a VIP of instance \"shop\"",
        "write the server's own address; the VIP is in line 17",
    );
}

#[test]
fn a_backend_that_is_a_vip_of_a_later_instance_is_refused() {
    let text = VALID.to_owned()
        + "[[instance]]\nname = \"blog\"\nvips = [\"10.0.1.12\"]\n[[instance.listener]]\n\
           protocol = \"tcp\"\nport = 80\nbackends = [{ address = \"10.0.9.1\", port = 1 }]\n";
    refused_once(
        &text,
        "\"10.0.1.12\", port",
        "backend 10.0.1.12 is a VIP of instance \"blog\"",
        "own address",
    );
}

#[test]
fn a_backend_that_is_written_twice_is_refused() {
    refuses(
        "\"10.0.1.12\"",
        "\"10.0.1.11\"",
        "{ address = \"10.0.1.11\"",
        "backend 10.0.1.11:8080 is there twice",
        "the first one is in line 11",
    );
}

#[test]
fn one_address_with_two_ports_is_two_backends() {
    let text = changed("\"10.0.1.12\", port = 8080", "\"10.0.1.11\", port = 8081");
    assert!(load_str("slb.toml", &text).is_ok());
}

#[test]
fn a_weight_above_100_is_refused() {
    refuses(
        "weight = 50",
        "weight = 101",
        "101",
        "weight 101 is out of range",
        "weight is a number from 0 to 100",
    );
}

#[test]
fn a_backend_that_cannot_be_reached_is_refused() {
    refuses(
        "\"10.0.1.12\"",
        "\"127.0.0.1\"",
        "\"127.0.0.1\"",
        "backend address 127.0.0.1 is a loopback address",
        "others can reach",
    );
    refuses(
        "\"10.0.1.12\"",
        "\"10.0.1.12:8080\"",
        "\"10.0.1.12:8080\"",
        "backend address \"10.0.1.12:8080\" is not an IP address",
        "the port has a key: address = \"10.0.1.12\", port = 8080",
    );
}

#[test]
fn an_unknown_role_is_refused() {
    refuses(
        "weight = 50",
        "role = \"standby\"",
        "\"standby\"",
        "role \"standby\" is not known",
        "one of primary, backup",
    );
}

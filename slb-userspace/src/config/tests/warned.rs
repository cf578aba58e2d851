//! What is accepted and said.

mod layer4;

use super::{changed, warned_once};

#[test]
fn a_listener_without_backends_is_a_warning() {
    let hint = "write backends = [";
    let message = "the listener has no backends: every client is refused";
    warned_once(
        &changed("server_group = \"web\"\n", ""),
        "[[instance.listener]]\nprotocol = \"tcp\"",
        message,
        hint,
    );
    warned_once(&changed("server_group = \"web\"", "backends = []"), "[]", message, hint);
}

#[test]
fn qch_without_server_ids_is_a_warning() {
    warned_once(
        &changed("backends = [{ address", "scheduler = \"qch\"\nbackends = [{ address"),
        "\"qch\"",
        "no backend has a server_id: qch does what tch does",
        "give each backend the server_id that its QUIC server puts into connection IDs",
    );
}

#[test]
fn an_instance_without_listeners_is_a_warning() {
    let text = super::VALID.to_owned() + "[[instance]]\nname = \"idle\"\nvips = [\"10.0.0.101\"]\n";
    warned_once(
        &text,
        "[[instance]]\nname = \"idle\"",
        "instance \"idle\" has no listener",
        "add [[instance.listener]]",
    );
}

#[test]
fn a_vip_family_without_a_backend_is_a_warning() {
    let text = changed("[\"10.0.0.100\"]", "[\"10.0.0.100\", \"fd00::100\"]")
        .replace("[{ address", "[{ address = \"fd01::21\", port = 5353 }, { address");
    warned_once(
        &text,
        "\"web\"\nhealth_check",
        "no backend is IPv6, but a VIP is: its clients are refused",
        "add an IPv6 backend, or leave the IPv6 VIP out of instance \"shop\"",
    );
}

#[test]
fn a_backend_that_no_vip_leads_to_is_a_warning() {
    let text = changed("[{ address", "[{ address = \"fd01::21\", port = 5353 }, { address");
    warned_once(
        &text,
        "{ address = \"fd01::21\"",
        "backend fd01::21 is never used: no VIP is IPv6",
        "add an IPv6 VIP to instance \"shop\"",
    );
}

#[test]
fn weights_that_are_all_0_are_a_warning() {
    warned_once(
        &changed("port = 5353", "port = 5353, weight = 0"),
        "[{ address = \"10.0.1.21\"",
        "all weights are 0: every new connection is refused",
        "above 0",
    );
}

#[test]
fn ports_of_protocols_that_embed_addresses_are_a_warning() {
    for (protocol, port, name, hint) in [
        ("tcp", 20, "FTP", "SFTP"),
        ("tcp", 21, "FTP", "SFTP"),
        ("udp", 69, "TFTP", "beside the balancer"),
        ("udp", 1719, "H.323", "gatekeeper"),
        ("tcp", 1720, "H.323", "gatekeeper"),
        ("tcp", 5060, "SIP", "SIP proxy"),
        ("udp", 5060, "SIP", "SIP proxy"),
        ("tcp", 5061, "SIP", "SIP proxy"),
    ] {
        let listener = if protocol == "tcp" { "port = 80\n" } else { "port = 53\n" };
        warned_once(
            &changed(listener, &format!("port = {port}\n")),
            &format!("{port}\n"),
            &format!(
                "port {port} is {name}'s, which names addresses and ports inside its payload: it \
                 will not work through the balancer"
            ),
            hint,
        );
    }
}

#[test]
fn those_ports_are_fine_for_the_other_protocol() {
    assert_eq!(super::accepted(&changed("port = 53\n", "port = 21\n")).warnings, []);
    assert_eq!(super::accepted(&changed("port = 80\n", "port = 69\n")).warnings, []);
}

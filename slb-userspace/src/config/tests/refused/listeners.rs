//! `[[instance.listener]]` and the server groups it names.

use super::refuses;
use crate::config::tests::{VALID, accepted, changed, refused_once};

#[test]
fn two_listeners_of_one_protocol_and_port_are_refused() {
    let text = changed(
        "[[instance.listener]]\nprotocol = \"udp\"\n",
        "[[instance.listener]]\nprotocol = \"tcp\"\n",
    )
    .replace("port = 53\nb", "port = 80\nb");
    refused_once(
        &text,
        "80\nbackends",
        "tcp port 80 has a listener already",
        "the first one of instance \"shop\" is in line 19",
    );
}

#[test]
fn a_port_out_of_range_is_refused() {
    for port in ["0", "65_536", "-80"] {
        refuses(
            "port = 80\n",
            &format!("port = {port}\n"),
            &format!("{port}\nmode"),
            &format!("port {port} is out of range"),
            "port is a number from 1 to 65535",
        );
    }
}

#[test]
fn an_unknown_scheduler_is_refused_with_the_one_that_was_meant() {
    refuses(
        "\"wrr\"",
        "\"wlcc\"",
        "\"wlcc\"",
        "scheduler \"wlcc\" is not known",
        "did you mean \"wlc\"? one of wrr, rr, wlc, lc, sh, mh, tch, sed, nq, qch",
    );
}

#[test]
fn qch_on_a_tcp_listener_is_refused() {
    refuses(
        "\"wrr\"",
        "\"qch\"",
        "\"qch\"",
        "scheduler \"qch\" has no meaning on a tcp listener",
        "it reads QUIC connection IDs; \"tch\" hashes addresses and ports of both ends",
    );
}

#[test]
fn one_server_id_for_two_backends_of_a_family_is_refused_and_for_two_families_is_not() {
    let with = |second: &str| {
        let backends = format!(
            "scheduler = \"qch\"\nbackends = [\
             {{ address = \"10.0.1.31\", port = 443, server_id = 7 }}, \
             {{ address = \"{second}\", port = 443, server_id = 7 }}, "
        );
        changed("backends = [{ address = \"10.0.1.21\"", &(backends + "{ address = \"10.0.1.21\""))
    };
    refused_once(
        &with("10.0.1.32"),
        "\"qch\"",
        "server_id 7 is given to 10.0.1.31:443 and 10.0.1.32:443",
        "a server id names one backend",
    );
    accepted(&with("fd01::32"));
}

#[test]
fn an_unknown_protocol_is_refused() {
    refuses(
        "protocol = \"tcp\"\nport = 80",
        "protocol = \"sctp\"\nport = 80",
        "\"sctp\"",
        "protocol \"sctp\" is not known",
        "one of tcp, udp",
    );
}

#[test]
fn a_timeout_out_of_range_is_refused() {
    for (key, value, range) in [
        ("established_timeout", "9s", "from \"10s\" to \"900s\""),
        ("established_timeout", "901s", "from \"10s\" to \"900s\""),
        ("syn_timeout", "61s", "from \"1s\" to \"60s\""),
        ("syn_timeout", "999ms", "from \"1s\" to \"60s\""),
        ("fin_timeout", "301s", "from \"1s\" to \"300s\""),
        ("time_wait_timeout", "0s", "from \"1s\" to \"300s\""),
    ] {
        let quoted = format!("\"{value}\"");
        refuses(
            "established_timeout = \"900s\"",
            &format!("{key} = {quoted}"),
            &format!("{quoted}\nserver_group"),
            &format!("{key} {quoted} is out of range"),
            range,
        );
    }
}

#[test]
fn a_duration_without_a_unit_is_refused() {
    refuses(
        "\"900s\"",
        "\"900\"",
        "\"900\"",
        "established_timeout \"900\" has no unit",
        "unit ms, s, m, h or d",
    );
}

#[test]
fn a_number_where_a_duration_belongs_is_refused() {
    refuses(
        "\"900s\"",
        "900",
        "900",
        "established_timeout holds an integer",
        "a duration from \"10s\" to \"900s\"",
    );
}

#[test]
fn timeouts_of_tcp_states_are_refused_on_a_udp_listener() {
    for key in ["syn_timeout", "fin_timeout", "time_wait_timeout"] {
        refuses(
            "port = 53\nbackends",
            &format!("port = 53\n{key} = \"7s\"\nbackends"),
            "\"7s\"",
            &format!("\"{key}\" has no meaning on a udp listener"),
            "established_timeout",
        );
    }
}

#[test]
fn a_server_group_that_does_not_exist_is_refused() {
    let old = "server_group = \"web\"";
    let refuses = |name: &str, hint: &str| {
        let message = format!("server_group \"{name}\" does not exist");
        let quoted = format!("\"{name}\"");
        refuses(old, &format!("server_group = {quoted}"), &quoted, &message, hint);
    };
    refuses("wep", "did you mean \"web\"?");
    refuses("something", "server groups here: web");
}

#[test]
fn a_server_group_is_told_to_be_added_where_there_is_none() {
    refused_once(
        "[dataplane]\ninterfaces = [\"eth0\"]\n[[instance]]\nname = \"shop\"\n\
         vips = [\"10.0.0.100\"]\n[[instance.listener]]\nprotocol = \"tcp\"\nport = 80\n\
         server_group = \"web\"\n",
        "\"web\"",
        "server_group \"web\" does not exist",
        "add it: [[server_group]] with name = \"web\"",
    );
}

#[test]
fn a_server_group_together_with_own_backends_is_refused() {
    refuses(
        "port = 53\nbackends",
        "port = 53\nserver_group = \"web\"\nbackends",
        "[{ address = \"10.0.1.21\"",
        "backends and server_group are both written",
        "keep one",
    );
}

#[test]
fn two_server_groups_of_one_name_are_refused() {
    refused_once(
        &(VALID.to_owned() + "[[server_group]]\nname = \"web\"\nbackends = []\n"),
        "\"web\"\nbackends = []",
        "server_group \"web\" is there already",
        "the first one is in line 9",
    );
}

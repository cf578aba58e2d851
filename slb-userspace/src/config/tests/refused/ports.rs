//! Ports, ranges of them, and the ports of backends behind them.

use super::refuses;
use crate::config::tests::{VALID, changed, refused_once};

fn port(written: &str, message: &str, hint: &str) {
    refuses(
        "port = 80\n",
        &format!("port = {written}\n"),
        &format!("{written}\nmode"),
        message,
        hint,
    );
}

#[test]
fn a_range_that_is_none_is_refused() {
    for written in ["\"8000-\"", "\"-8000\"", "\"8000-81x0\"", "\"1-2-3\"", "\"8000--8100\""] {
        let hint = "or a range \"8000-8100\"";
        port(written, &format!("port {written} is not a range"), hint);
    }
    for written in ["\"0-80\"", "\"80-65536\"", "\"65536-65537\""] {
        port(written, &format!("port {written} is out of range"), "from 1 to 65535");
    }
    port("\"8100-8000\"", "port \"8100-8000\" goes backwards", "write \"8000-8100\"");
    port("\"http\"", "port holds a string", "port is a number");
}

/// The valid file with a second tcp listener.
fn second(port: &str) -> String {
    let second = "[[instance.listener]]\nprotocol = \"tcp\"\nserver_group = \"web\"\n";
    format!("{VALID}{second}port = {port}\n")
}

#[test]
fn listeners_whose_ports_overlap_are_refused() {
    let hint = "the first one of instance \"shop\" is in line 19: no port can have two";
    for range in ["\"80-90\"", "\"70-80\"", "\"1-65535\""] {
        let message =
            format!("tcp ports {} overlaps a listener of port 80", range.trim_matches('"'));
        refused_once(&second(range), range, &message, hint);
    }
    let text = second("85").replace("port = 80\n", "port = \"80-90\"\n");
    refused_once(&text, "85", "tcp port 85 overlaps a listener of ports 80-90", hint);
    let text = second("\"80-90\"").replace("port = 80\n", "port = \"80-90\"\n");
    let message = "tcp ports 80-90 has a listener already";
    refused_once(&text, "\"80-90\"", message, "put the backends into one");
    for beside in ["\"81-90\"", "\"70-79\"", "\"53-54\""] {
        assert!(crate::config::load_str("slb.toml", &second(beside)).is_ok(), "{beside}");
    }
}

#[test]
fn dr_and_tunnel_refuse_another_port_of_a_backend() {
    for mode in ["dr", "tunnel"] {
        let keeps = format!("in mode {mode:?}, which keeps the port");
        let group = changed("\"nat\"", &format!("{mode:?}"))
            .replace("\"10.0.1.12\", port = 8080", "\"10.0.1.12\"");
        let message = format!("backend 10.0.1.11:8080 cannot serve port 80 {keeps}");
        let hint = "leave the backend's port out, or write mode = \"nat\"";
        refused_once(&group, "\"web\"\nhealth", &message, hint);
        let own = changed("port = 53\nbackends", &format!("port = 53\nmode = {mode:?}\nbackends"));
        let message = format!("backend 10.0.1.21:5353 cannot serve port 53 {keeps}");
        refused_once(&own, "{ address = \"10.0.1.21\"", &message, hint);
        // One port cannot take a range, not even its first.
        let range = own.replace("port = 53\nmode", "port = \"5353-5360\"\nmode");
        let message = format!("backend 10.0.1.21:5353 cannot serve ports 5353-5360 {keeps}");
        refused_once(&range, "{ address = \"10.0.1.21\"", &message, hint);
    }
}

#[test]
fn a_backend_with_and_without_the_listeners_port_is_refused() {
    let backends = "[{ address = \"10.0.1.21\", port = 5353 }]";
    refuses(
        backends,
        "[{ address = \"10.0.1.21\" }, { address = \"10.0.1.21\", port = 53 }]",
        "{ address = \"10.0.1.21\", port = 53",
        "backend 10.0.1.21:53 is there with and without its port",
        "keep one of them",
    );
    refuses(
        backends,
        "[{ address = \"10.0.1.21\" }, { address = \"10.0.1.21\" }]",
        "{ address = \"10.0.1.21\" }]",
        "backend 10.0.1.21 is there twice",
        "the first one is in line",
    );
}

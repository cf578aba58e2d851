//! What layer 4 is accepted with and warned of.

use crate::config::{
    model::Scheduler,
    tests::{accepted, changed, warned_once},
};

#[test]
fn an_allow_list_without_entries_is_a_warning() {
    let message = "the acl allows nobody: every client is refused";
    let text = changed("mode = \"nat\"", "acl = { allow = [] }");
    warned_once(&text, "{ allow = [] }", message, "leave acl out");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients");
    std::fs::write(&path, "# nobody yet\n").unwrap();
    let acl = format!("{{ allow = [], file = {path:?} }}");
    warned_once(&changed("mode = \"nat\"", &format!("acl = {acl}")), &acl, message, "list who");
    assert_eq!(accepted(&changed("mode = \"nat\"", "acl = { deny = [] }")).warnings, []);
}

#[test]
fn least_connections_with_persistence_is_a_warning() {
    for scheduler in ["wlc", "lc", "sed", "nq"] {
        let text = changed(
            "scheduler = \"wrr\"",
            &format!("scheduler = {scheduler:?}\npersistence = {{}}"),
        );
        warned_once(
            &text,
            "{}\nest",
            &format!(
                "scheduler {scheduler:?} with persistence: clients that come back go where they \
                 were, however loaded it is"
            ),
            "\"wrr\" spreads clients evenly",
        );
    }
}

#[test]
fn a_slow_start_works_with_every_scheduler() {
    for (scheduler, _) in Scheduler::WORDS.iter().filter(|(_, kind)| *kind != Scheduler::Qch) {
        let text = changed(
            "scheduler = \"wrr\"",
            &format!("scheduler = {scheduler:?}\nslow_start = \"60s\""),
        );
        assert_eq!(accepted(&text).warnings, [], "{scheduler}");
    }
}

#[test]
fn a_tunnel_that_leaves_the_mss_alone_is_a_warning() {
    let text = changed("mode = \"nat\"", "mode = \"tunnel\"\nmss_clamp = \"off\"");
    warned_once(
        &text.replace(", port = 8080", ""),
        "\"off\"",
        "mss_clamp is \"off\" in mode \"tunnel\"",
        "leave it out for \"auto\"",
    );
}

#[test]
fn a_range_that_holds_a_port_of_a_protocol_that_embeds_addresses_is_a_warning() {
    warned_once(
        &changed("port = 80\n", "port = \"18-25\"\n"),
        "\"18-25\"",
        "port 20 is FTP's, which names addresses and ports inside its payload: it will not work \
         through the balancer",
        "SFTP",
    );
    assert_eq!(accepted(&changed("port = 80\n", "port = \"22-1719\"\n")).warnings, []);
    let two = accepted(&changed("port = 80\n", "port = \"1720-5061\"\n")).warnings;
    assert_eq!(two.len(), 2, "{two:#?}");
}

#[test]
fn a_family_whose_backends_all_have_weight_0_is_a_warning() {
    let text = changed("[\"10.0.0.100\"]", "[\"10.0.0.100\", \"fd00::100\"]")
        .replace("\"10.0.1.12\", port = 8080, weight = 50", "\"fd01::12\", port = 8080, weight = 0")
        .replace("[{ address", "[{ address = \"fd01::21\", port = 5353 }, { address");
    warned_once(
        &text,
        "\"web\"\nhealth_check",
        "all IPv6 weights are 0: its new clients are refused",
        "at least one IPv6 backend",
    );
}

#[test]
fn a_limit_that_the_table_cannot_keep_is_a_warning() {
    let hint = "raise dataplane.max_connections";
    let more = |limit: u64, room: u64| {
        format!("{limit} connections are more than the table holds for these VIPs, {room}")
    };
    let listener = changed("mode = \"nat\"", "limits = { max_connections = 1_000_001 }");
    warned_once(&listener, "1_000_001", &more(1_000_001, 1_000_000), hint);
    let small = |instance: &str| {
        changed("max_backends = 64", "max_connections = 2000")
            .replace("vips = [", &format!("{instance}\nvips = ["))
    };
    let text = small("specification = { max_connections = 2001 }");
    warned_once(&text, "2001", &more(2001, 2000), hint);
    let text = small("specification = \"slb.s1.small\"");
    warned_once(&text, "\"slb.s1.small\"", &more(5000, 2000), hint);
    assert_eq!(accepted(&small("specification = { max_connections = 2000 }")).warnings, []);
    let backend = changed("weight = 50", "limits = { max_connections = 1_000_001 }");
    warned_once(&backend, "\"web\"\nhealth_check", &more(1_000_001, 1_000_000), hint);
}

#[test]
fn persistence_that_nobody_else_shares_is_a_warning() {
    warned_once(
        &changed("mode = \"nat\"", "persistence = { shared = \"web\" }"),
        "{ shared",
        "persistence \"web\" is shared with no other listener",
        "the same shared = \"NAME\" in another one",
    );
}

#[test]
fn a_bandwidth_of_the_instance_that_cannot_hold_for_replies_is_a_warning() {
    let text = changed("mode = \"nat\"", "mode = \"dr\"").replace(", port = 8080", "");
    let text =
        text.replace("vips = [", "bandwidth = { in = \"1Gbit\", out = \"1Gbit\" }\nvips = [");
    warned_once(
        &text,
        "{ in = \"1Gbit\"",
        "\"out\" does not hold for tcp port 80 in mode dr",
        "limit them at the servers",
    );
    assert_eq!(accepted(&text.replace(", out = \"1Gbit\"", "")).warnings, []);
}

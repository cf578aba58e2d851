//! ACLs, exemptions, local addresses and tunnel sources.

use std::path::Path;

use ipnet::IpNet;

use crate::config::{
    model::*,
    tests::{COOKIE_KEY, accepted, changed},
};

fn listener(lines: &str) -> Listener {
    let checked = accepted(&changed("mode = \"nat\"", lines));
    assert_eq!(checked.warnings, [], "{lines}");
    checked.config.instances[0].listeners[0].clone()
}

fn dataplane(lines: &str) -> DataplaneSettings {
    let checked = accepted(&changed("max_backends = 64", lines));
    assert_eq!(checked.warnings, [], "{lines}");
    checked.config.dataplane
}

fn networks<const N: usize>(written: [&str; N]) -> Vec<IpNet> {
    written.map(|one| one.parse().unwrap()).to_vec()
}

#[test]
fn an_acl_allows_or_denies_prefixes_and_addresses_of_both_families() {
    let acl =
        listener("acl = { allow = [\"10.0.0.0/8\", \"192.0.2.1\", \"fd00::/8\", \"fd00::1\"] }");
    let expected = networks(["10.0.0.0/8", "192.0.2.1/32", "fd00::/8", "fd00::1/128"]);
    assert_eq!(acl.acl, Some(Acl { kind: AclKind::Allow, networks: expected.into() }));
    let acl = listener("acl = { deny = [\"0.0.0.0/0\", \"::/0\"] }").acl;
    let everybody = networks(["0.0.0.0/0", "::/0"]);
    assert_eq!(acl, Some(Acl { kind: AclKind::Deny, networks: everybody.into() }));
}

#[test]
fn entries_of_an_acl_may_overlap_and_one_that_stands_twice_counts_once() {
    let acl = listener("acl = { deny = [\"10.0.0.0/8\", \"10.1.0.0/16\", \"10.0.0.0/8\"] }").acl;
    assert_eq!(acl.unwrap().networks[..], networks(["10.0.0.0/8", "10.1.0.0/16"])[..]);
}

#[test]
fn an_acl_can_go_on_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients");
    let text = "# office\n10.1.0.0/16\r\n\n  fd00::/8   # branch\n#\n192.0.2.7\n10.2.0.0/16";
    std::fs::write(&path, text).unwrap();
    let own = format!("acl = {{ allow = [\"10.2.0.0/16\"], file = {path:?} }}");
    let expected = networks(["10.1.0.0/16", "10.2.0.0/16", "192.0.2.7/32", "fd00::/8"]);
    assert_eq!(listener(&own).acl.unwrap().networks[..], expected[..]);
    let alone = format!("acl = {{ deny = [], file = {path:?} }}");
    let acl = listener(&alone).acl.unwrap();
    assert_eq!((acl.kind, acl.networks.len()), (AclKind::Deny, 4));
}

#[test]
fn an_acl_has_up_to_50_000_entries() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients");
    let line = |n: u32| format!("10.{}.{}.{}\n", n >> 16, n >> 8 & 255, n & 255);
    std::fs::write(&path, (0..50_000).map(line).collect::<String>()).unwrap();
    let acl = listener(&format!("acl = {{ deny = [\"10.0.0.0\"], file = {path:?} }}")).acl;
    assert_eq!(acl.unwrap().networks.len(), 50_000);
}

#[test]
fn syn_defence_has_a_mode_a_threshold_and_exemptions() {
    let own = listener(
        "syn_defence = { mode = \"auto\", threshold = 7, exempt = [\"10.9.0.0/16\", \"fd09::\"] }",
    );
    assert_eq!(
        own.syn_defence,
        SynDefence {
            mode: SynDefenceMode::Auto,
            threshold: 7,
            exempt: networks(["10.9.0.0/16", "fd09::/128"]).into(),
        }
    );
    let mode = |word| listener(&format!("syn_defence = {{ mode = {word:?} }}")).syn_defence.mode;
    assert_eq!((mode("off"), mode("always")), (SynDefenceMode::Off, SynDefenceMode::Always));
}

#[test]
fn local_addresses_are_prefixes_and_addresses_up_to_4096() {
    let local = dataplane("local_addresses = [\"100.64.0.0/20\"]").local_addresses;
    assert_eq!(local, networks(["100.64.0.0/20"]));
    let local = dataplane("local_addresses = [\"100.64.0.1\", \"fd64::/124\"]").local_addresses;
    assert_eq!(local, networks(["100.64.0.1/32", "fd64::/124"]));
}

#[test]
fn a_fullnat_listener_is_fine_with_a_local_address_of_its_backends_family() {
    let text = changed("\"nat\"", "\"fullnat\"")
        .replace("max_backends = 64", "local_addresses = [\"100.64.0.0/28\"]");
    let checked = accepted(&text);
    assert_eq!(checked.warnings, []);
    assert_eq!(checked.config.instances[0].listeners[0].mode, ForwardingMode::FullNat);
}

#[test]
fn the_tunnel_source_is_one_prefix_or_one_of_each_family() {
    let source = dataplane("tunnel_source = \"192.0.2.0/24\"").tunnel_source;
    assert_eq!(source, networks(["192.0.2.0/24"]));
    let source = dataplane("tunnel_source = [\"fd09::/64\", \"192.0.2.1\"]").tunnel_source;
    assert_eq!(source, networks(["fd09::/64", "192.0.2.1/32"]));
}

#[test]
fn the_sizes_of_layer_4_tables_can_be_set() {
    let settings =
        dataplane("max_templates = 1024\nmax_fragments = 1_048_576\nmax_acl_entries = 16_000_000");
    assert_eq!(settings.max_templates, 1024);
    assert_eq!(settings.max_fragments, 1_048_576);
    assert_eq!(settings.max_acl_entries, 16_000_000);
}

#[test]
fn the_key_of_syn_cookies_is_a_file_that_holds_one() {
    let settings = dataplane(&format!("cookie_key_file = {COOKIE_KEY:?}"));
    assert_eq!(settings.cookie_key_file.as_deref(), Some(Path::new(COOKIE_KEY)));
}

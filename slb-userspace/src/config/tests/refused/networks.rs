//! ACLs and their files, exemptions, local addresses and tunnel sources.

use super::refuses;
use crate::config::tests::{changed, errors, refused_once};

fn listener(new: &str, meant: &str, message: &str, hint: &str) {
    refuses("mode = \"nat\"", new, meant, message, hint);
}

fn dataplane(new: &str, meant: &str, message: &str, hint: &str) {
    refuses("max_backends = 64", new, meant, message, hint);
}

#[test]
fn an_entry_that_is_no_prefix_is_refused() {
    for (entry, why, hint) in [
        ("example.com", "is not a prefix", "such as \"10.0.0.0/8\""),
        ("10.0.0.0/33", "is not a prefix", "such as"),
        ("10.0.0.1-10.0.0.9", "is not a prefix", "such as"),
        (
            "10.0.0.1/8",
            "has bits after its prefix",
            "\"10.0.0.0/8\" for the network or \"10.0.0.1\"",
        ),
        ("fd00::1/64", "has bits after its prefix", "\"fd00::/64\" for the network"),
        ("::ffff:10.0.0.0/104", "is an IPv4 prefix in IPv6 clothes", "write it as IPv4"),
    ] {
        let quoted = format!("{entry:?}");
        for kind in ["allow", "deny"] {
            let line = format!("acl = {{ {kind} = [\"10.0.0.0/8\", {quoted}] }}");
            listener(&line, &quoted, &format!("{kind} {quoted} {why}"), hint);
        }
        let line = format!("syn_defence = {{ exempt = [{quoted}] }}");
        listener(&line, &quoted, &format!("exempt {quoted} {why}"), hint);
        let line = format!("local_addresses = [{quoted}]");
        dataplane(&line, &quoted, &format!("local_addresses {quoted} {why}"), hint);
        let line = format!("tunnel_source = {quoted}");
        dataplane(&line, &quoted, &format!("tunnel_source {quoted} {why}"), hint);
    }
}

#[test]
fn an_acl_is_one_list() {
    let neither = "acl has neither allow nor deny";
    listener("acl = {}", "{}", neither, "{ allow = [...] }");
    let file = "{ file = \"/etc/slb/clients\" }";
    listener(&format!("acl = {file}"), file, neither, "[] if all entries are in a file");
    listener(
        "acl = { allow = [], deny = [\"10.0.0.0/8\"] }",
        "[\"10.0.0.0/8\"]",
        "allow and deny are both written",
        "keep one",
    );
}

#[test]
fn a_file_of_an_acl_that_cannot_be_read_is_refused() {
    let line = |name: &str| format!("acl = {{ deny = [], file = {name:?} }}");
    listener(
        &line("/nowhere/clients"),
        "\"/nowhere/clients\"",
        "file \"/nowhere/clients\" cannot be read: No such file or directory (os error 2)",
        "one address or prefix a line",
    );
    listener(
        &line("clients"),
        "\"clients\"",
        "file \"clients\" is not an absolute path",
        "an absolute path",
    );
    // Neither of these ends, and the second never answers.
    for name in ["/dev/zero", "/"] {
        let message = format!("file {name:?} cannot be read: it is not a file");
        listener(&line(name), &format!("{name:?}"), &message, "# begins a comment");
    }
}

/// A listener whose ACL goes on in a file of this text; what is found wrong.
fn with_file(text: &str) -> (String, Vec<crate::config::Diagnostic>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients");
    std::fs::write(&path, text).unwrap();
    let line = format!("acl = {{ deny = [], file = {path:?} }}");
    (path.display().to_string(), errors(&changed("mode = \"nat\"", &line)))
}

#[test]
fn every_wrong_line_of_an_acls_file_is_told_by_its_place() {
    let (path, found) = with_file("10.0.0.0/8\n# é\n  10.1.0.1/16 # office\n\nnobody\n");
    let shown: Vec<String> =
        found.iter().map(|one| one.to_string().lines().next().unwrap().to_owned()).collect();
    assert_eq!(
        shown,
        [
            format!("{path}:3:3: error: entry \"10.1.0.1/16\" has bits after its prefix"),
            format!("{path}:5:1: error: entry \"nobody\" is not a prefix"),
        ]
    );
    assert!(found[0].hint.as_ref().unwrap().contains("\"10.1.0.0/16\" for the network"));
    assert!(found[0].to_string().contains("  10.1.0.1/16 # office"), "{}", found[0]);
}

#[test]
fn a_file_of_something_else_is_not_told_line_by_line() {
    let (path, found) = with_file(&"nobody\n".repeat(30_000));
    assert_eq!(found.len(), 21);
    assert_eq!(found[0].message, format!("file {path:?} has 30000 wrong entries"));
    assert_eq!((found[0].file.as_str(), found[20].file.as_str()), ("slb.toml", path.as_str()));
}

#[test]
fn a_file_that_is_not_utf_8_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients");
    std::fs::write(&path, b"10.0.0.0/8 # caf\xe9\n").unwrap();
    let found =
        errors(&changed("mode = \"nat\"", &format!("acl = {{ deny = [], file = {path:?} }}")));
    assert!(found[0].message.ends_with("cannot be read: stream did not contain valid UTF-8"));
}

#[test]
fn an_acl_of_more_than_50_000_entries_is_refused() {
    let line = |n: u32| format!("10.{}.{}.{}\n", n >> 16, n >> 8 & 255, n & 255);
    let (_, found) = with_file(&(0..=50_000).map(line).collect::<String>());
    assert_eq!(found[0].message, "acl has 50001 entries, more than 50000");
    assert!(found[0].hint.as_ref().unwrap().contains("shorter prefixes"));
}

#[test]
fn more_entries_than_the_table_has_room_for_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients");
    let line = |n: u32| format!("10.0.{}.{}\n", n >> 8 & 255, n & 255);
    std::fs::write(&path, (0..1023).map(line).collect::<String>()).unwrap();
    let text = changed("max_backends = 64", "max_acl_entries = 1024").replace(
        "mode = \"nat\"",
        &format!(
            "acl = {{ allow = [], file = {path:?} }}\n\
             syn_defence = {{ exempt = [\"10.1.0.0/16\", \"10.2.0.0/16\"] }}"
        ),
    );
    refused_once(
        &text,
        "1024",
        "max_acl_entries 1024 is too small: listeners have 1025",
        "raise it, with room for the next ACL",
    );
    let fits = text.replace(", \"10.2.0.0/16\"", "");
    assert!(crate::config::load_str("slb.toml", &fits).is_ok());
}

#[test]
fn local_addresses_that_somebody_else_has_are_refused() {
    dataplane(
        "local_addresses = [\"10.0.0.96/27\"]",
        "\"10.0.0.96/27\"",
        "local address 10.0.0.96/27 holds the VIP 10.0.0.100 of instance \"shop\"",
        "nobody else's",
    );
    let text = changed("max_backends = 64", "local_addresses = [\"10.0.1.12\"]");
    refused_once(
        &text,
        "\"10.0.1.12\", port",
        "backend 10.0.1.12 is one of the local addresses, 10.0.1.12/32",
        "nobody else's",
    );
    dataplane(
        "local_addresses = [\"100.64.0.0/28\", \"100.64.0.15\"]",
        "\"100.64.0.15\"",
        "local address 100.64.0.15/32 overlaps 100.64.0.0/28",
        "write it once",
    );
    dataplane(
        "local_addresses = [\"127.0.0.0/30\"]",
        "\"127.0.0.0/30\"",
        "local address 127.0.0.0/30 is a loopback address",
        "others can reach",
    );
}

#[test]
fn more_than_4096_local_addresses_are_refused() {
    for (prefixes, message) in [
        ("[\"100.64.0.0/19\"]", "local_addresses are more than 4096 addresses"),
        ("[\"100.64.0.0/20\", \"fd64::\"]", "local_addresses are more than 4096 addresses"),
        ("[\"fd64::/64\"]", "local_addresses are more than 4096 addresses"),
        ("[\"fd64::/63\"]", "local_addresses are more than 4096 addresses"),
    ] {
        dataplane(&format!("local_addresses = {prefixes}"), prefixes, message, "/28 or a /124");
    }
}

#[test]
fn fullnat_without_a_local_address_of_the_backends_family_is_refused() {
    let fullnat = changed("\"nat\"", "\"fullnat\"");
    let message = "mode \"fullnat\" has no IPv4 local address";
    refused_once(&fullnat, "\"fullnat\"", message, "local_addresses = [\"100.64.0.0/28\"]");
    let v6_only = fullnat.replace("max_backends = 64", "local_addresses = [\"fd64::/124\"]");
    refused_once(&v6_only, "\"fullnat\"", message, "100.64.0.0/28");
    let v6_backends = changed("\"nat\"", "\"fullnat\"")
        .replace("max_backends = 64", "local_addresses = [\"100.64.0.0/28\"]")
        .replace("[\"10.0.0.100\"]", "[\"10.0.0.100\", \"fd00::100\"]")
        .replace("\"10.0.1.12\"", "\"fd01::12\"");
    let message = "mode \"fullnat\" has no IPv6 local address";
    refused_once(&v6_backends, "\"fullnat\"", message, "fd64::/124");
    // What is missing is not told where it is only wrong.
    let wrong = fullnat.replace("max_backends = 64", "local_addresses = [\"100.64.0.1/28\"]");
    assert_eq!(errors(&wrong).len(), 1);
}

#[test]
fn a_second_tunnel_source_of_a_family_is_refused() {
    dataplane(
        "tunnel_source = [\"192.0.2.0/24\", \"fd09::/64\", \"192.0.3.0/24\"]",
        "\"192.0.3.0/24\"",
        "tunnel_source has a second IPv4 prefix",
        "keep 192.0.2.0/24 or 192.0.3.0/24",
    );
    dataplane(
        "tunnel_source = \"224.0.0.0/24\"",
        "\"224.0.0.0/24\"",
        "tunnel_source 224.0.0.0/24 is a multicast address",
        "one host",
    );
}

#[test]
fn a_key_file_that_is_not_absolute_is_refused() {
    dataplane(
        "cookie_key_file = \"cookie.key\"",
        "\"cookie.key\"",
        "cookie_key_file \"cookie.key\" is not an absolute path",
        "an absolute path",
    );
    dataplane("cookie_key_file = 7", "7", "cookie_key_file holds an integer", "an absolute path");
}

#[test]
fn a_key_file_that_the_daemon_would_not_start_with_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let refused = |why: &str| {
        let (line, meant) = (format!("cookie_key_file = {path:?}"), format!("{path:?}"));
        let message = format!("cookie_key_file {path:?} {why}");
        dataplane(&line, &meant, &message, "`openssl rand -hex 16` prints a new key");
    };
    refused("cannot be read: No such file or directory (os error 2)");
    std::fs::write(&path, "").unwrap();
    refused("has 0 characters where a key has 32 hexadecimal digits");
    std::fs::write(&path, "0001020304050607\n").unwrap();
    refused("has 16 characters where a key has 32 hexadecimal digits");
    std::fs::write(&path, "000102030405060708090a0b0c0d0e0g").unwrap();
    refused("has 32 characters, and not all of them are hexadecimal digits");
    std::fs::write(&path, [0xff; 16]).unwrap();
    refused("cannot be read: stream did not contain valid UTF-8");
    std::fs::write(&path, "0".repeat(5000)).unwrap();
    refused("cannot be read: it is longer than 4096 bytes");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("cannot be read: it is not a file");
}

#[test]
fn sizes_of_layer_4_tables_have_ranges() {
    for (key, value, range) in [
        ("max_templates", "1023", "from 1024 to 16000000"),
        ("max_templates", "16_000_001", "from 1024 to 16000000"),
        ("max_fragments", "1023", "from 1024 to 1048576"),
        ("max_fragments", "1_048_577", "from 1024 to 1048576"),
        ("max_acl_entries", "1023", "from 1024 to 16000000"),
    ] {
        let message = format!("{key} {value} is out of range");
        dataplane(&format!("{key} = {value}"), value, &message, range);
    }
}

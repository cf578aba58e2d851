//! Sentences about every row of the lists of keys, proven row by row.

use super::{VALID, accepted, errors, load_str, said};
use crate::config::{
    keys::{
        ACL, Absent, BACKEND, BACKEND_LIMITS, BANDWIDTH, BLACKHOLE, CLIENT_LIMITS, DAEMON,
        DATAPLANE, HEALTH_CHECK, INSTANCE, LIMITS, LISTENER, PERSISTENCE, SERVER_GROUP,
        SPECIFICATION, SYN_DEFENCE, TABLES, TOP, TableKeys,
    },
    reference, unsupported,
};

/// Keys that a legal table of each kind holds in these tests.
const LEGAL: [(&TableKeys, &[(&str, &str)]); 16] = [
    (&DAEMON, &[]),
    (&DATAPLANE, &[("interfaces", "[\"eth0\"]")]),
    (&SERVER_GROUP, &[("name", "\"web\""), ("backends", "[]")]),
    (&INSTANCE, &[("name", "\"shop\""), ("vips", "[\"10.0.0.100\"]")]),
    (&LISTENER, &[("protocol", "\"tcp\""), ("port", "80")]),
    (&BACKEND, &[("address", "\"10.0.1.11\""), ("port", "8080")]),
    (&HEALTH_CHECK, &[("type", "\"http\"")]),
    (&SPECIFICATION, &[("cps", "7")]),
    (&BLACKHOLE, &[("pps", "7")]),
    (&BACKEND_LIMITS, &[("cps", "7")]),
    (&LIMITS, &[("cps", "7")]),
    (&CLIENT_LIMITS, &[("cps", "7")]),
    (&BANDWIDTH, &[("in", "\"7Mbit\"")]),
    (&PERSISTENCE, &[]),
    (&ACL, &[("allow", "[\"10.0.0.0/8\"]")]),
    (&SYN_DEFENCE, &[]),
];

/// Tables that are a value of another table, and its key.
const NESTED: [(&TableKeys, &TableKeys, &str); 9] = [
    (&SPECIFICATION, &INSTANCE, "specification"),
    (&BLACKHOLE, &INSTANCE, "blackhole"),
    (&BACKEND_LIMITS, &BACKEND, "limits"),
    (&LIMITS, &LISTENER, "limits"),
    (&CLIENT_LIMITS, &LIMITS, "client"),
    (&BANDWIDTH, &LISTENER, "bandwidth"),
    (&PERSISTENCE, &LISTENER, "persistence"),
    (&ACL, &LISTENER, "acl"),
    (&SYN_DEFENCE, &LISTENER, "syn_defence"),
];

/// The entries of [`LEGAL`], but `changed` in place of the key of its name.
fn entries(of: &TableKeys, changed: Option<(&str, Option<&str>)>, separator: &str) -> String {
    let legal = LEGAL.iter().find(|(legal, _)| legal.place == of.place).unwrap().1;
    let kept = legal.iter().filter(|(name, _)| changed.is_none_or(|(key, _)| key != *name));
    let mut lines: Vec<String> = kept.map(|(name, value)| format!("{name} = {value}")).collect();
    if let Some((key, Some(value))) = changed {
        lines.push(format!("{key} = {value}"));
    }
    lines.join(separator)
}

/// A file whose tables hold [`LEGAL`], but in one of them `key = value`, or nothing for the key.
fn file(table: &TableKeys, key: &str, value: Option<&str>) -> String {
    if table.place == TOP.place {
        return value.map_or_else(String::new, |value| format!("{key} = {value}\n"));
    }
    if let Some((_, parent, name)) = NESTED.iter().find(|(nested, ..)| nested.place == table.place)
    {
        let inner = format!("{{ {} }}", entries(table, Some((key, value)), ", "));
        return file(parent, name, Some(&inner));
    }
    let entries = |of: &TableKeys, separator: &str| {
        entries(of, (table.place == of.place).then_some((key, value)), separator)
    };
    let own = |name: &str, written: String| {
        if table.place == LISTENER.place && key == name { String::new() } else { written }
    };
    format!(
        "[daemon]\n{}\n[dataplane]\n{}\n[[server_group]]\n{}\n[[instance]]\n{}\n{}{}\n{}{}",
        entries(&DAEMON, "\n"),
        entries(&DATAPLANE, "\n"),
        entries(&SERVER_GROUP, "\n"),
        entries(&INSTANCE, "\n"),
        if key == "listener" { "" } else { "[[instance.listener]]\n" },
        if key == "listener" { String::new() } else { entries(&LISTENER, "\n") },
        own("backends", format!("backends = [{{ {} }}]\n", entries(&BACKEND, ", "))),
        own("health_check", format!("health_check = {{ {} }}\n", entries(&HEALTH_CHECK, ", "))),
    )
}

/// A file whose tables hold [`LEGAL`], but in one of them `key = value`.
pub(super) fn file_with(table: &TableKeys, key: &str, value: &str) -> String {
    file(table, key, Some(value))
}

#[test]
fn every_listed_key_is_read_and_refuses_a_value_of_another_type() {
    for table in TABLES {
        for key in table.keys {
            let text = file_with(table, key.name, "1979-05-27");
            let found = errors(&text);
            let message = format!("{} holds a datetime", key.name);
            let one = found.iter().find(|one| one.message == message);
            let one = one.unwrap_or_else(|| panic!("{} of {}: {found:#?}", key.name, table.place));
            said(one, &text, "1979-05-27", &message, "");
        }
    }
}

#[test]
fn every_key_that_must_be_written_is_missed() {
    for (table, _) in LEGAL {
        for key in table.keys.iter().filter(|key| matches!(key.absent, Absent::Refused)) {
            let text = file_with(table, key.name, "1979-05-27");
            let written = format!("{} = 1979-05-27", key.name);
            let (before, after) = text.split_once(&written).unwrap();
            let text = format!("{before}{}", after.trim_start_matches(", "));
            let message = format!("{} has no {:?}", table.place, key.name);
            let hint = format!("{} is ", key.name);
            let found = errors(&text);
            let one = found.iter().find(|one| one.message == message);
            let one = one.unwrap_or_else(|| panic!("{message}: {found:#?}\n{text}"));
            assert!(one.hint.as_ref().unwrap().starts_with(&hint));
        }
    }
}

#[test]
fn every_documented_default_is_what_leaving_the_key_out_means() {
    for (table, _) in LEGAL {
        for key in table.keys {
            let Absent::Means(value) = key.absent else {
                continue;
            };
            let written = accepted(&file_with(table, key.name, value)).config;
            let absent = accepted(&file(table, key.name, None)).config;
            assert_eq!(written, absent, "{} = {value} in {}", key.name, table.place);
        }
    }
}

#[test]
fn everything_that_is_not_built_yet_is_refused_by_name_and_says_what_works() {
    for row in unsupported::rows() {
        let text = file_with(row.table, row.key, &row.example());
        let written = format!("{} = {}", row.key, row.example());
        let errors = errors(&text);
        let later = "is not supported by this version yet";
        let one = errors.iter().find(|one| one.message.ends_with(later));
        let one = one.unwrap_or_else(|| panic!("{}: {errors:#?}", row.key));
        assert!(one.message.contains(row.key), "{one}");
        assert_eq!(one.hint.as_deref(), Some(row.instead));
        assert_eq!(one.position.unwrap().line, super::place(&text, &written).0);
    }
}

#[test]
fn nothing_is_both_built_and_not_supported() {
    for row in unsupported::rows().iter().filter(|row| row.what == unsupported::What::Key) {
        assert!(row.table.find(row.key).is_none(), "{}", row.key);
    }
}

#[test]
fn a_key_that_no_table_knows_is_refused_everywhere() {
    for table in TABLES {
        let found = errors(&file_with(table, "qqqqqqqq", "1"));
        let message = format!("key \"qqqqqqqq\" is not known in {}", table.place);
        let one = found.iter().find(|one| one.message == message).expect(table.place);
        for name in table.names() {
            assert!(one.hint.as_ref().unwrap().contains(name), "{one}");
        }
    }
}

#[test]
fn the_reference_names_every_key() {
    let page = reference();
    for key in TABLES.iter().flat_map(|table| table.keys) {
        assert!(page.contains(&format!("| `{}` |", key.name)), "{}", key.name);
    }
}

#[test]
fn the_file_of_these_tests_has_nothing_to_be_said_about() {
    assert_eq!(load_str("slb.toml", VALID).unwrap().warnings, []);
}

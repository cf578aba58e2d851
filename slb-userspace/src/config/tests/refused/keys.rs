//! Keys that are not known and values of the wrong type.

use super::refuses;
use crate::config::tests::{changed, errors, refused_once};

#[test]
fn an_unknown_key_names_its_table_and_the_key_that_was_meant() {
    refuses(
        "scheduler = ",
        "schedular = ",
        "schedular",
        "key \"schedular\" is not known in [[instance.listener]]",
        "did you mean \"scheduler\"? keys of [[instance.listener]]: protocol, port, mode",
    );
}

#[test]
fn an_unknown_key_of_a_backend_is_refused() {
    refuses(
        "weight = 50",
        "weigth = 50",
        "weigth",
        "key \"weigth\" is not known in a backend",
        "did you mean \"weight\"?",
    );
}

#[test]
fn a_key_in_the_wrong_table_is_told_its_own() {
    refuses(
        "socket = \"/run/slb/slb.sock\"",
        "pin_dir = \"/sys/fs/bpf/slb\"",
        "pin_dir",
        "key \"pin_dir\" is not known in [daemon]",
        "\"pin_dir\" is a key of [dataplane]",
    );
}

#[test]
fn a_slip_in_a_key_of_a_later_version_says_so() {
    refuses(
        "mode = \"nat\"",
        "proxy_protocl = {}",
        "proxy_protocl",
        "key \"proxy_protocl\" is not known in [[instance.listener]]",
        "did you mean \"proxy_protocol\", which is not supported yet?",
    );
}

#[test]
fn a_number_in_quotes_is_told_to_lose_them() {
    refuses(
        "port = 80\n",
        "port = \"80\"\n",
        "\"80\"\n",
        "port holds a string",
        "a number from 1 to 65535, without quotes: port = 80",
    );
}

#[test]
fn a_single_table_where_several_may_stand_is_told_its_header() {
    refused_once(
        "[dataplane]\ninterfaces = [\"eth0\"]\n[instance]\nname = \"shop\"\n",
        "[instance]",
        "instance holds a table",
        "its header is written [[instance]]",
    );
}

#[test]
fn all_problems_are_told_at_once_in_file_order() {
    let text = changed("port = 80\n", "port = 0\n")
        .replace("\"wrr\"", "\"wlcc\"")
        .replace("weight = 50", "weight = 101")
        .replace("[\"eth0\"]", "[]")
        .replace("[daemon]", "[daemon]\nverbose = true");
    let messages: Vec<String> = errors(&text).into_iter().map(|one| one.message).collect();
    assert_eq!(
        messages,
        [
            "key \"verbose\" is not known in [daemon]",
            "interfaces [] names no interface",
            "weight 101 is out of range",
            "port 0 is out of range",
            "scheduler \"wlcc\" is not known",
        ]
    );
}

//! Tables inside of instances, listeners and backends: limits, persistence, ACL, SYN defence.

use super::{
    super::model::SynDefenceMode,
    Absent::{Means, Then},
    Accepts::{Flag, Integer, Megabits, Seconds, Text, Words},
    TableKeys, key, words,
};

/// More connections than any table holds, or any machine opens in a second.
const MANY: u64 = 1_000_000_000;

/// `specification = { ... }`.
#[rustfmt::skip]
pub(in super::super) static SPECIFICATION: TableKeys = TableKeys {
    place: "specification",
    keys: &[
        key("max_connections", Integer(1, MANY), Then("no limit"), "live connections"),
        key("cps", Integer(1, MANY), Then("no limit"), "new connections per second"),
        key("qps", Integer(1, MANY), Then("no limit"), "queries per second (layer 7)"),
    ],
};

/// `blackhole = { ... }`.
#[rustfmt::skip]
pub(in super::super) static BLACKHOLE: TableKeys = TableKeys {
    place: "blackhole",
    keys: &[
        key("pps", Integer(1, MANY), Then("no threshold"), "packets per second to one VIP"),
        key("bps", Megabits(1, 1_000_000), Then("no threshold"), "bits per second to one VIP"),
        key("duration", Seconds(1, 86_400), Means("\"60s\""), "how long it gets nothing"),
    ],
};

/// `limits = { ... }` of a listener.
#[rustfmt::skip]
pub(in super::super) static LIMITS: TableKeys = TableKeys {
    place: "limits",
    keys: &[
        key("max_connections", Integer(1, MANY), Then("no limit"), "live connections"),
        key("cps", Integer(1, MANY), Then("no limit"), "new connections per second"),
        key("client", Text("a table, e.g. { cps = 100 }"), Then("no limit"),
            "limits of each client prefix"),
        key("shadow", Flag, Means("false"),
            "true: only counts what would have been refused, clients' limits included"),
    ],
};

/// `limits.client = { ... }`.
#[rustfmt::skip]
pub(in super::super) static CLIENT_LIMITS: TableKeys = TableKeys {
    place: "limits.client",
    keys: &[
        key("max_connections", Integer(1, MANY), Then("no limit"), "live connections"),
        key("cps", Integer(1, MANY), Then("no limit"), "new connections per second"),
        key("netmask", Integer(1, 32), Means("32"), "prefix length of IPv4 clients that are one"),
        key("netmask6", Integer(1, 128), Means("64"),
            "the same for IPv6, where a single host has a /64"),
    ],
};

/// `limits = { ... }` of a backend.
#[rustfmt::skip]
pub(in super::super) static BACKEND_LIMITS: TableKeys = TableKeys {
    place: "a backend's limits",
    keys: &[
        key("max_connections", Integer(1, MANY), Then("no limit"), "live connections"),
        key("cps", Integer(1, MANY), Then("no limit"), "new connections per second"),
    ],
};

/// `bandwidth = { ... }`.
#[rustfmt::skip]
pub(in super::super) static BANDWIDTH: TableKeys = TableKeys {
    place: "bandwidth",
    keys: &[
        key("in", Megabits(1, 100_000), Then("no limit"), "from clients"),
        key("out", Megabits(1, 100_000), Then("no limit"),
            "to clients; not in dr and tunnel mode, where replies do not come by"),
    ],
};

/// `persistence = { ... }`.
#[rustfmt::skip]
pub(in super::super) static PERSISTENCE: TableKeys = TableKeys {
    place: "persistence",
    keys: &[
        key("timeout", Seconds(1, 3600), Means("\"1000s\""),
            "how long a client is remembered after its last connection"),
        key("netmask", Integer(1, 32), Means("32"), "prefix length of IPv4 clients that are one"),
        key("netmask6", Integer(1, 128), Means("128"), "the same for IPv6"),
        key("shared", Text("a name, the same in several listeners of an instance"),
            Then("not shared"), "a client has one backend address for all of them"),
    ],
};

/// `acl = { ... }`.
#[rustfmt::skip]
pub(in super::super) static ACL: TableKeys = TableKeys {
    place: "acl",
    keys: &[
        key("allow", Text(CIDRS), Then("see deny"), "the only clients that may connect"),
        key("deny", Text(CIDRS), Then("see allow"), "clients that may not connect"),
        key("file", Text("an absolute path"), Then("none"),
            "more entries for the list that is written: one a line, # begins a comment"),
    ],
};

/// `syn_defence = { ... }`.
#[rustfmt::skip]
pub(in super::super) static SYN_DEFENCE: TableKeys = TableKeys {
    place: "syn_defence",
    keys: &[
        key("mode", Words(|| words(SynDefenceMode::WORDS)), Means("\"auto\""),
            "auto: above the threshold, until 30 s below half of it"),
        key("threshold", Integer(1, 100_000_000), Means("10_000"),
            "half-open connections per second of a VIP"),
        key("exempt", Text(CIDRS), Means("[]"), "clients that never meet it"),
    ],
};

const CIDRS: &str = "a list of addresses and prefixes, e.g. [\"10.0.0.0/8\"]";

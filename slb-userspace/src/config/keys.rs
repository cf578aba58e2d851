//! Every key that a configuration file may hold: what it takes, its default, what it is for.
//!
//! One list, three uses: unknown keys are refused by it, ranges are checked by it, and the
//! reference in the manual is written from it. Keys of later versions stand in
//! [`super::unsupported`].

mod layer4;

use std::fmt;

pub(super) use self::layer4::{
    ACL, BACKEND_LIMITS, BANDWIDTH, BLACKHOLE, CLIENT_LIMITS, LIMITS, PERSISTENCE, SPECIFICATION,
    SYN_DEFENCE,
};
use super::model::{
    ForwardingMode, HttpMethod, NoBackend, OnBackendDown, Protocol, Role, Scheduler, TcpTimestamps,
    VipOwner, XdpMode,
};

/// One table of the file and its keys.
#[derive(Debug)]
pub(super) struct TableKeys {
    /// How messages name it, mostly its header.
    pub(super) place: &'static str,
    /// Its keys, in the order of the manual.
    pub(super) keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// As it is written.
    pub(super) name: &'static str,
    /// What it takes.
    pub(super) accepts: Accepts,
    /// What it means to leave it out.
    pub(super) absent: Absent,
    /// What it is for, in one line.
    pub(super) about: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Accepts {
    /// A whole number of this range.
    Integer(u64, u64),
    /// A duration of this range, in seconds.
    Seconds(u64, u64),
    /// A rate of this range, in Mbit/s.
    Megabits(u64, u64),
    /// A port or a range of ports.
    Ports,
    /// One of some words.
    Words(fn() -> Vec<&'static str>),
    /// `true` or `false`.
    Flag,
    /// Something else, described.
    Text(&'static str),
}

/// What it means to leave a key out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Absent {
    /// The file is refused.
    Refused,
    /// The same as writing this.
    Means(&'static str),
    /// Something that a value cannot say, described.
    Then(&'static str),
}

use Absent::{Means, Refused, Then};
use Accepts::{Flag, Integer, Ports, Seconds, Text, Words};

const fn key(name: &'static str, accepts: Accepts, absent: Absent, about: &'static str) -> Key {
    Key { name, accepts, absent, about }
}

/// The file itself.
#[rustfmt::skip]
pub(super) static TOP: TableKeys = TableKeys {
    place: "the file",
    keys: &[
        key("daemon", Text("a table"), Then("defaults"), "the daemon's own surroundings"),
        key("dataplane", Text("a table: [dataplane] with interfaces = [\"eth0\"]"), Refused,
            "the XDP program and its tables"),
        key("server_group", Text("tables"), Then("none"), "named sets of backends"),
        key("instance", Text("tables"), Then("none"), "load balancers"),
    ],
};

/// `[daemon]`.
#[rustfmt::skip]
pub(super) static DAEMON: TableKeys = TableKeys {
    place: "[daemon]",
    keys: &[
        key("socket", Text("an absolute path of at most 107 bytes"),
            Means("\"/run/slb/slb.sock\""), "Unix socket of the API"),
        key("state_dir", Text("an absolute path"), Means("\"/var/lib/slb\""),
            "state that outlives the daemon"),
    ],
};

/// `[dataplane]`.
#[rustfmt::skip]
pub(super) static DATAPLANE: TableKeys = TableKeys {
    place: "[dataplane]",
    keys: &[
        key("interfaces", Text("a list of interface names, e.g. [\"eth0\"]"), Refused,
            "interfaces that XDP attaches to"),
        key("xdp_mode", Words(|| words(XdpMode::WORDS)), Means("\"auto\""), "how XDP attaches"),
        key("max_connections", Integer(1024, 64_000_000), Means("1_000_000"),
            "live IPv4 connections that the table takes without refusing one"),
        key("max_connections_v6", Integer(1024, 64_000_000),
            Then("max_connections if a VIP is IPv6, else 65536"), "the same for IPv6"),
        key("max_backends", Integer(64, 1_000_000), Means("16_384"),
            "backend slots: one for each backend of each listener"),
        key("ring_slots", Integer(65_536, 268_435_456), Means("4_194_304"),
            "places that schedulers draw from, 8 bytes each"),
        key("pin_dir", Text("an absolute path"), Means("\"/sys/fs/bpf/slb\""),
            "directory of a BPF file system for programs and tables"),
        key("vip_owner", Words(|| words(VipOwner::WORDS)), Means("\"host\""),
            "who answers ARP, NDP and echo for VIPs"),
        key("local_addresses", Text(LOCAL_ADDRESSES), Means("[]"),
            "fullnat: what backends see as source; no socket of this host uses them"),
        key("tunnel_source", Text(TUNNEL_SOURCE), Then("the first address of an interface of `interfaces` that is no VIP"),
            "tunnel: outer source; flows are spread over a prefix"),
        key("max_templates", Integer(1024, 16_000_000), Means("262_144"),
            "persistence templates of each family"),
        key("max_fragments", Integer(1024, 1_048_576), Means("16_384"),
            "fragmented datagrams of each family that are followed at once"),
        key("max_acl_entries", Integer(1024, 16_000_000), Means("200_000"),
            "entries of all ACLs and SYN defence exemptions together"),
        key("cookie_key_file", Text("an absolute path"), Then("a key of its own"),
            "file with 32 hexadecimal digits, the key of SYN cookies; nodes that share it accept each other's"),
    ],
};

/// `[[server_group]]`.
#[rustfmt::skip]
pub(super) static SERVER_GROUP: TableKeys = TableKeys {
    place: "[[server_group]]",
    keys: &[
        key("name", Text(NAME), Refused, "what listeners call it"),
        key("backends", Text(BACKENDS), Refused, "its backends"),
    ],
};

/// One element of `backends`.
#[rustfmt::skip]
pub(super) static BACKEND: TableKeys = TableKeys {
    place: "a backend",
    keys: &[
        key("address", Text("an IP address"), Refused,
            "serves the VIPs of its family, in tunnel mode those of both"),
        key("port", Integer(1, 65_535), Then("the listener's; a range is mapped one to one"),
            "port of the server; nat and fullnat alone can use another than the listener's"),
        key("weight", Integer(0, 100), Means("100"), "its share; 0 takes no new connections"),
        key("role", Words(|| words(Role::WORDS)), Means("\"primary\""),
            "a backup is used only while no primary is usable"),
        key("limits", Text("a table, e.g. { max_connections = 1000 }"), Then("none"),
            "connections it takes of each listener; at a limit it is skipped"),
        key("server_id", Integer(0, 65_535), Then("none"),
            "scheduler qch: the server id in the QUIC connection IDs that it makes"),
    ],
};

/// `[[instance]]`.
#[rustfmt::skip]
pub(super) static INSTANCE: TableKeys = TableKeys {
    place: "[[instance]]",
    keys: &[
        key("name", Text(NAME), Refused, "its name"),
        key("vips", Text("a list of IP addresses, e.g. [\"10.0.0.100\"]"), Refused, "its VIPs"),
        key("specification", Text(SPECIFICATIONS), Means("\"shared\""),
            "limits of all its listeners together; shared: none"),
        key("bandwidth", Text(A_BANDWIDTH), Then("none"),
            "shared by its listeners without one of their own"),
        key("blackhole", Text("a table, e.g. { pps = 1_000_000 }"), Then("never"),
            "above which load a VIP gets nothing for a while"),
        key("enabled", Flag, Means("true"), INSTANCE_STOPPED),
        key("listener", Text("tables"), Then("none"), "its listeners"),
    ],
};

/// `[[instance.listener]]`.
#[rustfmt::skip]
pub(super) static LISTENER: TableKeys = TableKeys {
    place: "[[instance.listener]]",
    keys: &[
        key("protocol", Words(|| words(Protocol::WORDS)), Refused, "its protocol"),
        key("port", Ports, Refused, "its port or ports on the instance's VIPs"),
        key("mode", Words(|| words(ForwardingMode::WORDS)), Means("\"nat\""),
            "how a packet reaches a backend"),
        key("scheduler", Words(|| words(Scheduler::WORDS)), Means("\"wrr\""),
            "how a new connection picks a backend"),
        key("slow_start", Seconds(1, 900), Then("full weight at once"),
            "how long a backend that comes ramps up from a tenth of its weight"),
        key("persistence", Text("a table, e.g. { timeout = \"300s\" }, or {}"), Then("off"),
            "a client keeps its backend"),
        key("established_timeout", Seconds(10, 900), Means("\"900s\""),
            "idle time of an established connection; 90s if left out of a udp listener"),
        key("syn_timeout", Seconds(1, 60), Means("\"30s\""), "tcp: after a SYN"),
        key("fin_timeout", Seconds(1, 300), Means("\"60s\""), "tcp: after the first FIN"),
        key("time_wait_timeout", Seconds(1, 300), Means("\"60s\""), "tcp: after both FINs"),
        key("drain_timeout", Seconds(0, 900), Means("\"300s\""),
            "how long connections of a removed backend go on"),
        key("on_backend_down", Words(|| words(OnBackendDown::WORDS)), Means("\"keep\""),
            "tcp: established connections of a backend that fails; udp flows always move"),
        key("one_packet", Flag, Means("false"), "udp: every datagram is scheduled by itself"),
        key("tcp_timestamps", Words(|| words(TcpTimestamps::WORDS)), Means("\"auto\""),
            "tcp: clients' timestamps; auto strips them in fullnat"),
        key("mss_clamp", Text("\"off\", \"auto\" (in tunnel mode) or a number from 536 to 9000"),
            Then("off; auto in tunnel mode"), "tcp: the largest MSS that SYNs may offer"),
        key("limits", Text("a table, e.g. { max_connections = 10_000, cps = 1000 }"), Then("none"),
            "connections it takes"),
        key("bandwidth", Text(A_BANDWIDTH), Then("the instance's"), "bandwidth of its own"),
        key("acl", Text("a table: { allow = [...] } or { deny = [...] }"), Then("everybody"),
            "who may connect"),
        key("syn_defence", Text("a table, e.g. { mode = \"always\" }"), Then("auto"),
            "tcp: when SYNs are answered by cookies"),
        key("no_backend", Words(|| words(NoBackend::WORDS)), Means("\"reset\""),
            "what clients get without a usable backend: RST or port unreachable, or nothing"),
        key("adopt", Flag, Then("true with sh, mh, tch and qch, else false"),
            "tcp: schedule segments of unknown connections instead of answering RST"),
        key("enabled", Flag, Means("true"), LISTENER_STOPPED),
        key("server_group", Text("the name of a server group"), Then("see backends"), "backends"),
        key("backends", Text(BACKENDS), Then("see server_group"), "its own backends"),
        key("health_check", Text("a table, e.g. { type = \"http\", path = \"/healthz\" }"),
            Then("a check of type tcp; refused on a udp listener"), "how backends are checked"),
    ],
};

/// `health_check = { ... }`.
#[rustfmt::skip]
pub(super) static HEALTH_CHECK: TableKeys = TableKeys {
    place: "health_check",
    keys: &[
        key("type", Words(|| vec!["tcp", "http"]), Then("tcp on tcp listeners"), "what is asked"),
        key("interval", Seconds(1, 50), Means("\"2s\""), "from one start to the next"),
        key("timeout", Seconds(1, 300), Means("\"5s\""), "how long an answer may take"),
        key("healthy", Integer(2, 10), Means("3"), "successes in a row that bring it in"),
        key("unhealthy", Integer(2, 10), Means("3"), "failures in a row that take it out"),
        key("port", Integer(1, 65_535), Then("the backend's own"), "port to ask"),
        key("method", Words(|| words(HttpMethod::WORDS)), Means("\"GET\""),
            "http: method of the request"),
        key("path", Text(PATH), Means("\"/\""), "http: path of the request"),
        key("domain", Text(DOMAIN), Means("\"\""), "http: Host header; empty: the address"),
        key("codes", Text(CODES), Means("[\"2xx\", \"3xx\"]"), "http: answers that are healthy"),
    ],
};

const NAME: &str = "1 to 64 letters, digits, \"-\", \"_\" and \".\"";
const LOCAL_ADDRESSES: &str = "a list of addresses and prefixes, e.g. [\"100.64.0.0/28\"]";
const TUNNEL_SOURCE: &str =
    "an address or a prefix, e.g. \"192.0.2.0/24\", or a list of one for each family";
const SPECIFICATIONS: &str = "shared, slb.s1.small, slb.s2.small, slb.s2.medium, slb.s3.small, \
    slb.s3.medium, slb.s3.large, or a table, e.g. { max_connections = 10_000 }";
const A_BANDWIDTH: &str = "a table, e.g. { in = \"1Gbit\", out = \"1Gbit\" }";
const BACKENDS: &str = "a list, e.g. [{ address = \"10.0.1.11\", port = 8080 }]";
const INSTANCE_STOPPED: &str = "false: its listeners take no new connections; established ones go \
    on, and the host still answers ARP, NDP and echo for its VIPs";
const LISTENER_STOPPED: &str = "false: it takes no new connections; established ones go on, and \
    the host still answers ARP, NDP and echo for the VIPs";
const PATH: &str = "1 to 80 letters, digits and -_/.%?#&=, beginning with \"/\"";
const DOMAIN: &str = "at most 253 letters, digits, \"-\" and \".\"";
const CODES: &str = "a list of \"2xx\", \"3xx\", \"4xx\", \"5xx\"";

/// Every table, in the order of the manual.
pub(super) static TABLES: [&TableKeys; 17] = [
    &TOP,
    &DAEMON,
    &DATAPLANE,
    &SERVER_GROUP,
    &BACKEND,
    &BACKEND_LIMITS,
    &INSTANCE,
    &SPECIFICATION,
    &BLACKHOLE,
    &LISTENER,
    &HEALTH_CHECK,
    &PERSISTENCE,
    &LIMITS,
    &CLIENT_LIMITS,
    &BANDWIDTH,
    &ACL,
    &SYN_DEFENCE,
];

/// The words alone of a setting's word list.
pub(super) fn words<T>(pairs: &[(&'static str, T)]) -> Vec<&'static str> {
    pairs.iter().map(|(word, _)| *word).collect()
}

impl TableKeys {
    /// The key of that name.
    pub(super) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names of its keys.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}

impl fmt::Display for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(from, to) => write!(f, "a number from {from} to {to}"),
            Self::Seconds(from, to) => write!(f, "a duration from \"{from}s\" to \"{to}s\""),
            Self::Megabits(from, to) => {
                let to = match to / 1000 {
                    0 => format!("{to}Mbit"),
                    gigabits => format!("{gigabits}Gbit"),
                };
                write!(f, "bits per second from \"{from}Mbit\" to \"{to}\"")
            }
            Self::Ports => f.write_str("a number from 1 to 65535, or a range \"8000-8100\""),
            Self::Words(words) => match words().as_slice() {
                [only] => write!(f, "{only:?}"),
                several => write!(f, "one of {}", several.join(", ")),
            },
            Self::Flag => f.write_str("true or false"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The manual's reference of all keys, as Markdown.
pub fn reference() -> String {
    let mut page = String::new();
    for table in TABLES {
        page.push_str(&format!("## {}\n\n", table.place));
        page.push_str("| key | takes | if left out | what for |\n|---|---|---|---|\n");
        for key in table.keys {
            let absent = match key.absent {
                Refused => "refused".to_owned(),
                Means(value) => format!("`{value}`"),
                Then(text) => text.to_owned(),
            };
            let Key { name, accepts, about, .. } = key;
            page.push_str(&format!("| `{name}` | {accepts} | {absent} | {about} |\n"));
        }
        page.push('\n');
    }
    page.pop();
    page
}

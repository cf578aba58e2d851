//! What the product will take one day and this version refuses by name.
//!
//! Building a feature means deleting its rows here (and, for a key, adding it to
//! [`super::keys`]). Nothing of this list is ever ignored: an operator who writes it is told.

use super::{
    keys::{DAEMON, DATAPLANE, HEALTH_CHECK, LISTENER, TableKeys},
    report::{Report, Span},
};

/// Something that this version refuses.
pub(super) struct Unsupported {
    /// The table that would hold it.
    pub(super) table: &'static TableKeys,
    /// The key.
    pub(super) key: &'static str,
    /// How much of the key is refused.
    pub(super) what: What,
    /// What works today.
    pub(super) instead: &'static str,
}

/// How much of a key is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The key, whatever its value.
    Key,
    /// One word of the key.
    Word(&'static str),
}

use What::{Key, Word};

const fn row(
    table: &'static TableKeys,
    key: &'static str,
    what: What,
    instead: &'static str,
) -> Unsupported {
    Unsupported { table, key, what, instead }
}

// A row is a line: the table is read down its columns.
#[rustfmt::skip]
static ROWS: &[Unsupported] = &[
    row(&DAEMON, "http", Key, "leave it out: the Unix socket serves the API"),
    row(&DAEMON, "token", Key, "use the Unix socket; its file permissions decide"),
    row(&DATAPLANE, "vip_owner", Word("program"), VIP_OWNERS),
    row(&LISTENER, "protocol", Word("http"), "protocol = \"tcp\" carries HTTP unread"),
    row(&LISTENER, "protocol", Word("https"), "protocol = \"tcp\" carries TLS to the backends"),
    row(&LISTENER, "relay", Key, "leave it out: packets are forwarded in XDP"),
    row(&LISTENER, "proxy_protocol", Key, "leave it out: backends see the client's address"),
    row(&LISTENER, "panic_threshold", Key, "leave it out: unhealthy backends are never used"),
    row(&HEALTH_CHECK, "type", Word("udp"), TCP_OR_HTTP),
    row(&HEALTH_CHECK, "type", Word("https"), TCP_OR_HTTP),
    row(&HEALTH_CHECK, "type", Word("grpc"), TCP_OR_HTTP),
    row(&HEALTH_CHECK, "type", Word("command"), TCP_OR_HTTP),
    row(&HEALTH_CHECK, "version", Key, "leave it out: HTTP/1.1 is asked"),
    row(&HEALTH_CHECK, "request", Key, "leave it out: udp checks alone use it"),
    row(&HEALTH_CHECK, "response", Key, "leave it out: udp checks alone use it"),
    row(&HEALTH_CHECK, "source", Key, "leave it out: the host chooses its address"),
    row(&HEALTH_CHECK, "command", Key, "leave it out: command checks alone use it"),
];

const TCP_OR_HTTP: &str = "type = \"tcp\" and type = \"http\" work";
const VIP_OWNERS: &str = "\"host\" works, or \"external\" if something else holds the VIPs";

/// Looks a thing up in the list.
pub(super) fn find(table: &TableKeys, key: &str, what: What) -> Option<&'static Unsupported> {
    ROWS.iter().find(|row| row.table.place == table.place && row.key == key && row.what == what)
}

/// The refused word of a key, if it is one.
pub(super) fn find_word(table: &TableKeys, key: &str, word: &str) -> Option<&'static Unsupported> {
    ROWS.iter().find(|row| {
        row.table.place == table.place && row.key == key && matches!(row.what, Word(w) if w == word)
    })
}

/// Names of keys that a table will have one day.
pub(super) fn later_keys(table: &TableKeys) -> impl Iterator<Item = &'static str> {
    ROWS.iter().filter(|row| row.table.place == table.place && row.what == Key).map(|row| row.key)
}

impl Unsupported {
    /// Refuses it at that place.
    pub(super) fn refuse(&self, at: &Span, report: &mut Report<'_>) {
        let key = self.key;
        let what = match self.what {
            Key => format!("{key:?} in {}", self.table.place),
            Word(word) => format!("{key} {word:?}"),
        };
        report.error(at, format!("{what} is not supported by this version yet")).hint(self.instead);
    }
}

#[cfg(test)]
pub(super) fn rows() -> &'static [Unsupported] {
    ROWS
}

#[cfg(test)]
impl Unsupported {
    /// A value that the row refuses.
    pub(super) fn example(&self) -> String {
        match self.what {
            Key => "{ any = \"value\" }".to_owned(),
            Word(word) => format!("{word:?}"),
        }
    }
}

//! The rules of a configuration: from the file's shape to the model, with every default filled in.
//!
//! Each check reports what is wrong and goes on with a stand-in, so that one run finds everything.
//! A model with stand-ins never leaves this module's caller: it is dropped if there was an error.

mod address;
mod backends;
mod health;
mod instance;
mod limits;
mod listener;
mod networks;
mod options;
mod ports;
mod settings;
mod sharing;

use self::{address::Taken, backends::Groups, sharing::Sharing};
use super::{
    file::Table,
    keys::{DAEMON, DATAPLANE, INSTANCE, SERVER_GROUP},
    model::{Config, DataplaneSettings, Instance},
    report::Report,
    value::Value,
};

/// Checks a whole file.
pub(super) fn config(top: &Table<'_>, report: &mut Report<'_>) -> Config {
    let daemon = settings::daemon(&top.table("daemon", &DAEMON, report), report);

    // No backend may be a VIP of any instance or a local address, so all of these come first.
    let mut taken = Taken::default();
    let heads = instance::heads(top.tables("instance", &INSTANCE, report), &mut taken, report);
    top.required("dataplane", report);
    let table = top.table("dataplane", &DATAPLANE, report);
    let local = networks::local_addresses(&table, &taken, report);
    let local_is_known = local.is_some();
    let local = local.unwrap_or_default();
    taken.keep_local(&local);
    let dataplane = settings::dataplane(&table, &taken, local, report);

    let groups = Groups::check(top.tables("server_group", &SERVER_GROUP, report), &taken, report);
    let around =
        Surroundings { taken: &taken, groups: &groups, dataplane: &dataplane, local_is_known };
    let mut sharing = Sharing::default();
    let instances: Vec<Instance> = heads
        .into_iter()
        .map(|head| instance::check(head, &around, &mut sharing, report))
        .collect();
    settings::room(&table, &dataplane, &instances, report);
    Config { daemon, dataplane, instances }
}

/// What an instance is checked against.
struct Surroundings<'s> {
    taken: &'s Taken,
    groups: &'s Groups,
    dataplane: &'s DataplaneSettings,
    /// False after an error in the local addresses.
    local_is_known: bool,
}

/// A name that commands can take without quotes.
fn name<'f>(value: Value<'f>, report: &mut Report<'_>) -> Option<&'f str> {
    let name = value.text(report)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Some(name);
    }
    value.refuse("is not a name", report);
    None
}

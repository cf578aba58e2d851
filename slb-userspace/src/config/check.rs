//! The rules of a configuration: from the file's shape to the model, with every default filled in.
//!
//! Each check reports what is wrong and goes on with a stand-in, so that one run finds everything.
//! A model with stand-ins never leaves this module's caller: it is dropped if there was an error.

mod address;
mod backends;
mod health;
mod instance;
mod listener;
mod settings;

use self::{address::Vips, backends::Groups};
use super::{
    file::Table,
    keys::{DAEMON, DATAPLANE, INSTANCE, SERVER_GROUP},
    model::{Config, Instance},
    report::Report,
    value::Value,
};

/// Checks a whole file.
pub(super) fn config(top: &Table<'_>, report: &mut Report<'_>) -> Config {
    let daemon = settings::daemon(&top.table("daemon", &DAEMON, report), report);

    // No backend may be a VIP of any instance, so all VIPs come first.
    let mut vips = Vips::default();
    let heads = instance::heads(top.tables("instance", &INSTANCE, report), &mut vips, report);
    let groups = Groups::check(top.tables("server_group", &SERVER_GROUP, report), &vips, report);
    let instances: Vec<Instance> =
        heads.into_iter().map(|head| instance::check(head, &vips, &groups, report)).collect();

    top.required("dataplane", report);
    let dataplane = top.table("dataplane", &DATAPLANE, report);
    let dataplane = settings::dataplane(&dataplane, &instances, report);
    Config { daemon, dataplane, instances }
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

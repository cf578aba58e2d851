//! What is refused, where, in which words and with which hint.

mod backends;
mod daemon_and_dataplane;
mod health_checks;
mod instances;
mod keys;
mod limits;
mod listeners;
mod networks;
mod options;
mod ports;
mod sharing;
mod syntax;

use super::{changed, refused_once};

/// The valid file with `old` replaced by `new` is refused for one thing, at the place of `meant`.
fn refuses(old: &str, new: &str, meant: &str, message: &str, hint: &str) {
    refused_once(&changed(old, new), meant, message, hint);
}

//! `cargo xtask dist`: packages. Not there yet.

use std::process::ExitCode;

use anyhow::Result;

use crate::run;

/// Says what to do meanwhile.
pub(crate) fn run() -> Result<ExitCode> {
    let hint = "`cargo xtask build --release` makes the binaries, which need no other file.";
    Ok(run::not_yet(&format!("`dist` (.deb and tarball) is not there yet. {hint}")))
}

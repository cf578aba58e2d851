//! `cargo xtask demo`: builds the balancer and shows it at work in network namespaces.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::build::{self, Profile};
use crate::run;
use crate::setup::{self, Scope};

/// How to end.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave it running and print how to look around
    #[arg(long)]
    keep: bool,
    /// Handed on to the demonstration
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Sets up, builds, and hands over to the demonstration.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(refusal) = run::refuse_without_root("the demonstration", "demo") {
        return Ok(refusal);
    }
    setup::run(Scope::Labs)?;
    // What takes time here is the build; a release build would take three times as long.
    let profile = Profile::Dev;
    build::binaries(&["slb-userspace", "slb-tests"], &["slbd", "slb", "slb-demo"], profile)?;
    let directory = profile.directory();
    let mut demo = Command::new(directory.join("slb-demo"));
    demo.env("SLB_BIN_DIR", &directory).args(arguments.keep.then_some("--keep"));
    run::exit_code(demo.args(&arguments.rest))
}

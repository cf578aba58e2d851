//! `cargo xtask load`: runs the balancer on a real interface, after a look at it.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::build::{self, Profile};
use crate::run;
use crate::setup::{self, Scope};

/// Where to run, and what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The interface that packets to the VIPs come in by
    #[arg(long = "iface", value_name = "IF")]
    interface: String,
    /// The daemon's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Sets up, builds, looks at the interface, and becomes the daemon.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { interface, config } = arguments;
    let typed = format!("load --iface {interface} --config {}", config.display());
    if let Some(refusal) = run::refuse_without_root("the balancer", &typed) {
        return Ok(refusal);
    }
    // A wrong path should not cost a build.
    let config = config.canonicalize().with_context(|| format!("{}", config.display()))?;
    setup::run(Scope::Build)?;
    build::binaries(&["slb-userspace"], &["slbd", "slb", "slb-l7"], Profile::Release)?;

    let directory = Profile::Release.directory();
    let daemon = || {
        let mut daemon = Command::new(directory.join("slbd"));
        daemon.arg("--interface").arg(interface).arg("--config").arg(&config);
        daemon
    };
    let preflight = run::exit_code(daemon().arg("--preflight"))?;
    if preflight != ExitCode::SUCCESS {
        return Ok(preflight);
    }
    println!("look around: {} status", directory.join("slb").display());
    // From here on signals and the exit code are the daemon's.
    let error = daemon().exec();
    bail!("`{}` did not start: {error}", directory.join("slbd").display());
}

//! `cargo xtask build`: the eBPF object and the binaries.

use std::process::ExitCode;

use anyhow::Result;

use crate::run;
use crate::setup::{self, Scope};

/// What to build.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Optimise, as for a real machine
    #[arg(long)]
    release: bool,
}

/// Cargo's two profiles of the binaries.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// Quick to build.
    Dev,
    /// Quick to run.
    Release,
}

impl Profile {
    /// Cargo's argument for it.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Dev => &[],
            Self::Release => &["--release"],
        }
    }

    /// The directory of the built binaries.
    pub(crate) fn directory(self) -> std::path::PathBuf {
        run::target_dir().join(match self {
            Self::Dev => "debug",
            Self::Release => "release",
        })
    }
}

/// Sets up, then builds all binaries. The daemon's build script builds the eBPF object.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::run(Scope::Build)?;
    let profile = if arguments.release { Profile::Release } else { Profile::Dev };
    // slb-ebpf's binaries are no programs of this machine; xtask is running.
    let outside = ["--exclude", "slb-ebpf", "--exclude", "xtask"];
    let mut build = run::cargo();
    build.args(["build", "--workspace", "--bins"]).args(outside).args(profile.arguments());
    run::run(&mut build)?;
    println!("built: {}/{{slbd,slb,slb-l7}}", profile.directory().display());
    Ok(ExitCode::SUCCESS)
}

/// Builds some binaries of some packages, quietly unless it takes long.
pub(crate) fn binaries(packages: &[&str], bins: &[&str], profile: Profile) -> Result<()> {
    let mut build = run::cargo();
    build.arg("build").args(profile.arguments());
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    build.args(bins.iter().flat_map(|bin| ["--bin", bin]));
    run::run(&mut build)
}

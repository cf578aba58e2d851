//! `cargo xtask load`: runs the balancer on real interfaces, after a look at them.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::build::{self, Profile};
use crate::run;
use crate::setup::{self, Scope};

/// Where to run, and what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Attach to this interface instead of those of the file; may be given several times
    #[arg(long = "iface", value_name = "IF")]
    interfaces: Vec<String>,
    /// The daemon's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Sets up, builds, looks at the machine, and becomes the daemon.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { interfaces, config } = arguments;
    if let Some(refusal) = run::refuse_without_root("the balancer", &typed(arguments)) {
        return Ok(refusal);
    }
    // A wrong path should not cost a build.
    let config = config.canonicalize().with_context(|| format!("{}", config.display()))?;
    setup::run(Scope::Build)?;
    build::binaries(&["slb-userspace"], &["slbd", "slb", "slb-l7"], Profile::Release)?;

    let directory = Profile::Release.directory();
    let daemon = || {
        let mut daemon = Command::new(directory.join("slbd"));
        daemon.args(for_daemon(interfaces, &config));
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

/// The command as it was typed, after `cargo xtask`.
fn typed(arguments: &Arguments) -> String {
    let Arguments { interfaces, config } = arguments;
    let interfaces: String = interfaces.iter().map(|name| format!(" --iface {name}")).collect();
    format!("load{interfaces} --config {}", config.display())
}

/// What the daemon is started with.
fn for_daemon(interfaces: &[String], config: &Path) -> Vec<OsString> {
    let interfaces = interfaces.iter().flat_map(|name| ["--interface".into(), name.into()]);
    interfaces.chain(["--config".into(), config.into()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn interfaces_may_be_left_to_the_file_or_given_once_or_several_times() {
        for (line, daemon) in [
            ("load --config a.toml", "--config a.toml"),
            ("load --iface eth0 --config a.toml", "--interface eth0 --config a.toml"),
            (
                "load --iface eth0 --iface eth1 --config a.toml",
                "--interface eth0 --interface eth1 --config a.toml",
            ),
        ] {
            let Line { arguments } = Line::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(typed(&arguments), line);
            let words = for_daemon(&arguments.interfaces, &arguments.config);
            assert_eq!(words.join(" ".as_ref()), *daemon);
        }
    }
}

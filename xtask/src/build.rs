//! `cargo xtask build`: the eBPF object and the binaries.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};

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
    pub(crate) fn directory(self) -> PathBuf {
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

/// Builds a test target of a package without running it; returns the executable.
///
/// # Errors
/// It does not build.
pub(crate) fn test_binary(package: &str, test: &str) -> Result<PathBuf> {
    let mut build = run::cargo();
    build.args(["test", "--no-run", "--quiet", "--message-format=json-render-diagnostics"]);
    build.args(["--package", package, "--test", test]).stderr(Stdio::inherit());
    let output = build.output().context("`cargo test` did not start")?;
    if !output.status.success() {
        bail!("`{}` ended with {}", run::line(&build), output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().find_map(|message| executable_of(message, test));
    executable.map(PathBuf::from).with_context(|| format!("cargo names no executable of {test}"))
}

/// Reads one of cargo's messages. Binaries that the test needs are told in others like it.
fn executable_of<'a>(message: &'a str, test: &str) -> Option<&'a str> {
    if !message.contains(&format!(r#""kind":["test"],"crate_types":["bin"],"name":"{test}""#)) {
        return None;
    }
    let (_, rest) = message.split_once(r#""executable":""#)?;
    let (path, _) = rest.split_once('"')?;
    // A path with a quote or a backslash would have been written with another backslash.
    (!path.contains('\\')).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_that_of_the_test_target() {
        let test = r#"{"reason":"compiler-artifact","target":{"kind":["test"],"crate_types":["bin"],"name":"program","src_path":"/a"},"executable":"/t/deps/program-37c","fresh":true}"#;
        let bin = test.replace(r#""kind":["test"]"#, r#""kind":["bin"]"#);
        assert_eq!(executable_of(test, "program"), Some("/t/deps/program-37c"));
        assert_eq!(executable_of(test, "lab"), None);
        assert_eq!(executable_of(&bin, "program"), None);
    }
}

//! Builds the eBPF objects with the toolchain that was found. Standard library only:
//! `slb-userspace/build.rs` includes this file, too.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::toolchain::{self, DEBIAN_CARGO, DEBIAN_RUSTC, Origin, TARGET, Toolchain};

/// The cargo profile of the object, defined in the workspace's `Cargo.toml`.
const PROFILE: &str = "bpf";
/// The programs of `slb-ebpf`; `NAME` becomes `NAME.o`.
const OBJECTS: [&str; 4] = ["slb", "table-lab", "bench", "toa"];

/// Features of `slb-ebpf` for a debug build of the daemon, which reads the program's log.
pub(crate) const DEBUG: &str = "bpf,log";
/// Those for a release build.
pub(crate) const RELEASE: &str = "bpf";

/// Builds the objects in `target_dir` and leaves them in the directory `out`.
///
/// `target_dir` must not be that of a running cargo, which would wait for itself.
///
/// # Errors
/// What is missing and how to install it, or cargo's own output.
pub(crate) fn build(
    root: &Path,
    features: &str,
    target_dir: &Path,
    out: &Path,
) -> Result<(), String> {
    let toolchain = toolchain::find().map_err(|missing| toolchain::explain(&missing))?;
    let mut command = cargo(&toolchain);
    command
        .current_dir(root)
        .args(["build", "--package", "slb-ebpf", "--features", features])
        .args(["--target", TARGET, "-Z", "build-std=core", "--profile", PROFILE])
        .args(OBJECTS.iter().flat_map(|bin| ["--bin", bin]))
        .arg("--target-dir")
        .arg(target_dir);
    let output = command.output().map_err(|error| format!("cargo did not start: {error}"))?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the eBPF object did not build ({}):\n{log}", output.status));
    }
    for object in OBJECTS {
        let from = target_dir.join(TARGET).join(PROFILE).join(object);
        let to = out.join(format!("{object}.o"));
        fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    Ok(())
}

/// The toolchain's cargo, with nothing left of the cargo that may have started us.
fn cargo(toolchain: &Toolchain) -> Command {
    let mut command = match toolchain.compiler.origin {
        Origin::Nightly => {
            let mut command = Command::new("rustup");
            command.args(["run", "nightly", "cargo"]).env("RUSTUP_AUTO_INSTALL", "0");
            command
        }
        Origin::Debian => Command::new(DEBIAN_CARGO),
    };
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_outer_cargo(name)) {
        command.env_remove(name);
    }
    if toolchain.compiler.origin == Origin::Debian {
        command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags());
    command.env("PATH", path_beginning_with(toolchain.linker.path.parent()));
    command
}

/// rustc looks for the linker by its name.
fn path_beginning_with(directory: Option<&Path>) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let entries = directory.map(Path::to_path_buf).into_iter().chain(env::split_paths(&path));
    env::join_paths(entries).unwrap_or(path)
}

/// Variables by which an outer cargo or rustup would choose compiler, flags, features or target.
fn is_of_outer_cargo(name: &OsStr) -> bool {
    // cargo points LD_LIBRARY_PATH to its own compiler's libraries.
    const EXACT: [&str; 8] = [
        "TARGET",
        "HOST",
        "OUT_DIR",
        "PROFILE",
        "DEBUG",
        "OPT_LEVEL",
        "NUM_JOBS",
        "LD_LIBRARY_PATH",
    ];
    const OF_A_BUILD: [&str; 5] = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"];
    // How to reach the registry is the user's business in the inner build, too.
    const OF_THE_USER: [&str; 5] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    let Some(name) = name.to_str() else {
        return false;
    };
    let begins_with = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    EXACT.contains(&name) || (begins_with(&OF_A_BUILD) && !begins_with(&OF_THE_USER))
}

fn rustflags() -> String {
    [
        // aya's bindings to kernel types differ by the machine's architecture.
        &format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
        // Atomic exchange, compare-and-swap and 32-bit jumps; every kernel since 5.12 has them.
        "-Ctarget-cpu=v3",
    ]
    .join("\x1f")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_outer_cargos_choices_do_not_reach_the_inner_one_but_the_users_registry_does() {
        for name in ["CARGO_FEATURE_X", "RUSTC", "RUSTUP_TOOLCHAIN", "OUT_DIR", "LD_LIBRARY_PATH"] {
            assert!(is_of_outer_cargo(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "RUSTUP_HOME", "PATH", "HOME"] {
            assert!(!is_of_outer_cargo(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_linker_that_was_found_is_the_one_that_rustc_finds_first() {
        let path = path_beginning_with(Some(Path::new("/opt/linker")));
        assert_eq!(env::split_paths(&path).next(), Some(PathBuf::from("/opt/linker")));
    }
}

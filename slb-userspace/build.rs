//! Builds the eBPF objects that the daemon embeds and leaves them in `OUT_DIR`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[path = "../xtask/src/object.rs"]
mod object;
// The commands of xtask use the parts of it that are unused here.
#[allow(dead_code)]
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

/// A directory: debug builds find the objects there when they run, instead of holding them.
const APART: &str = "SLB_OBJECTS_APART";
/// What the objects are made of and by, relative to the workspace.
const SOURCES: [&str; 7] = [
    "slb-ebpf",
    "slb-common",
    "Cargo.toml",
    "Cargo.lock",
    "slb-userspace/build.rs",
    "xtask/src/object.rs",
    "xtask/src/toolchain.rs",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let variable = |name: &str| env::var_os(name).ok_or_else(|| format!("{name} is not set"));
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = manifest_dir.parent().ok_or("the crate is in no workspace")?;

    // Only debug builds of the daemon read the program's log.
    let debug = variable("PROFILE")? == "debug";
    println!("cargo::rustc-check-cfg=cfg(objects_apart)");
    println!("cargo::rerun-if-env-changed={APART}");
    if let (true, Ok(directory)) = (debug, env::var(APART)) {
        println!("cargo::rustc-cfg=objects_apart");
        println!("cargo::rustc-env={APART}={directory}");
        return Ok(());
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let features = if debug { object::DEBUG } else { object::RELEASE };
    object::build(root, features, &ebpf_target_dir(&out_dir), &out_dir)
}

/// `ebpf` in cargo's target directory, shared by debug and release builds: the object is the same.
/// Cargo marks its target directory with the tag that keeps it out of backups.
fn ebpf_target_dir(out_dir: &Path) -> PathBuf {
    let tagged = out_dir.ancestors().find(|directory| directory.join("CACHEDIR.TAG").exists());
    tagged.unwrap_or(out_dir).join("ebpf")
}

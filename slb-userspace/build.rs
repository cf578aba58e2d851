//! Builds the eBPF objects that the daemon embeds and leaves them in `OUT_DIR`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[path = "../xtask/src/object.rs"]
mod object;
// The commands of xtask use the parts of it that are unused here.
#[allow(dead_code)]
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

/// The programs of `slb-ebpf`; `NAME` becomes `OUT_DIR/NAME.o`.
const OBJECTS: [&str; 4] = ["slb", "table-lab", "bench", "toa"];

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

    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }

    // Only debug builds of the daemon read the program's log.
    let debug = variable("PROFILE")? == "debug";
    let features = if debug { "bpf,log" } else { "bpf" };
    let built = object::build(root, &OBJECTS, features, &ebpf_target_dir(&out_dir))?;
    for object in OBJECTS {
        let (from, to) = (built.join(object), out_dir.join(format!("{object}.o")));
        fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    Ok(())
}

/// `ebpf` in cargo's target directory, shared by debug and release builds: the object is the same.
/// Cargo marks its target directory with the tag that keeps it out of backups.
fn ebpf_target_dir(out_dir: &Path) -> PathBuf {
    let tagged = out_dir.ancestors().find(|directory| directory.join("CACHEDIR.TAG").exists());
    tagged.unwrap_or(out_dir).join("ebpf")
}

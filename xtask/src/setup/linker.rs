//! bpf-linker, built for the LLVM of the compiler.

use std::path::{Path, PathBuf};

use super::packages;
use super::step::{self, Outcome};
use crate::toolchain::{self, Missing};

const VERSION: &str = "0.13.0";
/// The LLVM versions that this bpf-linker can be built for.
const LLVM_VERSIONS: [u32; 3] = [21, 22, 23];

/// Makes sure of one that fits the compiler.
pub(crate) fn ensure() -> Outcome {
    let missing = match toolchain::find() {
        Ok(_) => return Outcome::There,
        Err(missing) => missing,
    };
    match missing[..] {
        [Missing::Compiler] => return Outcome::There,
        [Missing::Compiler, ..] => {
            return Outcome::Failed("needs the eBPF compiler; then run this again".to_owned());
        }
        _ => {}
    }
    // The oldest LLVM of those that a compiler here uses: it is the likeliest to be packaged.
    let llvm = toolchain::compilers().iter().map(|compiler| compiler.llvm).min().unwrap_or(22);
    if !LLVM_VERSIONS.contains(&llvm) {
        return Outcome::Failed(format!(
            "the compiler uses LLVM {llvm}, bpf-linker {VERSION} none but {LLVM_VERSIONS:?}; \
             install another compiler"
        ));
    }
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if !has_library(&prefix)
        && let Outcome::Failed(reason) = packages::install(&[&format!("llvm-{llvm}-dev")])
    {
        return Outcome::Failed(format!("{reason}\n    {}", without_debian()));
    }
    // Building it takes a minute on two processors, and two and a half fully optimised; its work is
    // done in LLVM's library, so that the objects come neither later nor different.
    let mut build = step::limited("cargo", 900);
    build.args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force"]);
    build.args(["--no-default-features", "--features", &format!("llvm-{llvm}")]);
    build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    build.env("LLVM_PREFIX", prefix).env("CARGO_NET_RETRY", "2");
    step::install(&mut build)
}

fn has_library(prefix: &Path) -> bool {
    prefix.join("lib/libLLVM.so").exists()
}

fn without_debian() -> String {
    "without Debian's LLVM: `cargo binstall bpf-linker`, or a released binary from \
     https://github.com/aya-rs/bpf-linker/releases on PATH"
        .to_owned()
}

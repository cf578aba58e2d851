//! The eBPF toolchain: which of the two ways to build the object works here.
//!
//! `core` has to be built from source for `bpfel-unknown-none`, which takes an unstable compiler
//! with the library's source, and `bpf-linker`. Standard library only: `slb-userspace/build.rs`
//! includes this file, too.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of the object.
pub(crate) const TARGET: &str = "bpfel-unknown-none";
/// Oldest Rust release that compiles the workspace, as (major, minor).
pub(crate) const OLDEST_RUST: (u32, u32) = (1, 95);
/// Oldest bpf-linker that writes the BTF the programs need, as (major, minor).
pub(crate) const OLDEST_LINKER: (u32, u32) = (0, 13);

/// Debian's compiler; rustup's may come first on `PATH`.
pub(crate) const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// Debian's cargo, whose `-Z` options `RUSTC_BOOTSTRAP` unlocks.
pub(crate) const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// A compiler that can build `core` for the eBPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// Where it comes from.
    pub(crate) origin: Origin,
    /// Major version of the LLVM that writes its bitcode; the linker's must not be older.
    pub(crate) llvm: u32,
}

/// The two ways to an unstable compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// rustup's nightly with the component `rust-src`.
    Nightly,
    /// Debian's `rustc-web`, `cargo-web` and `rust-web-src`, unlocked by `RUSTC_BOOTSTRAP`.
    Debian,
}

/// An installed bpf-linker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linker {
    /// The executable.
    pub(crate) path: PathBuf,
    /// Its own version, as (major, minor).
    pub(crate) version: (u32, u32),
    /// Major version of the LLVM it loads; unknown when it is linked statically.
    pub(crate) llvm: Option<u32>,
}

/// All that the object's build takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Makes the bitcode.
    pub(crate) compiler: Compiler,
    /// Makes the object of it.
    pub(crate) linker: Linker,
}

/// What the search for a toolchain did not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Neither way to an unstable compiler is open.
    Compiler,
    /// No bpf-linker on `PATH` or in cargo's directory.
    Linker,
    /// A bpf-linker older than [`OLDEST_LINKER`].
    LinkerTooOld(Linker),
    /// A bpf-linker whose LLVM cannot read the bitcode of any compiler here.
    LinkerLlvm { linker: Linker, compiler: u32 },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiler => write!(
                f,
                "no compiler for {TARGET}: neither a rustup nightly with the component rust-src, \
                 nor Debian's rustc-web, cargo-web and rust-web-src of {}.{} or newer",
                OLDEST_RUST.0, OLDEST_RUST.1
            ),
            Self::Linker => {
                write!(f, "no bpf-linker, neither on PATH nor in cargo's bin directory")
            }
            Self::LinkerTooOld(linker) => write!(
                f,
                "{} is version {}.{}; {}.{} or newer is wanted",
                linker.path.display(),
                linker.version.0,
                linker.version.1,
                OLDEST_LINKER.0,
                OLDEST_LINKER.1
            ),
            Self::LinkerLlvm { linker, compiler } => write!(
                f,
                "{} uses LLVM {}, but the compiler writes bitcode of LLVM {compiler}",
                linker.path.display(),
                linker.llvm.unwrap_or_default()
            ),
        }
    }
}

/// Finds a compiler and a linker that fit each other.
///
/// # Errors
/// Everything that is missing, not only the first.
pub(crate) fn find() -> Result<Toolchain, Vec<Missing>> {
    choose(compilers(), linker())
}

/// The compilers on this machine, rustup's first: it is the one its user chose.
pub(crate) fn compilers() -> Vec<Compiler> {
    [nightly(), debian()].into_iter().flatten().collect()
}

fn choose(compilers: Vec<Compiler>, linker: Option<Linker>) -> Result<Toolchain, Vec<Missing>> {
    let easiest = compilers.iter().map(|compiler| compiler.llvm).min();
    let mut missing = Vec::new();
    if easiest.is_none() {
        missing.push(Missing::Compiler);
    }
    let Some(linker) = linker else {
        missing.push(Missing::Linker);
        return Err(missing);
    };
    if linker.version < OLDEST_LINKER {
        missing.push(Missing::LinkerTooOld(linker));
        return Err(missing);
    }
    let readable = |compiler: &Compiler| linker.llvm.is_none_or(|llvm| llvm >= compiler.llvm);
    match (compilers.into_iter().find(readable), easiest) {
        (Some(compiler), _) => Ok(Toolchain { compiler, linker }),
        (None, Some(compiler)) => Err(vec![Missing::LinkerLlvm { linker, compiler }]),
        (None, None) => Err(missing),
    }
}

fn nightly() -> Option<Compiler> {
    let run = |args: &[&str]| {
        let mut command = Command::new("rustup");
        // Looking must not start a download.
        command.args(["run", "nightly", "rustc"]).args(args).env("RUSTUP_AUTO_INSTALL", "0");
        stdout_of(command)
    };
    let sysroot = run(&["--print", "sysroot"])?;
    has_core_source(Path::new(sysroot.trim())).then_some(())?;
    Some(Compiler { origin: Origin::Nightly, llvm: llvm_major(&run(&["-vV"])?)? })
}

fn debian() -> Option<Compiler> {
    let mut command = Command::new(DEBIAN_RUSTC);
    command.arg("-vV").env_remove("LD_LIBRARY_PATH");
    let version = stdout_of(command)?;
    let release = version.lines().find_map(|line| line.strip_prefix("release: "))?;
    let complete = version_pair(release)? >= OLDEST_RUST
        && Path::new(DEBIAN_CARGO).exists()
        && has_core_source(Path::new("/usr"));
    complete.then_some(())?;
    Some(Compiler { origin: Origin::Debian, llvm: llvm_major(&version)? })
}

fn has_core_source(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").exists()
}

fn linker() -> Option<Linker> {
    let path = linker_candidates().into_iter().find(|path| path.is_file())?;
    let mut ask = Command::new(&path);
    ask.arg("--version");
    let version = stdout_of(ask)?.split_whitespace().find_map(version_pair)?;
    let mut libraries = Command::new("ldd");
    libraries.arg(&path);
    let llvm = stdout_of(libraries).as_deref().and_then(linked_llvm);
    Some(Linker { path, version, llvm })
}

fn linker_candidates() -> Vec<PathBuf> {
    let on_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>());
    let of_cargo = env::var_os("CARGO_HOME").map(|home| PathBuf::from(home).join("bin"));
    let of_home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo/bin"));
    on_path
        .unwrap_or_default()
        .into_iter()
        .chain(of_cargo)
        .chain(of_home)
        .map(|directory| directory.join("bpf-linker"))
        .collect()
}

fn stdout_of(mut command: Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `1.96.0-nightly` → (1, 96).
pub(crate) fn version_pair(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn llvm_major(rustc_version: &str) -> Option<u32> {
    let version = rustc_version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

/// `libLLVM.so.22.1 => ...` or `libLLVM-22.so => ...` → 22.
fn linked_llvm(ldd: &str) -> Option<u32> {
    let name = ldd.lines().find_map(|line| line.trim().strip_prefix("libLLVM"))?;
    name.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty())?.parse().ok()
}

/// The list of what is missing, with the command that installs it.
pub(crate) fn explain(missing: &[Missing]) -> String {
    let list: String = missing.iter().map(|one| format!("\n  - {one}")).collect();
    format!("the eBPF toolchain is not complete:{list}\nhint: run `cargo xtask setup`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler(origin: Origin, llvm: u32) -> Compiler {
        Compiler { origin, llvm }
    }

    fn linker(version: (u32, u32), llvm: Option<u32>) -> Linker {
        Linker { path: "/opt/bpf-linker".into(), version, llvm }
    }

    #[test]
    fn a_compiler_that_is_too_new_for_the_linker_yields_to_one_that_fits() {
        let both = vec![compiler(Origin::Nightly, 23), compiler(Origin::Debian, 22)];
        let chosen = choose(both.clone(), Some(linker((0, 13), Some(22)))).unwrap();
        assert_eq!(chosen.compiler.origin, Origin::Debian);
        let chosen = choose(both, Some(linker((0, 13), None))).unwrap();
        assert_eq!(chosen.compiler.origin, Origin::Nightly);
    }

    #[test]
    fn everything_missing_is_named_at_once_with_the_command_that_helps() {
        let missing = choose(Vec::new(), None).unwrap_err();
        assert_eq!(missing, [Missing::Compiler, Missing::Linker]);
        let text = explain(&missing);
        assert!(text.contains("rust-web-src") && text.contains("bpf-linker"), "{text}");
        assert!(text.ends_with("hint: run `cargo xtask setup`"), "{text}");
    }

    #[test]
    fn a_linker_that_is_too_old_or_of_an_older_llvm_is_refused() {
        let one = vec![compiler(Origin::Debian, 22)];
        let old = choose(one.clone(), Some(linker((0, 12), Some(22)))).unwrap_err();
        assert!(matches!(old[..], [Missing::LinkerTooOld(_)]));
        let older_llvm = choose(one, Some(linker((0, 13), Some(21)))).unwrap_err();
        assert!(matches!(older_llvm[..], [Missing::LinkerLlvm { compiler: 22, .. }]));
    }

    #[test]
    fn versions_are_read_from_the_tools_own_words() {
        assert_eq!(version_pair("1.96.0-nightly"), Some((1, 96)));
        assert_eq!(version_pair("linker"), None);
        assert_eq!(llvm_major("release: 1.96.0\nLLVM version: 22.1.8\n"), Some(22));
        assert_eq!(linked_llvm("\tlibc.so.6 => x\n\tlibLLVM.so.22.1 => /usr/lib"), Some(22));
        assert_eq!(linked_llvm("\tlibLLVM-21.so => /usr/lib"), Some(21));
        assert_eq!(linked_llvm("\tstatically linked"), None);
    }
}

//! `cargo xtask setup`: finds what is missing and installs it; says in words what it could not do.

mod compiler;
mod linker;
pub(crate) mod packages;
pub(crate) mod step;

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{run, toolchain};
use step::{Outcome, Report};

/// How much of a machine has to be ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// To build.
    Build,
    /// To build, and to make network namespaces with real traffic.
    Labs,
    /// To build, to run labs, to run all tests. Also says what was there already.
    Everything,
}

/// Debian packages of the labs: program looked for, package, what for.
const LAB_TOOLS: [(&str, &str, &str); 4] = [
    ("ip", "iproute2", "network namespaces"),
    ("ethtool", "ethtool", "offloads of veth pairs"),
    ("nft", "nftables", "proof that no rule of the kernel balances"),
    ("tcpdump", "tcpdump", "looking at the wire"),
];

/// Servers and judges of the tests: program looked for, package, what for.
const TEST_TOOLS: [(&str, &str, &str); 4] = [
    ("nginx", "nginx", "a server that SLB has not changed"),
    ("python3", "python3", "another one"),
    ("traceroute", "traceroute", "a tracer of routes that SLB has no part in"),
    ("scapy3", "python3-scapy", "a judge of packets that SLB has no part in"),
];

/// Makes the machine ready; does nothing where nothing is missing.
///
/// # Errors
/// Something that `scope` needs is missing and could not be installed.
pub(crate) fn run(scope: Scope) -> Result<()> {
    let mut report = Report::new(scope == Scope::Everything);
    report.step("C compiler and linker", c_compiler());
    for (program, package, reason) in scope.tools() {
        report.step(&format!("{program} ({reason})"), packages::program(program, package));
    }
    // The compiler first: the linker is built for the LLVM that the compiler uses.
    report.step("eBPF compiler", compiler::ensure());
    report.step("bpf-linker", linker::ensure());
    if matches!(scope, Scope::Labs | Scope::Everything) {
        report.step("BPF file system at /sys/fs/bpf", bpf_file_system());
    }
    if scope == Scope::Everything {
        for (program, package, reason) in TEST_TOOLS {
            report.step(&format!("{program} ({reason})"), packages::server(program, package));
        }
        report.step("rustfmt and clippy", rust_components());
    }
    report.finish()?;
    match toolchain::find() {
        Ok(_) => Ok(()),
        Err(missing) => bail!("{}", toolchain::explain(&missing)),
    }
}

impl Scope {
    fn tools(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Self::Build => &[],
            Self::Labs | Self::Everything => &LAB_TOOLS,
        }
    }
}

fn c_compiler() -> Outcome {
    if packages::is_on_path("cc") {
        return Outcome::There;
    }
    packages::install(&["gcc", "libc6-dev"])
}

fn bpf_file_system() -> Outcome {
    const PLACE: &str = "/sys/fs/bpf";
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    if mounts.lines().any(|mount| mount.split(' ').nth(1) == Some(PLACE)) {
        return Outcome::There;
    }
    let mut mount = Command::new("mount");
    mount.args(["-t", "bpf", "bpf", PLACE]);
    if !run::is_root() {
        return Outcome::by_root(&mount);
    }
    step::install(&mut mount)
}

fn rust_components() -> Outcome {
    let works = |tool| {
        let mut ask = run::cargo();
        ask.args([tool, "--version"]);
        ask.output().is_ok_and(|output| output.status.success())
    };
    if works("fmt") && works("clippy") {
        return Outcome::There;
    }
    if packages::is_on_path("rustup") {
        let mut add = step::limited("rustup", 300);
        return step::install(add.args(["component", "add", "rustfmt", "clippy"]));
    }
    packages::install(&["rustfmt-web", "rust-web-clippy"])
}

//! `cargo xtask bench pktgen`: instructions per packet, in a virtual machine whose time counts them.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::build::{self, Profile};
use crate::guest::{self, Guest, Machine, Program, Task, Wanted};
use crate::run;

const BENCH: &str = "pktgen";
const RESULTS: &str = "results";
/// Where the benchmark keeps its results in the guest: beside the directory of its binary.
const PLACE: &str = "/bench/pktgen.json";

const TOOLS: [Wanted; 3] = [
    Wanted { program: "ip", package: "iproute2" },
    Wanted { program: "ethtool", package: "ethtool" },
    Wanted { program: "ipvsadm", package: "ipvsadm" },
];
/// The lab's links, the generator, IPVS. It asks for its checksum by another name than that of the
/// module that has it, which `modules.dep` does not tell.
const MODULES: [&str; 9] = [
    "bridge",
    "veth",
    "8021q",
    "pktgen",
    "crc32c_generic",
    "ip_vs",
    "ip_vs_wrr",
    "ip_vs_sh",
    "ipip",
];

/// Builds, boots, measures; keeps the results as other benchmarks do.
pub(super) fn run(arguments: &[String]) -> Result<ExitCode> {
    guest::set_up()?;
    build::binaries(
        &["slb-userspace", "slb-tests"],
        &["slbd", "slb", "slb-bench"],
        Profile::Release,
    )?;
    let built = |name| Profile::Release.directory().join(name);
    let stored = stored();
    let words = std::iter::once(BENCH.to_owned()).chain(arguments.iter().cloned());
    let guest = Guest {
        tasks: vec![
            Task {
                name: BENCH,
                program: Program::There("slb-bench".to_owned()),
                arguments: words.collect(),
            },
            Task {
                name: RESULTS,
                program: Program::There("cat".to_owned()),
                arguments: vec![PLACE.to_owned()],
            },
        ],
        binaries: ["slbd", "slb", "slb-bench"].map(|name| (name, built(name))).to_vec(),
        tools: &TOOLS,
        modules: &MODULES,
        files: if stored.exists() { vec![(stored.clone(), PLACE.into())] } else { vec![] },
        machine: Machine::Counting,
        quiet: Some(RESULTS),
    };
    let transcript = guest.run()?;
    let code = transcript.task(BENCH).and_then(|ran| ran.exit_code);
    if let (Some(0 | 1), Some(results)) = (code, transcript.task(RESULTS))
        && results.exit_code == Some(0)
    {
        if let Some(directory) = stored.parent() {
            fs::create_dir_all(directory).with_context(|| format!("{}", directory.display()))?;
        }
        fs::write(&stored, results.lines.join("\n") + "\n")
            .with_context(|| format!("{}", stored.display()))?;
        println!("stored: {}", stored.display());
    }
    Ok(transcript.exit_code(BENCH))
}

fn stored() -> PathBuf {
    run::target_dir().join("bench/pktgen.json")
}

//! `cargo xtask bench`: measurements, as tables with ratios.

mod counted;

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::ValueEnum;

use crate::build::{self, Profile};
use crate::run;
use crate::setup::{self, Scope};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure
    #[arg(required_unless_present = "plot")]
    bench: Option<Bench>,
    /// Draw what was measured the last time, into docs/
    #[arg(long)]
    plot: bool,
    /// Handed on to the benchmark
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// The connection table alone: lookups, opens, two processors
    Table,
    /// One packet through the whole program
    Program,
    /// Live frames over veth
    Wire,
    /// Open connections beside a flood of SYNs
    Flood,
    /// Instructions per packet, in a virtual machine
    Pktgen,
    /// Other balancers, with the same load
    Peers,
    /// Requests through the sidecar
    L7,
}

/// Builds and runs a benchmark, draws, or both.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let missing = match arguments.bench {
        None | Some(Bench::Table | Bench::Program | Bench::Wire | Bench::Flood | Bench::Pktgen) => {
            None
        }
        Some(Bench::Peers) => Some("the benchmarks"),
        Some(Bench::L7) => Some("the layer 7 sidecar"),
    };
    let name = arguments.bench.map_or_else(|| "plot".to_owned(), Bench::name);
    if let Some(with) = missing {
        return Ok(run::not_yet(&format!(
            "`bench {name}` is not there yet: it comes with {with}. There are `bench table`, \
             `bench program`, `bench wire`, `bench flood` and `bench pktgen`."
        )));
    }
    // By an interface of this machine it only sends; else it is a virtual machine that measures.
    let by_interface = |word: &String| word.split('=').next() == Some("--iface");
    if arguments.bench == Some(Bench::Pktgen) && !arguments.rest.iter().any(by_interface) {
        return counted::run(&arguments.rest);
    }
    if arguments.bench.is_some()
        && let Some(refusal) = run::refuse_without_root("a benchmark", &format!("bench {name}"))
    {
        return Ok(refusal);
    }
    setup::run(Scope::Build)?;
    match arguments.bench {
        // It runs the daemon.
        Some(Bench::Flood) => build::binaries(
            &["slb-tests", "slb-userspace"],
            &["slb-bench", "slbd", "slb"],
            Profile::Release,
        )?,
        _ => build::binaries(&["slb-tests"], &["slb-bench"], Profile::Release)?,
    }
    let mut bench = Command::new(Profile::Release.directory().join("slb-bench"));
    bench.current_dir(run::root()).arg(&name).args(&arguments.rest);
    if arguments.plot && arguments.bench.is_some() {
        bench.arg("--plot");
    }
    run::exit_code(&mut bench)
}

impl Bench {
    /// Its word on the command line.
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

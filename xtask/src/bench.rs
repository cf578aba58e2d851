//! `cargo xtask bench`: measurements, as tables with ratios.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::build::{self, Profile};
use crate::run;
use crate::setup::{self, Scope};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure
    bench: Bench,
    /// Handed on to the benchmark
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Bench {
    /// The connection table alone: lookups, opens, two processors
    Table,
    /// One packet through the whole program
    Program,
    /// Live frames over veth
    Wire,
    /// Instructions per packet, in a virtual machine
    Pktgen,
    /// Other balancers, with the same load
    Peers,
    /// Requests through the sidecar
    L7,
}

/// Builds and runs a benchmark.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let missing = match arguments.bench {
        Bench::Table => None,
        Bench::Program | Bench::Wire | Bench::Pktgen | Bench::Peers => Some("the benchmarks"),
        Bench::L7 => Some("the layer 7 sidecar"),
    };
    let name = arguments.bench.name();
    if let Some(with) = missing {
        return Ok(run::not_yet(&format!(
            "`bench {name}` is not there yet: it comes with {with}. There is `bench table`."
        )));
    }
    if let Some(refusal) = run::refuse_without_root("a benchmark", &format!("bench {name}")) {
        return Ok(refusal);
    }
    setup::run(Scope::Build)?;
    build::binaries(&["slb-tests"], &["slb-bench"], Profile::Release)?;
    let mut bench = Command::new(Profile::Release.directory().join("slb-bench"));
    run::exit_code(bench.arg(name).args(&arguments.rest))
}

impl Bench {
    fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Program => "program",
            Self::Wire => "wire",
            Self::Pktgen => "pktgen",
            Self::Peers => "peers",
            Self::L7 => "l7",
        }
    }
}

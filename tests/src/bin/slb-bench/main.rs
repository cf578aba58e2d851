//! Benchmarks: measured times as plain tables with ratios, and as JSON beside them.

mod budget;
mod flood;
mod measure;
mod pktgen;
mod plot;
mod program;
mod report;
mod stream;
mod table;
mod varied;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures the data plane.
#[derive(Parser)]
#[command(name = "slb-bench")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// Draw what is stored afterwards, into docs/
    #[arg(long, global = true)]
    plot: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// The connection table alone: lookups and opens
    Table(table::Arguments),
    /// One packet through the whole program
    Program(program::Arguments),
    /// Live frames over veth
    Wire(wire::Arguments),
    /// Open connections beside a flood of SYNs
    Flood(flood::Arguments),
    /// Instructions of a packet by the kernel's generator, beside IPVS and routing
    Pktgen(pktgen::Arguments),
    /// Draw what is stored, into docs/
    Plot,
}

fn main() -> ExitCode {
    let Arguments { bench, plot } = Arguments::parse();
    let result = match bench {
        Bench::Table(arguments) => table::run(&arguments),
        Bench::Program(arguments) => program::run(&arguments),
        Bench::Wire(arguments) => wire::run(&arguments),
        Bench::Flood(arguments) => flood::run(&arguments),
        Bench::Pktgen(arguments) => pktgen::run(&arguments),
        Bench::Plot => plot::run().map(|()| ExitCode::SUCCESS),
    };
    let result = match result {
        Ok(code) if plot => plot::run().map(|()| code),
        other => other,
    };
    result.unwrap_or_else(|error| {
        eprintln!("slb-bench: {error:#}");
        ExitCode::FAILURE
    })
}

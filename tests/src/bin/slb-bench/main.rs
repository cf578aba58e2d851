//! Benchmarks: measured times as plain tables with ratios, and as JSON beside them.

mod budget;
mod measure;
mod program;
mod report;
mod stream;
mod table;
mod varied;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures the data plane.
#[derive(Parser)]
#[command(name = "slb-bench")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// The connection table alone: lookups and opens
    Table(table::Arguments),
    /// One packet through the whole program
    Program(program::Arguments),
}

fn main() -> ExitCode {
    let Arguments { bench } = Arguments::parse();
    let result = match bench {
        Bench::Table(arguments) => table::run(&arguments),
        Bench::Program(arguments) => program::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("slb-bench: {error:#}");
        ExitCode::FAILURE
    })
}

//! Benchmarks: measured times as plain tables with ratios, and as JSON beside them.

mod report;
mod table;

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
}

fn main() -> ExitCode {
    let Arguments { bench } = Arguments::parse();
    let result = match bench {
        Bench::Table(arguments) => table::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slb-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

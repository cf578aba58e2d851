//! `cargo xtask`: sets up, builds, demonstrates, tests, loads and measures SLB.

mod bench;
mod build;
mod demo;
mod dist;
mod guest;
mod lab;
mod load;
mod mutate;
// Some of it is for slb-userspace's build script alone.
#[allow(dead_code)]
mod object;
mod run;
mod setup;
mod test;
mod tidy;
mod toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sets up, builds, demonstrates, tests, loads and measures SLB.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing: eBPF toolchain, lab tools
    Setup,
    /// Build the eBPF object and the binaries
    Build(build::Arguments),
    /// Show real traffic through the balancer, in network namespaces
    Demo(demo::Arguments),
    /// Run the tests: all of them, or one kind
    Test(test::Arguments),
    /// Check the rules of the repository that the compiler does not know
    Tidy,
    /// Break each promise of layer 4 on purpose and show that its test notices
    Mutate(mutate::Arguments),
    /// Run a command on the oldest supported kernel (6.1), in a virtual machine
    Lab(lab::Arguments),
    /// Check a real interface, then run the balancer on it
    Load(load::Arguments),
    /// Measure
    Bench(bench::Arguments),
    /// Make a package to install
    Dist,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Setup => setup::run(setup::Scope::Everything).map(|()| ExitCode::SUCCESS),
        Command::Build(arguments) => build::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Tidy => tidy::run(),
        Command::Mutate(arguments) => mutate::run(&arguments),
        Command::Lab(arguments) => lab::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Dist => dist::run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

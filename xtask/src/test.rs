//! `cargo xtask test`: every test, counted; the last line is `N passed, N failed`.

mod count;
mod kernels;
mod suite;

use std::process::ExitCode;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::run;
use crate::setup::{self, Scope};
use crate::tidy;
pub(crate) use count::Count;
use suite::Suite;

/// Which tests.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One kind; without it: unit, tidy, program, lab and soak, not kernels
    kind: Option<Kind>,
    /// Length of the soak, minutes; without it 5 when it is named, else 2
    #[arg(long)]
    minutes: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Pure logic, also the data plane's on this machine
    Unit,
    /// Packets in, packets out, through the program in this kernel
    Program,
    /// Network namespaces, real sockets
    Lab,
    /// Every mode at once in the lab, under random reloads and failures
    Soak,
    /// The demonstration and the program tests on the oldest supported kernel (6.1), in a virtual
    /// machine; only when named
    Kernels,
    /// Formatting, lints, and the repository's own rules
    Tidy,
}

/// Sets up, runs the tests, and ends with their count.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let kinds = match arguments.kind {
        Some(kind) => vec![kind],
        None => vec![Kind::Unit, Kind::Tidy, Kind::Program, Kind::Lab, Kind::Soak],
    };
    // Its time-outs and reloads are so close that two minutes stand for an hour; see
    // tests/tests/soak. All tests together have to stay below 25 minutes.
    let minutes = arguments.minutes.unwrap_or(if arguments.kind.is_some() { 5 } else { 2 });
    // The virtual machine needs other things, and nothing of it works without them.
    let set_up = if kinds == [Kind::Kernels] { Count::default() } else { set_up() };
    let count: Count =
        std::iter::once(set_up).chain(kinds.into_iter().map(|kind| run_kind(kind, minutes))).sum();
    println!("\n{count}");
    Ok(if count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A machine that could not be made ready may still run most of the tests; it fails nevertheless.
fn set_up() -> Count {
    match setup::run(Scope::Everything) {
        Ok(()) => Count::default(),
        Err(error) => {
            println!("failed: {error:#}");
            Count::ONE_FAILURE
        }
    }
}

fn run_kind(kind: Kind, minutes: u16) -> Count {
    if matches!(kind, Kind::Program | Kind::Lab | Kind::Soak) && !run::is_root() {
        // Left out in silence they would look passed.
        println!("\nfailed: the {} tests need root", kind.name());
        return Count::ONE_FAILURE;
    }
    // `cargo test` builds the tests of a package, not the binaries of another.
    if matches!(kind, Kind::Lab | Kind::Soak)
        && let Err(error) = build::binaries(&["slb-userspace"], &["slbd", "slb"], Profile::Dev)
    {
        println!("\nfailed: the lab has no daemon: {error:#}");
        return Count::ONE_FAILURE;
    }
    match kind {
        Kind::Tidy => tidy::check_all(),
        Kind::Kernels => kernels::run(),
        kind => {
            let minutes = minutes.to_string();
            let environment = [("SLB_SOAK_MINUTES", minutes.as_str())];
            kind.suites().iter().map(|suite| suite.run(&environment)).sum()
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Program => "program",
            Self::Lab => "lab",
            Self::Soak => "soak",
            Self::Kernels => "kernels",
            Self::Tidy => "tidy",
        }
    }

    fn suites(self) -> &'static [Suite] {
        match self {
            Self::Unit => &[
                Suite {
                    name: "unit: slb-common, slb-ebpf on this machine, slb-userspace, xtask",
                    arguments: &["-pslb-common", "-pslb-ebpf", "-pslb-userspace", "-pxtask"],
                },
                Suite {
                    name: "unit: the test tools themselves",
                    arguments: &["-pslb-tests", "--lib", "--bins"],
                },
            ],
            Self::Program => &[
                Suite {
                    name: "program: packets in, packets out",
                    arguments: &["-pslb-tests", "--test", "program"],
                },
                Suite {
                    name: "program: the connection table, under stress",
                    arguments: &["-pslb-tests", "--test", "table"],
                },
            ],
            Self::Lab => &[Suite {
                name: "lab: network namespaces, real sockets",
                // They share the machine's processors and the names of namespaces.
                arguments: &["-pslb-tests", "--test", "lab", "--", "--test-threads=1"],
            }],
            Self::Soak => &[Suite {
                name: "soak: every mode at once, judged on the wire, under reloads and failures",
                // What it prints is the seed that repeats it.
                arguments: &[
                    "-pslb-tests",
                    "--test",
                    "soak",
                    "--",
                    "--test-threads=1",
                    "--nocapture",
                ],
            }],
            Self::Kernels | Self::Tidy => &[],
        }
    }
}

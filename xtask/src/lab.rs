//! `cargo xtask lab`: a virtual machine with the oldest supported kernel, to run something in.

use std::process::ExitCode;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::guest::{self, Guest, Machine, Program, Task};

/// What to run in it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One processor, for which time is the number of instructions that it has executed
    #[arg(long)]
    counting: bool,
    /// A command of the guest: `slb-demo`, `slbd`, `slb`, `program` (the program tests), `ip`,
    /// `ethtool`, `nft` or one of busybox's; without it the guest says what it is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

const COMMAND: &str = "command";

/// Builds the guest, boots it, and hands the command's exit code on.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    guest::set_up()?;
    let bins = ["slbd", "slb", "slb-demo"];
    build::binaries(&["slb-userspace", "slb-tests"], &bins, Profile::Dev)?;
    let mut binaries = bins.map(|name| (name, Profile::Dev.directory().join(name))).to_vec();
    binaries.push(("program", build::test_binary("slb-tests", "program")?));
    let mut words = arguments.command.iter().cloned();
    let program = words.next().unwrap_or_else(|| "uname -a".to_owned());
    let task = Task { name: COMMAND, program: Program::There(program), arguments: words.collect() };
    let guest = Guest {
        tasks: vec![task],
        binaries,
        machine: if arguments.counting { Machine::Counting } else { Machine::Fast },
        ..Guest::of_labs()
    };
    Ok(guest.run()?.exit_code(COMMAND))
}

//! One packet through the whole program, by test run: nanoseconds of processor time beside floors
//! of the same rounds.
//!
//! A test run repeats what the run before it has left, so a program of our own writes each frame
//! anew, of the next flow, and hands it to the program under test. What that costs is measured on
//! the bare program and taken off.

pub(crate) mod established;
pub(crate) mod floors;
mod kernel_maps;
pub(crate) mod listeners;
mod opened;
mod print;
mod processors;
mod refused;
pub(crate) mod scene;

use std::process::ExitCode;

use anyhow::Result;
use scene::Outcome;
use slb_tests::table_lab::pin;

use crate::report::{self, Before};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Rounds, in each of which everything is measured once
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Packets of a row in a round
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..))]
    packets: u32,
    /// Only scenes whose name contains this; nothing is stored then
    #[arg(long)]
    only: Option<String>,
    /// Also ten million connections, which take 3 GiB
    #[arg(long)]
    large: bool,
    /// End with 1 if a row is over its budget
    #[arg(long)]
    check: bool,
}

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    rounds: u32,
    packets: u32,
}

/// Things that are measured in turns, on maps of their own.
pub(crate) struct Scene {
    name: String,
    run: Box<dyn Fn(Extent) -> Result<Vec<Outcome>>>,
}

impl Scene {
    fn new(name: String, run: impl Fn(Extent) -> Result<Vec<Outcome>> + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// Measures, prints, saves; ends with 1 if it was to check budgets and one is exceeded.
///
/// # Errors
/// The kernel's, or the file system's; packets that did not end as they should have.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    pin(0)?;
    let extent = Extent { rounds: arguments.rounds, packets: arguments.packets };
    let before = Before::load("program");
    let only = arguments.only.as_deref().unwrap_or_default();
    let mut outcomes = Vec::new();
    for scene in scenes(arguments.large).iter().filter(|scene| scene.name.contains(only)) {
        let measured = (scene.run)(extent)?;
        print::scene(&scene.name, &measured, &before);
        outcomes.extend(measured);
    }
    let over = print::budgets(&outcomes);
    if arguments.only.is_none() {
        let rows: Vec<_> = outcomes.iter().map(Outcome::json).collect();
        println!("{}", report::save("program", &rows)?.display());
    }
    Ok(if arguments.check && over { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All scenes, in the order in which they are shown.
fn scenes(large: bool) -> Vec<Scene> {
    let mut scenes = vec![refused::passing()];
    scenes.extend(established::scenes(large));
    scenes.extend(opened::scenes());
    scenes.push(refused::dropping());
    scenes.push(processors::scene());
    scenes.push(kernel_maps::scene());
    scenes
}

//! The connection table alone: nanoseconds of a lookup and of an open, by how many flows are in it.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use slb_tests::table_lab::{TableLab, Word, pin};
use slb_userspace::{bpf::buckets, config::model::Family};

use crate::{
    measure,
    report::{self, Before, Row},
};

/// Connections that the tables are made for: half of their places.
const CONNECTIONS: u32 = 1_000_000;
/// Lookups of one round.
const LOOKUPS: u32 = 500_000;
/// Opens of one round: so few that all rounds together hardly fill a table.
const OPENS: u32 = 5_000;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Rounds, in each of which everything is measured once
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
}

/// One thing to measure.
struct Measured {
    row: Row,
    lab: Lab,
    program: &'static str,
    flows: u32,
    times: u32,
}

/// Which of the two tables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lab {
    Empty,
    Half,
}

/// Measures, prints, saves.
///
/// # Errors
/// The kernel's, or the file system's.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    pin(0)?;
    let mut rows = Vec::new();
    for family in [Family::V4, Family::V6] {
        let measured = measure(family, arguments.rounds)?;
        // The floor is the same for both families.
        rows.extend(measured.into_iter().skip(usize::from(!rows.is_empty())));
    }
    report::print(&rows, &Before::load("table"));
    let rows: Vec<_> = rows.iter().map(Row::json).collect();
    println!("{}", report::save("table", &rows)?.display());
    Ok(ExitCode::SUCCESS)
}

fn measure(family: Family, rounds: u32) -> Result<Vec<Row>> {
    let mut empty = lab(family)?;
    let mut half = lab(family)?;
    half.run(programs(family).1, CONNECTIONS)?;
    let mut list = list(family);
    for _ in 0..rounds {
        for measured in &mut list {
            let lab = match measured.lab {
                Lab::Empty => &mut empty,
                Lab::Half => &mut half,
            };
            lab.set_word(Word::Flows, u64::from(measured.flows))?;
            let Measured { row, program, times, .. } = measured;
            row.rounds.push(measure::each(*times, || lab.run(program, *times).map(drop))?);
        }
    }
    for lab in [&empty, &half] {
        let (refused, opened) = (lab.word(Word::Refused)?, lab.word(Word::Opened)?);
        ensure!(refused <= opened / 100_000, "{refused} flows found no place, {opened} did");
    }
    Ok(list.into_iter().map(|measured| measured.row).collect())
}

fn list(family: Family) -> Vec<Measured> {
    let (get, fill, name) = programs(family);
    let row = |what: &str| Row::new(what.replace('*', name));
    let lookup = |what, flows| Measured {
        row: row(what),
        lab: Lab::Half,
        program: get,
        flows,
        times: LOOKUPS,
    };
    let open = |what, lab| Measured { row: row(what), lab, program: fill, flows: 1, times: OPENS };
    vec![
        Measured { program: "nothing", ..lookup("no operation at all", 1) },
        lookup("look up *, always the same flow", 1),
        lookup("look up *, 65 536 flows at random", 65_536),
        lookup("look up *, 1 000 000 flows at random", CONNECTIONS),
        open("open *, empty table", Lab::Empty),
        open("open *, half full table", Lab::Half),
    ]
}

/// The programs that look up and open, and the family's name.
const fn programs(family: Family) -> (&'static str, &'static str, &'static str) {
    match family {
        Family::V4 => ("get_v4", "fill_v4", "IPv4"),
        Family::V6 => ("get_v6", "fill_v6", "IPv6"),
    }
}

fn lab(family: Family) -> Result<TableLab> {
    match family {
        Family::V4 => TableLab::new(buckets(CONNECTIONS), 1),
        Family::V6 => TableLab::new(1, buckets(CONNECTIONS)),
    }
}

//! What was measured, for people and as JSON.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One line of a table: an operation and its time in every round.
pub(crate) struct Row {
    /// What was done.
    pub(crate) what: String,
    /// Mean nanoseconds of one operation, by round.
    pub(crate) rounds: Vec<f64>,
}

impl Row {
    pub(crate) const fn new(what: String) -> Self {
        Self { what, rounds: Vec::new() }
    }

    fn least(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Prints the rows. The first is the floor, which is taken off the others' medians; the second is
/// what they are compared with.
pub(crate) fn print(rows: &[Row]) {
    let [floor, base, ..] = rows else { return };
    let net = |row: &Row| row.median() - floor.median();
    println!(
        "{:<44} {:>8} {:>8} {:>8} {:>7}",
        "ns per operation", "least", "median", "net", "ratio"
    );
    for row in rows {
        print!("{:<44} {:>8.0} {:>8.0}", row.what, row.least(), row.median());
        match std::ptr::eq(row, floor) {
            true => println!(),
            false => println!(" {:>8.0} {:>7.2}", net(row), net(row) / net(base)),
        }
    }
    println!("net: without the first line; ratio: to the second line, net");
}

/// Writes the rows as JSON beside the build's results; returns where.
///
/// # Errors
/// The file system's.
pub(crate) fn save(name: &str, rows: &[Row]) -> Result<PathBuf> {
    let row = |row: &Row| -> Value {
        json!({
            "what": row.what,
            "least_ns": row.least(),
            "median_ns": row.median(),
            "rounds_ns": row.rounds,
        })
    };
    let executable = std::env::current_exe()?;
    let target =
        executable.ancestors().nth(2).context("the program lies in no target directory")?;
    let directory = target.join("bench");
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let path = directory.join(format!("{name}.json"));
    let text =
        serde_json::to_string_pretty(&json!({ "rows": rows.iter().map(row).collect::<Vec<_>>() }))?;
    fs::write(&path, text + "\n").with_context(|| path.display().to_string())?;
    Ok(path)
}

//! What was measured, for people and as JSON, and what was measured the last time.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::measure;

/// One line of a table: an operation and its time in every round.
#[derive(Clone, Debug)]
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

    pub(crate) fn least(&self) -> f64 {
        measure::least(&self.rounds)
    }

    pub(crate) fn median(&self) -> f64 {
        measure::median(&self.rounds)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "what": self.what,
            "least_ns": self.least(),
            "median_ns": self.median(),
            "rounds_ns": self.rounds,
        })
    }
}

/// Prints the rows. The first is the floor, which is taken off the others' medians; the second is
/// what they are compared with.
pub(crate) fn print(rows: &[Row], before: &Before) {
    let [floor, base, ..] = rows else { return };
    let net = |row: &Row| row.median() - floor.median();
    println!(
        "{:<44} {:>8} {:>8} {:>8} {:>7} {:>7}",
        "ns per operation", "least", "median", "net", "ratio", "before"
    );
    for row in rows {
        print!("{:<44} {:>8.0} {:>8.0}", row.what, row.least(), row.median());
        let since = before.ratio(&row.what, row.median());
        match std::ptr::eq(row, floor) {
            true => println!(" {:>8} {:>7} {since:>7}", "", ""),
            false => println!(" {:>8.0} {:>7.2} {since:>7}", net(row), net(row) / net(base)),
        }
    }
    println!(
        "net: without the first line; ratio: to the second line, net; before: to the stored run"
    );
}

/// The stored results of an earlier run.
#[derive(Debug, Default)]
pub(crate) struct Before(BTreeMap<String, f64>);

impl Before {
    /// What lies there of a benchmark's last run; nothing if there was none.
    pub(crate) fn load(name: &str) -> Self {
        stored(name).map_or_else(|_| Self::default(), |results| Self::of(&results))
    }

    fn of(results: &Value) -> Self {
        let rows = results["rows"].as_array().into_iter().flatten();
        let medians = rows
            .filter_map(|row| Some((row["what"].as_str()?.to_owned(), row["median_ns"].as_f64()?)));
        Self(medians.collect())
    }

    /// A figure divided by the same one of then, as a word.
    pub(crate) fn ratio(&self, what: &str, now: f64) -> String {
        self.0.get(what).map_or_else(String::new, |then| format!("{:.2}", now / then))
    }
}

/// The results of a benchmark's last run.
///
/// # Errors
/// The file system's, or they are not JSON.
pub(crate) fn stored(name: &str) -> Result<Value> {
    let path = path(name)?;
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Writes rows as JSON beside the build's results, with the machine they are of; returns where.
///
/// # Errors
/// The file system's.
pub(crate) fn save(name: &str, rows: &[Value]) -> Result<PathBuf> {
    let path = path(name)?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let text = serde_json::to_string_pretty(&json!({ "machine": machine(), "rows": rows }))?;
    fs::write(&path, text + "\n").with_context(|| path.display().to_string())?;
    Ok(path)
}

fn path(name: &str) -> Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let target =
        executable.ancestors().nth(2).context("the program lies in no target directory")?;
    Ok(target.join("bench").join(format!("{name}.json")))
}

/// What the figures depend on.
fn machine() -> Value {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let processors = text("/proc/cpuinfo");
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    json!({
        "processor": model,
        "processors": aya::util::online_cpus().map_or(0, |online| online.len()),
        "kernel": text("/proc/sys/kernel/osrelease").trim(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_compared_with_the_stored_one_of_the_same_name() {
        let row = Row { what: "swap".into(), rounds: vec![8.0, 10.0, 12.0] };
        let before = Before::of(&json!({ "rows": [row.json()] }));
        assert_eq!(before.ratio("swap", 15.0), "1.50");
        assert_eq!(before.ratio("another", 15.0), "");
        assert_eq!(Before::of(&json!({ "rows": "none" })).ratio("swap", 1.0), "");
    }
}

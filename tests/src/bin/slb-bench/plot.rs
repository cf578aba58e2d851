//! Plots of stored results, as SVG for the documents.

mod draw;

use std::path::Path;

use anyhow::{Context, Result, bail};
use plotters::chart::SeriesLabelPosition;
use serde_json::Value;

use crate::report;
use draw::{Line, Plot};

/// Where documents are, seen from the repository.
const DIRECTORY: &str = "docs";

/// Lines of ns per packet by flows: what a row's name begins with, and the line's name.
const BY_FLOWS: [(&str, &str); 8] = [
    ("nat v4 TCP from client, ", "nat, IPv4, from clients"),
    ("nat v4 TCP from backend, ", "nat, IPv4, from backends"),
    ("nat v6 TCP from client, ", "nat, IPv6, from clients"),
    ("dr v4 TCP from client, ", "dr, IPv4"),
    ("fullnat v4 TCP from backend, ", "fullnat, IPv4, from backends"),
    ("kernel HASH, ", "lookup in the kernel's HASH, nothing else"),
    ("kernel LRU_HASH, ", "lookup in the kernel's LRU_HASH, nothing else"),
    ("floor: swap after a load, one of ", "one load, nothing else"),
];

/// Draws what was measured last.
///
/// # Errors
/// Nothing is stored, or the file system's.
pub(crate) fn run() -> Result<()> {
    if !Path::new(DIRECTORY).is_dir() {
        bail!("there is no directory {DIRECTORY} here\nhint: plots are drawn in the repository");
    }
    let mut drawn = 0;
    for (name, plot) in [("program", flows as fn(&Value) -> Plot), ("wire", modes)] {
        let Ok(results) = report::stored(name) else { continue };
        let path = Path::new(DIRECTORY).join(format!("performance-{name}.svg"));
        draw::save(&plot(&results), &path).with_context(|| path.display().to_string())?;
        println!("{}", path.display());
        drawn += 1;
    }
    if drawn == 0 {
        bail!("nothing is stored\nhint: `cargo xtask bench program`, `cargo xtask bench wire`");
    }
    Ok(())
}

fn rows(results: &Value) -> impl Iterator<Item = &Value> {
    results["rows"].as_array().into_iter().flatten()
}

/// Nanoseconds of a packet by the number of flows.
fn flows(results: &Value) -> Plot {
    let line = |(prefix, name): (&str, &str)| {
        let mut points: Vec<(f64, f64)> = rows(results)
            .filter_map(|row| {
                let flows = row["what"].as_str()?.strip_prefix(prefix)?;
                let digits: String = flows.chars().filter(char::is_ascii_digit).collect();
                // What varying costs is taken off; a floor has nothing to be taken off.
                let ns = row["net_ns"].as_f64().or_else(|| row["median_ns"].as_f64())?;
                Some((digits.parse().ok()?, ns))
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Floors are measured beside every table: the first is of IPv4.
        points.dedup_by(|a, b| a.0 == b.0);
        Line { name: name.to_owned(), points }
    };
    Plot {
        title: "One packet, by test run".into(),
        across: "flows at random".into(),
        up: "processor time, ns".into(),
        legend: SeriesLabelPosition::UpperLeft,
        lines: BY_FLOWS.into_iter().map(line).collect(),
    }
}

/// Mpps by mode and number of flows.
fn modes(results: &Value) -> Plot {
    let of = |mode: &str| {
        let points = rows(results)
            .filter(|row| row["mode"] == mode && row["frame_bytes"] == 64)
            .filter_map(|row| Some((row["flows"].as_f64()?, row["mpps"].as_f64()?)))
            .collect();
        Line { name: mode.to_owned(), points }
    };
    let mut lines: Vec<Line> = ["nat", "dr", "tunnel", "fullnat"].map(of).into();
    // Bare programs know no flows: their line is level.
    let flows: Vec<f64> = lines[0].points.iter().map(|(flows, _)| *flows).collect();
    for mode in ["redirect", "transmit"] {
        let Line { points, .. } = of(mode);
        let Some((_, mpps)) = points.first() else { continue };
        let points = flows.iter().map(|flows| (*flows, *mpps)).collect();
        lines.push(Line { name: format!("bare {mode}"), points });
    }
    Plot {
        title: "Live frames of 64 bytes over veth, one processor".into(),
        across: "flows at random".into(),
        up: "Mpps".into(),
        legend: SeriesLabelPosition::LowerLeft,
        lines,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_holds_the_rows_of_its_name_by_flows() {
        let row = |what: &str, net: f64| json!({ "what": what, "net_ns": net, "median_ns": 1.0 });
        let results = json!({ "rows": [
            row("nat v4 TCP from client, 1 024 flows", 40.0),
            row("nat v4 TCP from client, 1 flow", 30.0),
            row("nat v4 UDP from client, 1 flow", 50.0),
            { "what": "floor: swap after a load, one of 1 024", "median_ns": 9.0 },
        ] });
        let lines = flows(&results).lines;
        assert_eq!(lines[0].points, [(1.0, 30.0), (1024.0, 40.0)]);
        assert_eq!(lines[7].points, [(1024.0, 9.0)]);
    }

    #[test]
    fn bare_programs_are_level_lines_beside_the_modes() {
        let row = |mode: &str, flows: u32, mpps: f64| json!({ "mode": mode, "flows": flows, "mpps": mpps, "frame_bytes": 64 });
        let results = json!({ "rows": [
            row("nat", 1, 4.0), row("nat", 1000, 3.0), row("redirect", 1, 7.0),
        ] });
        let lines = modes(&results).lines;
        assert_eq!(lines[0].points, [(1.0, 4.0), (1000.0, 3.0)]);
        assert_eq!(lines[4].points, [(1.0, 7.0), (1000.0, 7.0)]);
    }
}

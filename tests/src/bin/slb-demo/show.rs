//! What the demonstration prints: numbered steps, checked statements, bars.

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
    time::Instant,
};

/// One bar of a chart.
pub(crate) struct Bar {
    /// Who.
    pub(crate) label: String,
    /// How many it got.
    pub(crate) got: u64,
    /// How many it should have got.
    pub(crate) wanted: u64,
}

/// Prints, and remembers what did not hold.
pub(crate) struct Show {
    colours: bool,
    begun: Instant,
    steps: usize,
    held: usize,
    failed: Vec<String>,
}

impl Show {
    pub(crate) fn new() -> Self {
        let colours = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self { colours, begun: Instant::now(), steps: 0, held: 0, failed: Vec::new() }
    }

    /// Begins a step.
    pub(crate) fn step(&mut self, title: &str) {
        self.steps += 1;
        println!("\n{:>2}  {}", self.steps, self.paint("1", title));
    }

    /// A line that is no statement.
    pub(crate) fn line(&self, text: &str) {
        println!("    {text}");
    }

    /// A statement, and whether it holds.
    pub(crate) fn claim(&mut self, holds: bool, text: &str) {
        if holds {
            self.held += 1;
            println!("    {} {text}", self.paint("32", "✓"));
        } else {
            println!("    {} {text}", self.paint("31", "✗ not so:"));
            self.failed.push(format!("step {}: {text}", self.steps));
        }
    }

    /// A chart; the longest bar fills the width.
    pub(crate) fn bars(&self, bars: &[Bar]) {
        const WIDTH: u64 = 30;
        let longest = bars.iter().map(|bar| bar.got.max(bar.wanted)).max().unwrap_or(1).max(1);
        for bar in bars {
            let length = usize::try_from((bar.got * WIDTH).div_ceil(longest)).unwrap_or(0);
            let drawn = format!("{:<30}", "█".repeat(length));
            let drawn = self.paint("36", &drawn);
            println!("      {:<20} {drawn} {:>4} of {} expected", bar.label, bar.got, bar.wanted);
        }
    }

    /// Says whether everything held, and how long it took.
    pub(crate) fn finish(&self) -> ExitCode {
        let seconds = self.begun.elapsed().as_secs_f64();
        if self.failed.is_empty() {
            let all = format!("All {} statements held", self.held);
            println!("\n{} ({seconds:.1} s).", self.paint("32", &all));
            ExitCode::SUCCESS
        } else {
            self.tell_failures();
            ExitCode::FAILURE
        }
    }

    /// Lists the statements that did not hold, if any.
    pub(crate) fn tell_failures(&self) {
        if self.failed.is_empty() {
            return;
        }
        let all = self.held + self.failed.len();
        let some = format!("{} of {all} statements did not hold:", self.failed.len());
        println!("\n{}", self.paint("31", &some));
        for text in &self.failed {
            println!("  {text}");
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

//! One `cargo test`: run, shown while it runs, counted.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use super::count::Count;
use crate::build::Profile;
use crate::run;

/// A part of the tests that cargo builds and runs at once.
pub(crate) struct Suite {
    /// What it proves, for the reader of the output.
    pub(crate) name: &'static str,
    /// Arguments of `cargo test`.
    pub(crate) arguments: &'static [&'static str],
}

impl Suite {
    /// Runs it; a suite that does not build or breaks off counts as one failed test.
    pub(crate) fn run(&self, environment: &[(&str, &str)]) -> Count {
        println!("\n== {} ==", self.name);
        let started = Instant::now();
        let count = self.counted(environment).unwrap_or_else(|error| {
            println!("failed: `cargo test` did not run: {error}");
            Count::ONE_FAILURE
        });
        println!("== {count} in {:.0} s ==", started.elapsed().as_secs_f32());
        count
    }

    fn counted(&self, environment: &[(&str, &str)]) -> io::Result<Count> {
        let mut cargo = run::cargo();
        cargo.args(["test", "--no-fail-fast"]).args(self.arguments).stdout(Stdio::piped());
        // Where the lab finds the daemon; the other suites do not look.
        cargo.env("SLB_BIN_DIR", Profile::Dev.directory());
        cargo.envs(environment.iter().copied());
        let mut child = cargo.spawn()?;
        let mut counts = Vec::new();
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).split(b'\n') {
                let line = String::from_utf8_lossy(&line?).into_owned();
                counts.extend(Count::of_line(&line));
                writeln!(io::stdout(), "{line}")?;
            }
        }
        Ok(judge(counts, child.wait()?))
    }
}

/// The sum of the result lines, if cargo agrees with it.
fn judge(counts: Vec<Count>, status: ExitStatus) -> Count {
    let ran_any = !counts.is_empty();
    let mut count: Count = counts.into_iter().sum();
    if !status.success() && count.failed == 0 {
        println!("failed: a suite did not build or broke off ({status})");
        count.failed = 1;
    } else if !ran_any {
        println!("failed: no test was run");
        count.failed = 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    const GOOD: Count = Count { passed: 3, failed: 0, skipped: 0 };

    #[test]
    fn a_suite_that_breaks_off_after_good_results_has_failed() {
        let broken = judge(vec![GOOD], ExitStatus::from_raw(101 << 8));
        assert_eq!(broken, Count { failed: 1, ..GOOD });
        assert_eq!(judge(vec![GOOD, GOOD], ExitStatus::from_raw(0)).passed, 6);
    }

    #[test]
    fn a_suite_without_any_result_has_failed() {
        assert_eq!(judge(Vec::new(), ExitStatus::from_raw(0)).failed, 1);
        assert_eq!(judge(Vec::new(), ExitStatus::from_raw(101 << 8)).failed, 1);
    }
}

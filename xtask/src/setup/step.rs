//! One step of the set-up: run, timed, told.

use std::fs;
use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::run;

/// How a step ended.
pub(crate) enum Outcome {
    /// Nothing to do.
    There,
    /// Missing before, there now.
    Installed,
    /// Missing, and this says what to do.
    Failed(String),
}

impl Outcome {
    /// Missing, and only root can install it.
    pub(crate) fn by_root(command: &Command) -> Self {
        Self::Failed(format!("as root: `{}`", run::line(command)))
    }
}

/// Tells the steps and collects what could not be done.
pub(crate) struct Report {
    tell_all: bool,
    started: Instant,
    failed: Vec<String>,
}

impl Report {
    /// `tell_all`: also tell the steps that had nothing to do.
    pub(crate) fn new(tell_all: bool) -> Self {
        Self { tell_all, started: Instant::now(), failed: Vec::new() }
    }

    /// Tells how a step ended. Its time is the time since the last one.
    pub(crate) fn step(&mut self, what: &str, outcome: Outcome) {
        let seconds = self.started.elapsed().as_secs_f32();
        self.started = Instant::now();
        match outcome {
            Outcome::There if self.tell_all => println!("  there      {what}"),
            Outcome::There => {}
            Outcome::Installed => println!("  installed  {what} ({seconds:.0} s)"),
            Outcome::Failed(advice) => {
                println!("  missing    {what} ({seconds:.0} s)");
                self.failed.push(format!("{what}: {advice}"));
            }
        }
    }

    /// Ends with what could not be done, in words.
    ///
    /// # Errors
    /// Something could not be done.
    pub(crate) fn finish(self) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        bail!("the set-up is not complete; do by hand:\n  - {}", self.failed.join("\n  - "));
    }
}

/// A command that is ended after `seconds`; a mirror that does not answer must not hang a set-up.
pub(crate) fn limited(program: &str, seconds: u32) -> Command {
    let mut command = Command::new("timeout");
    // In the foreground, so that Ctrl-C reaches the program, too.
    command.args(["--foreground", "--kill-after=10", &seconds.to_string(), program]);
    command
}

/// Runs a command that installs something; its output is only told if it fails.
pub(crate) fn install(command: &mut Command) -> Outcome {
    match quietly(command) {
        Ok(()) => Outcome::Installed,
        Err(end) => Outcome::Failed(format!("`{}` failed:\n{end}", run::line(command))),
    }
}

/// Runs a command with its output in a log.
///
/// # Errors
/// The end of its output.
pub(crate) fn quietly(command: &mut Command) -> Result<(), String> {
    // A long silence looks like a hang: say what is running.
    print!("  running    {}", run::line(command));
    println!("{}", if std::io::stdout().is_terminal() { " ..." } else { "" });
    let _ = std::io::stdout().flush();
    let path = run::target_dir().join("setup.log");
    let log = fs::File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let second = log.try_clone().map_err(|error| error.to_string())?;
    let status = command.stdin(Stdio::null()).stdout(log).stderr(second).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let text = fs::read_to_string(&path).unwrap_or_default();
            Err(format!("{}\n      ({status}; all of it: {})", last_lines(&text), path.display()))
        }
        Err(error) => Err(format!("      it did not start: {error}")),
    }
}

/// The last lines that are not empty, indented.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = &lines[lines.len().saturating_sub(8)..];
    end.iter().map(|line| format!("      {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_with_a_failed_step_fails_and_says_what_to_do() {
        let mut report = Report::new(true);
        report.step("one", Outcome::There);
        report.step("two", Outcome::by_root(Command::new("mount").arg("/x")));
        let error = report.finish().unwrap_err().to_string();
        assert!(error.contains("two: as root: `mount /x`"), "{error}");
        assert!(!error.contains("one"), "{error}");
    }

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let started = Instant::now();
        let status = limited("sleep", 1).arg("60").status().unwrap();
        assert!(!status.success());
        assert!(started.elapsed().as_secs() < 30);
    }

    #[test]
    fn only_the_end_of_a_long_output_is_told() {
        let text: String = (0..50).map(|number| format!("line {number}\n\n")).collect();
        let end = last_lines(&text);
        assert!(end.starts_with("      line 42\n") && end.ends_with("line 49"), "{end}");
    }
}

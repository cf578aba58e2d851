//! `cargo xtask tidy`: the rules of the repository that the compiler does not know.
//!
//! ARCHITECTURE.md holds the tables that the dependency and `unsafe` checks read.

mod crates;
mod links;
mod modules;
mod names;
mod panics;
mod promises;
mod repository;
mod shape;
mod source;
mod table;
mod unsafety;
mod uses;
mod verdicts;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

use crate::run;
use crate::test::Count;
use repository::Repository;

/// A rule and what proves that it holds.
struct Check {
    rule: &'static str,
    violations: fn(&Repository) -> Vec<Violation>,
}

const CHECKS: [Check; 10] = [
    Check { rule: "crates depend only on whom ARCHITECTURE.md says", violations: crates::check },
    Check { rule: "modules use only what ARCHITECTURE.md says", violations: modules::check },
    Check { rule: "`unsafe` only where ARCHITECTURE.md says why", violations: unsafety::check },
    Check { rule: "files are short enough to read", violations: shape::check_length },
    Check { rule: "files begin by saying what they are", violations: shape::check_first_line },
    Check { rule: "names say what a thing is", violations: names::check },
    Check { rule: "the daemon does not panic by `unwrap`", violations: panics::check },
    Check { rule: "every reason to drop has a test", violations: verdicts::check },
    Check {
        rule: "every promise of layer 4 has a test and a mutation",
        violations: promises::check,
    },
    Check { rule: "links between documents lead somewhere", violations: links::check },
];

/// A place where a rule does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Violation {
    /// Relative to the repository.
    file: String,
    /// From 1.
    line: usize,
    what: String,
}

impl Violation {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Checks everything and tells it.
pub(crate) fn run() -> Result<ExitCode> {
    let count = check_all();
    println!("\n{count}");
    Ok(if count.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks everything, tells it, and counts each rule as a test.
pub(crate) fn check_all() -> Count {
    println!("\n== tidy ==");
    let formatted = cargo("formatted by rustfmt", &["fmt", "--all", "--check"]);
    let lints = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-Dwarnings"];
    let linted = cargo("no warning, neither rustc's nor clippy's", &lints);
    let rules = match Repository::load(run::root()) {
        Ok(repository) => CHECKS.iter().map(|check| tell(check, &repository)).sum(),
        Err(error) => told("the repository can be read", &[error.to_string()]),
    };
    [formatted, linted, rules].into_iter().sum()
}

fn cargo(rule: &str, arguments: &[&str]) -> Count {
    let failure = run::run(run::cargo().args(arguments)).err().map(|error| error.to_string());
    told(rule, failure.as_slice())
}

fn tell(check: &Check, repository: &Repository) -> Count {
    let violations = (check.violations)(repository);
    told(check.rule, &violations.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn told(rule: &str, failures: &[String]) -> Count {
    let passed = failures.is_empty();
    println!("tidy: {rule} ... {}", if passed { "ok" } else { "FAILED" });
    for failure in failures {
        println!("  {failure}");
    }
    Count { passed: usize::from(passed), failed: usize::from(!passed), skipped: 0 }
}

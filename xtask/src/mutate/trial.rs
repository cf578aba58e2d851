//! One trial: the tests of a mutation are built and run in the broken copy, and judged.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};

use super::mutation::Mutation;
use super::scratch::Scratch;
use super::test_name::{Suite, TestName};
use crate::run;

/// Seconds after which a build is given up, and a run of tests.
const BUILD_S: u32 = 900;
const RUN_S: u32 = 300;

/// What the kernel's or the daemon's words contain when a program was not loaded. A test that
/// fails by it has proved nothing.
const NOT_LOADED: [&str; 3] = ["BPF_PROG_LOAD", "the kernel refused the", "verifier_log"];

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every test that must fail did.
    Killed,
    /// At least one of them passed.
    Survived,
    /// The compiler refused it: it says nothing about the tests.
    DidNotBuild,
    /// The kernel refused it: likewise.
    DidNotLoad,
    /// The tests did not come to an end, or did not run.
    Unclear,
}

impl Outcome {
    /// All, for reading them back.
    pub(crate) const ALL: [Self; 5] =
        [Self::Killed, Self::Survived, Self::DidNotBuild, Self::DidNotLoad, Self::Unclear];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed => "killed",
            Self::Survived => "survived",
            Self::DidNotBuild => "did not build",
            Self::DidNotLoad => "did not load",
            Self::Unclear => "unclear",
        })
    }
}

/// What came out of a trial.
pub(crate) struct Trial {
    /// What became of the mutant.
    pub(crate) outcome: Outcome,
    /// Tests that passed where they must fail, or the compiler's first complaint.
    pub(crate) why: Vec<String>,
}

/// Runs the tests of a mutation against it.
///
/// # Errors
/// The mutation does not fit the source, or cargo does not start.
pub(crate) fn mutant(
    scratch: &Scratch,
    mutation: &Mutation,
    suite_of: impl Fn(&TestName) -> Result<Suite>,
) -> Result<Trial> {
    let _restore = scratch.mutate(mutation)?;
    let mut trial = Trial { outcome: Outcome::Killed, why: Vec::new() };
    for (suite, names) in by_suite(&mutation.tests, suite_of)? {
        let outcome = match build(scratch, &suite)? {
            Ok(()) => {
                let report = tests(scratch, &suite, &names)?;
                let passed = names.iter().filter(|name| !report.failed(name));
                trial.why.extend(passed.map(ToString::to_string));
                judge(&report, &names)
            }
            Err(words) => {
                let complaint = words.lines().find(|line| line.starts_with("error"));
                trial.why.extend(complaint.map(ToOwned::to_owned));
                Outcome::DidNotBuild
            }
        };
        if outcome != Outcome::Killed {
            trial.outcome = outcome;
        }
    }
    Ok(trial)
}

/// Runs tests in the unbroken copy and returns those that do not pass: a test that always fails
/// proves nothing.
///
/// # Errors
/// The copy does not build, or cargo does not start.
pub(crate) fn unbroken(
    scratch: &Scratch,
    names: &[TestName],
    suite_of: impl Fn(&TestName) -> Result<Suite>,
) -> Result<Vec<TestName>> {
    let mut failing = Vec::new();
    for (suite, names) in by_suite(names, suite_of)? {
        build(scratch, &suite)?.map_err(anyhow::Error::msg).context("the copy does not build")?;
        let report = tests(scratch, &suite, &names)?;
        let passed = |name: &TestName| report.ran(name) && !report.failed(name);
        failing.extend(names.into_iter().filter(|name| !passed(name)));
    }
    Ok(failing)
}

/// The suites that tests are of, each with its tests.
fn by_suite(
    names: &[TestName],
    suite_of: impl Fn(&TestName) -> Result<Suite>,
) -> Result<Vec<(Suite, Vec<TestName>)>> {
    let mut suites = BTreeMap::<&str, (Suite, Vec<TestName>)>::new();
    for name in names {
        let suite = suite_of(name)?;
        let (_, of_suite) = suites.entry(&name.suite).or_insert_with(|| (suite, Vec::new()));
        of_suite.push(name.clone());
    }
    Ok(suites.into_values().collect())
}

/// Builds a suite, and what it runs; the inner error is the compiler's words.
fn build(scratch: &Scratch, suite: &Suite) -> Result<Result<(), String>> {
    if suite.loads_objects()
        && let Err(words) = scratch.objects()
    {
        return Ok(Err(words));
    }
    let mut commands = vec![scratch.cargo(BUILD_S)];
    commands[0].args(["test", "--no-run", "--quiet"]).args(&suite.arguments);
    if suite.is_lab() {
        let mut daemon = scratch.cargo(BUILD_S);
        daemon.args(["build", "--quiet", "--package", "slb-userspace", "--bins"]);
        commands.insert(0, daemon);
    }
    for command in &mut commands {
        let output = command.output().with_context(|| run::line(command))?;
        if !output.status.success() {
            return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
    }
    Ok(Ok(()))
}

fn tests(scratch: &Scratch, suite: &Suite, names: &[TestName]) -> Result<Report> {
    let mut command = scratch.cargo(RUN_S);
    let functions = names.iter().map(|name| &name.function);
    command.args(["test", "--no-fail-fast"]).args(&suite.arguments).arg("--").args(functions);
    if suite.is_lab() {
        command.arg("--test-threads=1");
    }
    let output = command.output().with_context(|| run::line(&command))?;
    let words = [output.stdout, output.stderr].concat();
    Ok(Report(String::from_utf8_lossy(&words).into_owned()))
}

impl Suite {
    fn is_lab(&self) -> bool {
        self.sources.iter().any(|path| path == "tests/tests/lab")
    }

    /// False for the tests of the data plane's logic and of the shapes of its maps, which run
    /// without a kernel.
    fn loads_objects(&self) -> bool {
        !self.sources.iter().any(|path| ["slb-common/src", "slb-ebpf/src"].contains(&path.as_str()))
    }
}

/// What a run of tests printed.
struct Report(String);

impl Report {
    /// The path of a test ends with the function's name.
    fn is_of(path: &str, name: &TestName) -> bool {
        path.rsplit("::").next() == Some(&name.function)
    }

    /// Read from the line that begins with it: what it prints may stand before its `ok`.
    fn ran(&self, name: &TestName) -> bool {
        self.0.lines().filter_map(|line| line.strip_prefix("test ")).any(|line| {
            let path = line.split(' ').next().unwrap_or_default();
            Self::is_of(path, name) && !line.contains("... ignored")
        })
    }

    /// Read from the list at the end.
    fn failed(&self, name: &TestName) -> bool {
        let list = self.0.rsplit("\nfailures:\n").next().unwrap_or_default();
        list.lines()
            .filter_map(|line| line.strip_prefix("    "))
            .any(|path| Self::is_of(path, name))
    }

    fn ended(&self) -> bool {
        self.0.lines().any(|line| line.starts_with("test result: "))
    }
}

fn judge(report: &Report, names: &[TestName]) -> Outcome {
    if !report.ended() || !names.iter().all(|name| report.ran(name)) {
        return Outcome::Unclear;
    }
    if !names.iter().all(|name| report.failed(name)) {
        return Outcome::Survived;
    }
    let refused = NOT_LOADED.iter().any(|words| report.0.contains(words));
    if refused { Outcome::DidNotLoad } else { Outcome::Killed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = "running 2 tests\ntest a::one ... ok\ntest a::two ... FAILED\n\n\
        failures:\n\n---- a::two stdout ----\npanicked: left == right\n\n\n\
        failures:\n    a::two\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored\n";

    fn judged(text: &str, functions: &[&str]) -> Outcome {
        let name = |function| TestName::parse(&format!("ebpf::{function}")).unwrap();
        let names: Vec<_> = functions.iter().map(name).collect();
        judge(&Report(text.to_owned()), &names)
    }

    #[test]
    fn a_mutant_is_killed_only_if_every_named_test_failed() {
        assert_eq!(judged(FAILED, &["two"]), Outcome::Killed);
        assert_eq!(judged(FAILED, &["one"]), Outcome::Survived);
        assert_eq!(judged(FAILED, &["one", "two"]), Outcome::Survived);
    }

    #[test]
    fn a_test_that_did_not_run_or_end_says_nothing() {
        assert_eq!(judged(FAILED, &["two", "three"]), Outcome::Unclear);
        let ignored = FAILED.replace("two ... FAILED", "two ... ignored");
        assert_eq!(judged(&ignored, &["two"]), Outcome::Unclear);
        let (broken_off, _) = FAILED.split_once("test result").unwrap();
        assert_eq!(judged(broken_off, &["two"]), Outcome::Unclear);
        assert_eq!(judged("", &["two"]), Outcome::Unclear);
    }

    #[test]
    fn a_program_that_the_kernel_refuses_is_not_killed_by_a_test() {
        let refused = FAILED.replace("left == right", "The BPF_PROG_LOAD syscall returned EACCES");
        assert_eq!(judged(&refused, &["two"]), Outcome::DidNotLoad);
    }

    #[test]
    fn output_of_the_test_between_its_name_and_its_result_does_not_matter() {
        let text = FAILED.replace("one ... ok", "one ... words of a program\nok");
        assert_eq!(judged(&text, &["one"]), Outcome::Survived);
        assert_eq!(
            judged(&text.replace("two ... FAILED", "two ... words\nFAILED"), &["two"]),
            Outcome::Killed
        );
    }
}

//! The oldest supported kernel: the demonstration and the program tests in a virtual machine.

use std::time::Instant;

use anyhow::Result;

use super::count::Count;
use crate::build::{self, Profile};
use crate::guest::{self, Guest, Program, Ran, Task, Transcript};

/// Shows real traffic through the daemon; its exit code says whether all it states held.
const DEMO: &str = "demo";
/// Packets in, packets out; prints a result line.
const PROGRAM: &str = "program";

/// Builds, boots, counts; what could not be done counts as one failed test.
pub(super) fn run() -> Count {
    println!("\n== kernels: the demonstration and the program tests on Linux 6.1 ==");
    let started = Instant::now();
    let count = counted().unwrap_or_else(|error| {
        println!("failed: {error:#}");
        Count::ONE_FAILURE
    });
    println!("== {count} in {:.0} s ==", started.elapsed().as_secs_f32());
    count
}

fn counted() -> Result<Count> {
    guest::set_up()?;
    let bins = ["slbd", "slb", "slb-demo"];
    build::binaries(&["slb-userspace", "slb-tests"], &bins, Profile::Dev)?;
    let built = |name| Profile::Dev.directory().join(name);
    let program = build::test_binary("slb-tests", "program")?;
    let task = |name, program| Task { name, program: Program::Copied(program), arguments: vec![] };
    let guest = Guest {
        tasks: vec![task(DEMO, built("slb-demo")), task(PROGRAM, program)],
        binaries: ["slbd", "slb"].map(|name| (name, built(name))).to_vec(),
        ..Guest::of_labs()
    };
    Ok(judge(&guest.run()?))
}

/// The sum of what the tasks proved.
fn judge(transcript: &Transcript) -> Count {
    println!("  on {}:", transcript.kernel.as_deref().unwrap_or("an unknown kernel"));
    let count_of = |name| {
        let ran = transcript.tasks.iter().find(|ran| ran.name == name);
        let count = ran.map_or(Count::ONE_FAILURE, judge_task);
        println!("  {name}: {count}");
        count
    };
    let mut count: Count = [DEMO, PROGRAM].into_iter().map(count_of).sum();
    if !transcript.complete && count.failed == 0 {
        count.failed = 1;
    }
    count
}

/// The task's result lines, if its exit code agrees; the demonstration is one test.
fn judge_task(ran: &Ran) -> Count {
    let mut counts: Vec<Count> = ran.lines.iter().filter_map(|line| Count::of_line(line)).collect();
    if ran.name == DEMO && ran.exit_code == Some(0) {
        counts.push(Count { passed: 1, ..Count::default() });
    }
    let nothing_ran = counts.is_empty();
    let mut count: Count = counts.into_iter().sum();
    if count.failed == 0 && (nothing_ran || ran.exit_code != Some(0)) {
        count.failed = 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured";
    const BAD: &str = "test result: FAILED. 11 passed; 2 failed; 0 ignored; 0 measured";

    fn ran(name: &str, lines: &[&str], exit_code: Option<i32>) -> Ran {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Ran { name: name.to_owned(), lines, exit_code }
    }

    fn count(passed: usize, failed: usize, skipped: usize) -> Count {
        Count { passed, failed, skipped }
    }

    #[test]
    fn the_demonstration_is_one_test_by_its_exit_code() {
        let held = ran(DEMO, &["All 21 statements held (28.4 s)."], Some(0));
        assert_eq!(judge_task(&held), count(1, 0, 0));
        assert_eq!(judge_task(&ran(DEMO, &[], Some(1))), count(0, 1, 0));
        assert_eq!(judge_task(&ran(DEMO, &[], None)), count(0, 1, 0));
    }

    #[test]
    fn result_lines_are_counted_and_have_to_agree_with_the_exit_code() {
        assert_eq!(judge_task(&ran(PROGRAM, &["x", GOOD], Some(0))), count(12, 0, 1));
        assert_eq!(judge_task(&ran(PROGRAM, &[BAD], Some(101))), count(11, 2, 0));
        assert_eq!(judge_task(&ran(PROGRAM, &[GOOD], Some(101))), count(12, 1, 1));
        assert_eq!(judge_task(&ran(PROGRAM, &[], Some(0))), count(0, 1, 0));
    }

    #[test]
    fn a_task_that_did_not_begin_has_failed() {
        let tasks = vec![ran(DEMO, &[], Some(0))];
        let transcript = Transcript { tasks, complete: true, ..Transcript::default() };
        assert_eq!(judge(&transcript), count(1, 1, 0));
    }

    #[test]
    fn a_guest_that_did_not_switch_itself_off_has_failed() {
        let tasks = vec![ran(DEMO, &[], Some(0)), ran(PROGRAM, &[GOOD], Some(0))];
        let whole = Transcript { tasks, complete: true, ..Transcript::default() };
        assert_eq!(judge(&whole), count(13, 0, 1));
        assert_eq!(judge(&Transcript { complete: false, ..whole }), count(13, 1, 1));
    }
}

//! `cargo xtask mutate`: breaks each promise of layer 4 on purpose and shows that its test notices.
//!
//! `docs/layer4.md` has the promises, `tests/mutations.toml` the changes, `docs/mutations.md` the
//! results. Tidy checks that they agree with each other and with the source.

pub(crate) mod mutation;
pub(crate) mod promise;
pub(crate) mod record;
mod scratch;
pub(crate) mod test_name;
pub(crate) mod trial;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::run;
use mutation::Mutation;
use record::{Record, Tried};
use scratch::Scratch;
use test_name::{Suite, TestName};
use trial::{Outcome, Trial};

/// Which mutations.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Rows of docs/layer4.md, or how their names begin; without one: all
    rows: Vec<String>,
    /// Also those that were killed in the state that they are in
    #[arg(long)]
    all: bool,
}

/// Tries them, one after the other, and writes each result down at once.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(refused) = run::refuse_without_root("cargo xtask mutate", "mutate") {
        return Ok(refused);
    }
    let text = read(mutation::FILE)?;
    let mutations = mutation::read(&text).map_err(|faults| {
        let lines = faults.iter().map(|(line, what)| format!("{}:{line}: {what}", mutation::FILE));
        anyhow::Error::msg(lines.collect::<Vec<_>>().join("\n"))
    })?;
    let mut record = Record::read(&read(record::DOCUMENT).unwrap_or_default());
    let chosen = chosen(arguments, &mutations, &record)?;
    let all_tried = chosen.is_empty() || try_all(&chosen, &mutations, &mut record)?;
    save(&record, &mutations)?;
    let as_expected = tell(&record, &mutations);
    Ok(if all_tried && as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A mutation to try, and the state that it is in.
type Chosen<'a> = (&'a Mutation, String);

/// False if some could not be tried, because their tests fail without them already.
fn try_all(chosen: &[Chosen<'_>], mutations: &[Mutation], record: &mut Record) -> Result<bool> {
    let scratch = Scratch::prepare()?;
    let names: BTreeSet<_> = chosen.iter().flat_map(|(one, _)| one.tests.iter().cloned()).collect();
    println!("mutate: {} tests in the unbroken copy", names.len());
    let failing = trial::unbroken(&scratch, &names.into_iter().collect::<Vec<_>>(), suite_of)?;
    let (date, kernel) = (today()?, kernel()?);
    for (number, (mutation, state)) in chosen.iter().enumerate() {
        let (row, change) = (&mutation.row, &mutation.change);
        print!("mutate: {}/{} {row}: {change} ... ", number + 1, chosen.len());
        io::stdout().flush()?;
        if let Some(name) = mutation.tests.iter().find(|name| failing.contains(name)) {
            println!("not tried: `{name}` fails already, or is not run");
            continue;
        }
        let started = Instant::now();
        let Trial { outcome, why } = trial::mutant(&scratch, mutation, suite_of)?;
        println!("{outcome} ({:.0} s)", started.elapsed().as_secs_f32());
        why.iter().for_each(|why| println!("  {why}"));
        let (date, kernel, state) = (date.clone(), kernel.clone(), state.clone());
        record.note(mutation, Tried { outcome, date, kernel, state });
        save(record, mutations)?;
    }
    Ok(failing.is_empty())
}

/// The named ones, less those that were killed in the state that they are in.
fn chosen<'a>(
    arguments: &Arguments,
    mutations: &'a [Mutation],
    record: &Record,
) -> Result<Vec<Chosen<'a>>> {
    let is_named = |mutation: &&Mutation, name: &String| mutation.row.starts_with(name.as_str());
    for name in &arguments.rows {
        if !mutations.iter().any(|mutation| is_named(&mutation, name)) {
            bail!("no mutation of a row that begins with {name:?} is in {}", mutation::FILE);
        }
    }
    let mut chosen = Vec::new();
    for mutation in mutations {
        let named = arguments.rows.iter().any(|name| is_named(&mutation, name));
        if !named && !arguments.rows.is_empty() {
            continue;
        }
        let state = state(mutation)?;
        let killed = |tried: &Tried| tried.outcome == Outcome::Killed && tried.state == state;
        if arguments.all || !record.of(mutation).is_some_and(killed) {
            chosen.push((mutation, state));
        }
    }
    chosen.sort_by_key(|(mutation, _)| needs(mutation));
    Ok(chosen)
}

/// What has to be built for a mutation: its crate, for these suites. What is built for one is there
/// for the next that needs the same.
fn needs(mutation: &Mutation) -> (&str, BTreeSet<&str>) {
    let name = mutation.file.split('/').next().unwrap_or_default();
    (name, mutation.tests.iter().map(|test| test.suite.as_str()).collect())
}

/// The state of a mutation, the source that it changes and the files of its tests.
fn state(mutation: &Mutation) -> Result<String> {
    let mut texts = vec![read(&mutation.file)?];
    for name in &mutation.tests {
        for path in suite_of(name)?.sources {
            texts.extend(rust_below(&path, &format!("fn {}(", name.function))?);
        }
    }
    Ok(record::state(mutation, &texts.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// The Rust files at or below a path that contain a text.
fn rust_below(path: &str, containing: &str) -> Result<Vec<String>> {
    let full = run::root().join(path);
    if full.is_file() {
        let text = read(path)?;
        let is_wanted = path.ends_with(".rs") && text.contains(containing);
        return Ok(if is_wanted { vec![text] } else { Vec::new() });
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&full).with_context(|| path.to_owned())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let files = names.iter().map(|name| rust_below(&format!("{path}/{name}"), containing));
    Ok(files.collect::<Result<Vec<_>>>()?.concat())
}

fn suite_of(name: &TestName) -> Result<Suite> {
    let suite = name.suite(|path| run::root().join(path).exists());
    suite.with_context(|| format!("`{name}`: there is no suite `{}`", name.suite))
}

fn save(record: &Record, mutations: &[Mutation]) -> Result<()> {
    let path = run::root().join(record::DOCUMENT);
    fs::write(path, record.write(mutations)).context(record::DOCUMENT)
}

/// Tells the sums; false if a result is not what it should be.
fn tell(record: &Record, mutations: &[Mutation]) -> bool {
    let mut counts = vec![0_usize; Outcome::ALL.len()];
    let mut bad = 0;
    for mutation in mutations {
        let Some(tried) = record.of(mutation) else {
            continue;
        };
        if let Some(at) = Outcome::ALL.iter().position(|one| *one == tried.outcome) {
            counts[at] += 1;
        }
        let expected = match mutation.survives {
            Some(_) => Outcome::Survived,
            None => Outcome::Killed,
        };
        bad += usize::from(tried.outcome != expected);
    }
    let words = Outcome::ALL.iter().zip(&counts).filter(|(_, count)| **count > 0);
    let words: Vec<_> = words.map(|(outcome, count)| format!("{count} {outcome}")).collect();
    println!("\n{} mutations: {}; see {}", mutations.len(), words.join(", "), record::DOCUMENT);
    bad == 0
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(run::root().join(path)).with_context(|| path.to_owned())
}

fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%F"]).output().context("date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The kernel's version without what its maker added.
fn kernel() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("osrelease")?;
    let end = release.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(release.len());
    Ok(release[..end].to_owned())
}

//! Every promise of layer 4 names a test that exists, and a mutation that fits the source.

use super::Violation;
use super::repository::Repository;
use super::source::{code_only, words};
use crate::mutate::mutation::{self, FILE, Mutation};
use crate::mutate::promise::{self, DOCUMENT, Promise, Proof};
use crate::mutate::record::{self, Record};
use crate::mutate::test_name::TestName;
use crate::mutate::trial::Outcome;

/// How far layer 4 is.
#[derive(Clone, Copy, PartialEq, Eq)]
// One of the two is not the constant's value.
#[allow(dead_code)]
enum Layer4 {
    /// A row may be `pending`, and a mutation not yet tried.
    Growing,
    /// A row without a test says `not built` or `not tested`, and why; each mutation has been
    /// tried.
    Whole,
}

/// To be changed when the last `pending` is gone.
const LAYER4: Layer4 = Layer4::Growing;

/// Looks at the rows of `docs/layer4.md` and at `tests/mutations.toml`.
pub(super) fn check(repository: &Repository) -> Vec<Violation> {
    check_at(repository, LAYER4)
}

fn check_at(repository: &Repository, layer4: Layer4) -> Vec<Violation> {
    let text = |path| repository.text(path).unwrap_or_default();
    let promises = promise::read(text(DOCUMENT)).map_err(|faults| told(DOCUMENT, faults));
    let mutations = mutation::read(text(FILE)).map_err(|faults| told(FILE, faults));
    match (promises, mutations) {
        (Ok(promises), Ok(mutations)) => {
            let mut violations = of_promises(repository, layer4, &promises, &mutations);
            violations.extend(of_mutations(repository, layer4, &promises, &mutations));
            violations
        }
        (promises, mutations) => {
            [promises.err(), mutations.err()].into_iter().flatten().flatten().collect()
        }
    }
}

fn told(file: &str, faults: Vec<promise::Fault>) -> Vec<Violation> {
    faults.into_iter().map(|(line, what)| Violation::new(file, line, what)).collect()
}

fn of_promises(
    repository: &Repository,
    layer4: Layer4,
    promises: &[Promise],
    mutations: &[Mutation],
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for promise in promises {
        let mut tell = |what: String| {
            violations.push(Violation::new(DOCUMENT, promise.line, what));
        };
        match &promise.proof {
            Proof::Pending if layer4 == Layer4::Whole => {
                tell(format!("row `{}` is pending: name its test, or say why not", promise.row));
            }
            Proof::Tests(tests) => {
                for name in tests {
                    if let Some(what) = missing(repository, name) {
                        tell(format!("row `{}`: {what}", promise.row));
                    }
                }
                if !mutations.iter().any(|mutation| mutation.row == promise.row) {
                    tell(format!("row `{}` has no mutation in {FILE}", promise.row));
                }
            }
            Proof::Pending | Proof::NotBuilt | Proof::NotTested => {}
        }
    }
    violations
}

/// What is wrong with a test's name, if it is not that of a test.
fn missing(repository: &Repository, name: &TestName) -> Option<String> {
    let Some(suite) = name.suite(|path| repository.has(path)) else {
        return Some(format!("`{name}`: there is no suite `{}`", name.suite));
    };
    let files = repository.rust("").filter(|file| {
        let is_source = |source: &String| {
            file.path
                .strip_prefix(source.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        suite.sources.iter().any(is_source)
    });
    let count: usize = files.map(|file| tests_named(file.text, &name.function)).sum();
    match count {
        1 => None,
        0 => Some(format!("`{name}` is no test of {}", suite.sources.join(" or "))),
        many => Some(format!("`{name}` is the name of {many} tests of one suite")),
    }
}

/// How many functions of that name a file marks as tests.
fn tests_named(text: &str, function: &str) -> usize {
    // Most files do not even contain the name.
    if !text.contains(function) {
        return 0;
    }
    let code = code_only(text);
    let (mut before, mut is_test, mut count) = ("", false, 0);
    for (at, word) in words(&code) {
        match (before, word) {
            // `#[test]`, `#[tokio::test]`, `#[tokio::test(...)]`; not `#[cfg(test)]`.
            (_, "test") if code[..at].ends_with("#[") || code[..at].ends_with("#[tokio::") => {
                is_test = true;
            }
            ("fn", word) => {
                count += usize::from(is_test && word == function);
                is_test = false;
            }
            _ => {}
        }
        before = word;
    }
    count
}

fn of_mutations(
    repository: &Repository,
    layer4: Layer4,
    promises: &[Promise],
    mutations: &[Mutation],
) -> Vec<Violation> {
    let record = Record::read(repository.text(record::DOCUMENT).unwrap_or_default());
    let mut violations = Vec::new();
    for mutation in mutations {
        let row = &mutation.row;
        let mut tell = |what: String| violations.push(Violation::new(FILE, mutation.line, what));
        match promises.iter().find(|promise| &promise.row == row).map(|promise| &promise.proof) {
            None => tell(format!("{DOCUMENT} has no row `{row}`")),
            Some(Proof::Tests(tests)) => {
                for name in mutation.tests.iter().filter(|name| !tests.contains(name)) {
                    tell(format!("row `{row}` does not name the test `{name}`"));
                }
            }
            Some(_) => tell(format!("row `{row}` names no test, so none can notice")),
        }
        match repository.text(&mutation.file) {
            None => tell(format!("there is no file {}", mutation.file)),
            Some(source) => {
                if let Err(what) = mutation.apply(source) {
                    tell(what);
                }
            }
        }
        let change = &mutation.change;
        match (record.of(mutation).map(|tried| tried.outcome), &mutation.survives) {
            (Some(Outcome::Survived), None) => {
                tell(format!(
                    "`{row}`: {change:?} survived: mend the test, or say why in `survives`"
                ));
            }
            (Some(Outcome::Killed), Some(_)) => {
                tell(format!("`{row}`: {change:?} was killed: take `survives` away"));
            }
            (Some(Outcome::Killed | Outcome::Survived), _) => {}
            _ if layer4 == Layer4::Whole => {
                tell(format!("`{row}`: {change:?} has no result: cargo xtask mutate {row}"));
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| row | promise | proven by |\n|---|---|---|\n";
    const TEST: (&str, &str) = (
        "tests/tests/lab/a.rs",
        "#[test]\nfn one() {}\n#[tokio::test]\nasync fn two() {}\nfn three() {}\n\
         // #[test] fn four() {}\n#[cfg(test)]\nfn five() {}\n",
    );
    const SOURCE: (&str, &str) = ("slb-ebpf/src/x.rs", "fn x() { old }\n");

    fn mutation(row: &str, replace: &str, test: &str) -> String {
        format!(
            "[[mutation]]\nrow = \"{row}\"\nchange = \"c\"\nfile = \"slb-ebpf/src/x.rs\"\n\
             replace = \"{replace}\"\nwith = \"new\"\ntests = [\"{test}\"]\n"
        )
    }

    fn violations(rows: &str, mutations: &str) -> Vec<String> {
        let rows = format!("{HEAD}{rows}");
        let files = [TEST, SOURCE, (DOCUMENT, rows.as_str()), (FILE, mutations)];
        check(&Repository::of(&files)).iter().map(ToString::to_string).collect()
    }

    fn only(rows: &str, mutations: &str) -> String {
        let told = violations(rows, mutations);
        assert_eq!(told.len(), 1, "{told:?}");
        told[0].clone()
    }

    #[test]
    fn this_repository_keeps_the_rule() {
        let told = check(&Repository::load(crate::run::root()).unwrap());
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "\n{}", told.join("\n"));
    }

    #[test]
    fn rows_with_tests_that_exist_and_mutations_that_fit_are_fine() {
        let rows = "| `a` | x | `lab::one`, `lab::two` |\n| `b` | x | pending |\n";
        let fits = mutation("a", "old", "lab::two");
        assert!(violations(rows, &fits).is_empty(), "{:?}", violations(rows, &fits));
    }

    #[test]
    fn a_test_that_does_not_exist_is_told() {
        for name in ["three", "four", "five", "on"] {
            let row = format!("| `a` | x | `lab::one`, `lab::{name}` |\n");
            let told = only(&row, &mutation("a", "old", "lab::one"));
            assert_eq!(
                told,
                format!("docs/layer4.md:3: row `a`: `lab::{name}` is no test of tests/tests/lab")
            );
        }
        let told = only("| `a` | x | `lap::one` |\n", &mutation("a", "old", "lap::one"));
        assert!(told.ends_with("there is no suite `lap`"), "{told}");
    }

    #[test]
    fn a_row_without_mutation_is_told_and_so_is_a_mutation_without_row() {
        let row = "| `a` | x | `lab::one` |\n";
        let other = format!("{row}| `b` | x | `lab::two` |\n");
        let one = mutation("a", "old", "lab::one");
        assert!(only(&other, &one).contains("layer4.md:4: row `b` has no mutation"));
        let both = format!("{one}{}", mutation("b", "old", "lab::one"));
        assert!(only(row, &both).contains("mutations.toml:8: docs/layer4.md has no row `b`"));
        assert!(only(&other, &both).contains("row `b` does not name the test `lab::one`"));
        let pending = format!("{row}| `b` | x | pending |\n");
        assert!(only(&pending, &both).contains("row `b` names no test"));
    }

    #[test]
    fn a_mutation_that_does_not_fit_the_source_is_told() {
        let row = "| `a` | x | `lab::one` |\n";
        assert!(only(row, &mutation("a", "older", "lab::one")).contains("does not stand in"));
        let elsewhere = mutation("a", "old", "lab::one").replace("x.rs", "y.rs");
        assert!(only(row, &elsewhere).contains("there is no file slb-ebpf/src/y.rs"));
    }

    #[test]
    fn once_layer_4_is_whole_nothing_is_pending_and_everything_tried() {
        let rows = format!("{HEAD}| `a` | x | `lab::one` |\n| `b` | x | pending |\n");
        let one = mutation("a", "old", "lab::one");
        let at = |layer4, results| {
            let files =
                [TEST, SOURCE, (DOCUMENT, &*rows), (FILE, &*one), (record::DOCUMENT, results)];
            let told = check_at(&Repository::of(&files), layer4);
            told.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(at(Layer4::Growing, "").is_empty());
        let told = at(Layer4::Whole, "");
        assert!(told[0].contains("layer4.md:4: row `b` is pending"), "{told:?}");
        assert!(told[1].contains("\"c\" has no result: cargo xtask mutate a"), "{told:?}");
        let killed = "| `a` | c | `lab::one` | killed | d | k | `s` |\n";
        assert_eq!(at(Layer4::Whole, killed).len(), 1);
        let refused = killed.replace("killed", "did not load");
        assert_eq!(at(Layer4::Whole, &refused).len(), 2);
    }

    #[test]
    fn a_survivor_without_a_reason_is_told() {
        let (rows, one) =
            (format!("{HEAD}| `a` | x | `lab::one` |\n"), mutation("a", "old", "lab::one"));
        let results = "| `a` | c | `lab::one` | survived | d | k | `s` |\n";
        let files = |mutations| {
            [
                TEST,
                SOURCE,
                (DOCUMENT, rows.as_str()),
                (FILE, mutations),
                (record::DOCUMENT, results),
            ]
        };
        let told = check(&Repository::of(&files(one.as_str())));
        assert!(told[0].to_string().contains("\"c\" survived: mend the test"), "{told:?}");
        let excused = format!("{one}survives = \"why\"\n");
        assert!(check(&Repository::of(&files(excused.as_str()))).is_empty());
    }

    #[test]
    fn documents_that_cannot_be_read_are_told_both_at_once() {
        let told = violations("| `a` | x | soon |\n", "[[mutation]]\nrow = 1\n");
        assert!(
            told[0].starts_with("docs/layer4.md:3: row `a`: `soon` is not understood"),
            "{told:?}"
        );
        assert!(told[1].starts_with("tests/mutations.toml:"), "{told:?}");
    }
}

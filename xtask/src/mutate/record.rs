//! `docs/mutations.md`: what became of each mutation when it was last tried.

use std::collections::BTreeMap;

use super::mutation::Mutation;
use super::trial::Outcome;

/// Where it is written.
pub(crate) const DOCUMENT: &str = "docs/mutations.md";

const HEAD: &str = "# Mutations

Each line of [layer4.md](layer4.md) that is built has at least one change of the source that breaks it on purpose, and a test that must notice. `cargo xtask mutate` tries them and writes this table; the changes themselves are in `tests/mutations.toml`.

`killed`: the test failed, as it must. `survived`: it passed, so it does not prove its line. `did not build`, `did not load`: compiler or verifier refused the change, which says nothing about the test. `not run`: not tried since the mutation was written. The last column names the state of mutation, source and tests that was tried; a line whose state is another today is tried again.

| row | change | tests | result | date | kernel | state |
|---|---|---|---|---|---|---|
";

/// Results by row and change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record(BTreeMap<(String, String), Tried>);

/// One result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// `2026-11-25`
    pub(crate) date: String,
    /// `6.18.1`
    pub(crate) kernel: String,
    /// What [`state`] gave.
    pub(crate) state: String,
}

impl Record {
    /// Reads the document; lines that are no results are skipped, as what they say is tried again.
    pub(crate) fn read(text: &str) -> Self {
        let cells = |line: &str| -> Option<Vec<String>> {
            let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
            Some(inner.split(" | ").map(ToOwned::to_owned).collect())
        };
        let tried = |line: &str| {
            let [row, change, _tests, result, date, kernel, state] =
                cells(line)?.try_into().ok()?;
            let result = result.split(':').next()?;
            let outcome = Outcome::ALL.into_iter().find(|one| one.to_string() == result)?;
            let key = (row.trim_matches('`').to_owned(), change);
            let state = state.trim_matches('`').to_owned();
            Some((key, Tried { outcome, date, kernel, state }))
        };
        Self(text.lines().filter_map(tried).collect())
    }

    /// What became of a mutation.
    pub(crate) fn of(&self, mutation: &Mutation) -> Option<&Tried> {
        self.0.get(&(mutation.row.clone(), mutation.change.clone()))
    }

    /// Notes a result.
    pub(crate) fn note(&mut self, mutation: &Mutation, tried: Tried) {
        self.0.insert((mutation.row.clone(), mutation.change.clone()), tried);
    }

    /// Writes the document, with the mutations in their order.
    pub(crate) fn write(&self, mutations: &[Mutation]) -> String {
        let mut page = HEAD.to_owned();
        for mutation in mutations {
            let names: Vec<_> = mutation.tests.iter().map(|name| format!("`{name}`")).collect();
            let (result, date, kernel, state) = match self.of(mutation) {
                Some(tried) => {
                    let why = match &mutation.survives {
                        Some(why) if tried.outcome == Outcome::Survived => format!(": {why}"),
                        _ => String::new(),
                    };
                    let result = format!("{}{why}", tried.outcome);
                    let state = format!("`{}`", tried.state);
                    (result, tried.date.clone(), tried.kernel.clone(), state)
                }
                None => ("not run".to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned()),
            };
            let (row, change, tests) = (&mutation.row, &mutation.change, names.join(", "));
            page.push_str(&format!(
                "| `{row}` | {change} | {tests} | {result} | {date} | {kernel} | {state} |\n"
            ));
        }
        page
    }
}

/// Names the state of a mutation and of the texts that its result depends on: 8 hexadecimal digits.
pub(crate) fn state(mutation: &Mutation, texts: &[&str]) -> String {
    let own = [&mutation.replace, &mutation.with].map(String::as_str);
    let tests: Vec<String> = mutation.tests.iter().map(ToString::to_string).collect();
    let parts =
        own.into_iter().chain(tests.iter().map(String::as_str)).chain(texts.iter().copied());
    // FNV-1a (Fowler, Noll, Vo): it must come out the same with every compiler.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{:08x}", hash >> 32 ^ hash & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::super::mutation;
    use super::*;

    fn mutations() -> Vec<Mutation> {
        let one = |change: &str| {
            format!(
                "[[mutation]]\nrow = \"a\"\nchange = \"{change}\"\nfile = \"f.rs\"\n\
                 replace = \"one\"\nwith = \"two\"\ntests = [\"lab::t\"]\n"
            )
        };
        mutation::read(&(one("x") + &one("y"))).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (mutations, mut record) = (mutations(), Record::default());
        let [date, kernel, state] = ["2026-11-25", "6.18", "00ff00ff"].map(ToOwned::to_owned);
        let tried = Tried { outcome: Outcome::DidNotLoad, date, kernel, state };
        record.note(&mutations[1], tried.clone());
        let page = record.write(&mutations);
        assert!(page.contains("| `a` | x | `lab::t` | not run | - | - | - |"), "{page}");
        let again = Record::read(&page);
        assert_eq!(again.of(&mutations[1]), Some(&tried));
        assert_eq!(again.of(&mutations[0]), None);
        assert_eq!(again.write(&mutations), page);
    }

    #[test]
    fn a_survivor_says_why_it_is_one() {
        let (mut mutations, mut record) = (mutations(), Record::default());
        mutations[0].survives = Some("a reason".to_owned());
        let tried = Tried {
            outcome: Outcome::Survived,
            date: "d".to_owned(),
            kernel: "k".to_owned(),
            state: "s".to_owned(),
        };
        record.note(&mutations[0], tried);
        let page = record.write(&mutations);
        assert!(page.contains("| survived: a reason |"), "{page}");
        assert_eq!(Record::read(&page), record);
    }

    #[test]
    fn another_source_mutation_or_test_is_another_state() {
        let one = &mutations()[0];
        let other = Mutation { with: "three".to_owned(), ..one.clone() };
        let first = state(one, &["a", "b"]);
        assert_eq!(first, state(one, &["a", "b"]));
        for changed in
            [state(one, &["ab", ""]), state(one, &["a", "c"]), state(&other, &["a", "b"])]
        {
            assert_ne!(first, changed);
        }
    }
}

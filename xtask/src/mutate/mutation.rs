//! The mutations of `tests/mutations.toml`: what is broken on purpose, and which tests must fail.

use serde::Deserialize;
use toml::Spanned;

use super::promise::Fault;
use super::test_name::TestName;

/// Where they are written.
pub(crate) const FILE: &str = "tests/mutations.toml";

/// One small change of the source that breaks one promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mutation {
    /// In the file, from 1.
    pub(crate) line: usize,
    /// The row of `docs/layer4.md`.
    pub(crate) row: String,
    /// What it changes, in words; with the row its name.
    pub(crate) change: String,
    /// What is changed, relative to the repository.
    pub(crate) file: String,
    /// The text that stands there exactly once.
    pub(crate) replace: String,
    /// What stands there instead.
    pub(crate) with: String,
    /// All of them must fail.
    pub(crate) tests: Vec<TestName>,
    /// Why no test of the row can notice it, if that is so.
    pub(crate) survives: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    mutation: Vec<Spanned<Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    row: String,
    change: String,
    file: String,
    replace: String,
    with: String,
    tests: Vec<String>,
    survives: Option<String>,
}

/// Reads the file.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn read(text: &str) -> Result<Vec<Mutation>, Vec<Fault>> {
    let line_at = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let document: Document = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(span.start));
        vec![(line, error.message().to_owned())]
    })?;
    let (mut mutations, mut faults) = (Vec::<Mutation>::new(), Vec::new());
    for table in document.mutation {
        let line = line_at(table.span().start);
        match mutation(line, table.into_inner()) {
            Ok(one) => {
                let twice = mutations
                    .iter()
                    .any(|other| (&other.row, &other.change) == (&one.row, &one.change));
                if twice {
                    let what = format!("`{}`: {:?} stands here twice", one.row, one.change);
                    faults.push((line, what));
                }
                mutations.push(one);
            }
            Err(what) => faults.push((line, what)),
        }
    }
    if faults.is_empty() { Ok(mutations) } else { Err(faults) }
}

fn mutation(line: usize, table: Table) -> Result<Mutation, String> {
    let Table { row, change, file, replace, with, tests, survives } = table;
    let wrong = |what: &str| Err(format!("mutation of `{row}`: {what}"));
    if change.trim().is_empty() || change.contains(['|', '\n']) {
        return wrong("`change` is not one line of words without `|`");
    }
    if replace.is_empty() {
        return wrong("`replace` is empty");
    }
    if replace == with {
        return wrong("`with` is what stands there already");
    }
    if tests.is_empty() {
        return wrong("`tests` names none");
    }
    let named = tests.iter().map(|text| TestName::parse(text).ok_or(text));
    match named.collect::<Result<Vec<_>, _>>() {
        Ok(tests) => Ok(Mutation { line, row, change, file, replace, with, tests, survives }),
        Err(text) => wrong(&format!("{text:?} is no test; one is written \"suite::name\"")),
    }
}

impl Mutation {
    /// The source with the change.
    ///
    /// # Errors
    /// The text to replace does not stand there exactly once.
    pub(crate) fn apply(&self, source: &str) -> Result<String, String> {
        match source.matches(&self.replace).count() {
            1 => Ok(source.replacen(&self.replace, &self.with, 1)),
            0 => Err(format!("what `{}` replaces does not stand in {}", self.row, self.file)),
            many => Err(format!(
                "what `{}` replaces stands {many} times in {}; take a longer piece",
                self.row, self.file
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[mutation]]\nrow = \"a\"\nchange = \"x\"\nfile = \"f.rs\"\n\
                        replace = \"one\"\nwith = \"two\"\ntests = [\"lab::t\"]\n";

    fn fault(from: &str, to: &str) -> Fault {
        let faults = read(&GOOD.replace(from, to)).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults[0].clone()
    }

    #[test]
    fn a_mutation_is_read_with_its_line() {
        let text = format!("# first\n{GOOD}\n{}", GOOD.replace("\"x\"", "\"y\""));
        let mutations = read(&text).unwrap();
        assert_eq!(mutations.iter().map(|one| one.line).collect::<Vec<_>>(), [2, 10]);
        assert_eq!(mutations[1].change, "y");
        assert_eq!(mutations[0].tests[0].to_string(), "lab::t");
    }

    #[test]
    fn a_broken_file_is_told_by_line_and_reason() {
        assert_eq!(fault("replace = \"one\"", "replace = ").0, 5);
        assert!(fault("file", "fil").1.contains("unknown field `fil`"));
        assert!(fault("file = \"f.rs\"\n", "").1.contains("missing field `file`"));
        assert!(fault("\"two\"", "\"one\"").1.contains("stands there already"));
        assert!(fault("\"one\"", "\"\"").1.contains("`replace` is empty"));
        assert!(fault("[\"lab::t\"]", "[]").1.contains("names none"));
        assert!(fault("lab::t", "t").1.contains("written \"suite::name\""));
        assert!(fault("\"x\"", "\"x|y\"").1.contains("one line of words"));
        assert!(read(&format!("{GOOD}{GOOD}")).unwrap_err()[0].1.contains("twice"));
    }

    #[test]
    fn a_text_that_is_not_there_exactly_once_is_not_replaced() {
        let mutation = read(GOOD).unwrap().remove(0);
        assert_eq!(mutation.apply("a one b").unwrap(), "a two b");
        assert!(mutation.apply("a two b").unwrap_err().contains("does not stand in f.rs"));
        assert!(mutation.apply("one one").unwrap_err().contains("stands 2 times"));
    }
}

//! Every reason to drop a packet is proved by a test.

use super::Violation;
use super::repository::Repository;
use super::source::words;

const LIST: &str = "slb-common/src/verdict.rs";

/// Every verdict that drops is named in a test.
pub(super) fn check(repository: &Repository) -> Vec<Violation> {
    let dropping = dropping(repository.text(LIST).unwrap_or_default());
    if dropping.is_empty() {
        let what = "no verdict that drops (`Name = \"label\", Drop;`) was found";
        return vec![Violation::new(LIST, 1, what)];
    }
    let tests: Vec<String> = repository.rust("tests").map(|file| file.code()).collect();
    let is_tested = |name: &str| tests.iter().any(|code| words(code).any(|(_, word)| word == name));
    dropping
        .into_iter()
        .filter(|(_, name)| !is_tested(name))
        .map(|(line, name)| Violation::new(LIST, line, format!("no test in tests/ names `{name}`")))
        .collect()
}

/// The lines `Name = "label", Drop;`, and those of what is refused, which is dropped as well.
fn dropping(list: &str) -> Vec<(usize, &str)> {
    list.lines()
        .enumerate()
        .filter(|(_, line)| line.ends_with(", Drop;") || line.ends_with(", Refuse;"))
        .filter_map(|(number, line)| Some((number + 1, line.split_once(" = ")?.0.trim())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERDICTS: &str = "verdicts! {\n    /// Passed.\n    PassShort = \"short\", Pass;\n    \
                            /// Dropped.\n    DropTtl = \"ttl\", Drop;\n    /// Refused.\n    DropBig = \"big\", Refuse;\n}\n";

    fn violations(test: &str) -> Vec<Violation> {
        check(&Repository::of(&[(LIST, VERDICTS), ("tests/tests/program/a.rs", test)]))
    }

    #[test]
    fn a_reason_to_drop_that_no_test_names_is_told() {
        assert!(violations("[Verdict::DropTtl, Verdict::DropBig]").is_empty());
        for (test, line) in [
            ("// DropTtl\nDropBig", 5),
            ("Verdict::DropTtlToo; DropBig", 5),
            ("Verdict::DropTtl", 7),
            ("", 5),
        ] {
            assert_eq!(violations(test)[0].line, line, "{test}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_is_told() {
        assert_eq!(check(&Repository::of(&[(LIST, "enum Verdict {}")])).len(), 1);
    }
}

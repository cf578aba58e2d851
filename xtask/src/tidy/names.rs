//! Names that say nothing.

use super::Violation;
use super::repository::Repository;
use super::source::{line_of, words};

/// Say nothing in any place of a name.
const BANNED: [&str; 5] = ["helper", "helpers", "manager", "util", "utils"];
/// Say nothing as a whole name, or at the end of a type's.
const BANNED_ALONE: [&str; 2] = ["data", "info"];
const DECLARES: [&str; 10] =
    ["const", "enum", "fn", "macro_rules", "mod", "static", "struct", "trait", "type", "union"];

/// Looks at the names of files, directories and declared items.
pub(super) fn check(repository: &Repository) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in repository.rust("") {
        let parts = file.path.trim_end_matches(".rs").split('/');
        violations.extend(
            parts.filter(|part| says_nothing(part)).map(|part| violation(file.path, 1, part)),
        );
        let code = file.code();
        let mut before = "";
        for (at, word) in words(&code) {
            if DECLARES.contains(&before) && says_nothing(word) {
                violations.push(violation(file.path, line_of(&code, at), word));
            }
            before = word;
        }
    }
    violations
}

fn violation(path: &str, line: usize, name: &str) -> Violation {
    let what = format!("`{name}` does not say what it is (GLOSSARY.md has the field's words)");
    Violation::new(path, line, what)
}

fn says_nothing(name: &str) -> bool {
    let parts = parts(name);
    let is_type = name.starts_with(char::is_uppercase);
    let ends_empty = parts.last().is_some_and(|last| BANNED_ALONE.contains(&last.as_str()));
    parts.iter().any(|part| BANNED.contains(&part.as_str()))
        || (ends_empty && (parts.len() == 1 || is_type))
}

/// `map_utils`, `map-utils`, `MapUtils`, `MAP_UTILS` → map, utils.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if c == '_' || c == '-' || (c.is_uppercase() && was_lower) {
            parts.push(String::new());
        }
        was_lower = c.is_lowercase();
        if let Some(part) = parts.last_mut().filter(|_| c != '_' && c != '-') {
            part.extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_words_are_found_in_items_and_files() {
        let code = "struct MapManager;\nfn net_utils() {}\nconst INFO: u8 = 0;\nstruct VipInfo;\n";
        let files = [("xtask/src/a.rs", code), ("xtask/src/test_helpers/b.rs", "")];
        let told = check(&Repository::of(&files));
        let places: Vec<_> = told.iter().map(|one| (one.file.as_str(), one.line)).collect();
        let a = "xtask/src/a.rs";
        let expected = [(a, 1), (a, 2), (a, 3), (a, 4), ("xtask/src/test_helpers/b.rs", 1)];
        assert_eq!(places, expected);
    }

    #[test]
    fn names_of_others_and_words_that_only_contain_one_are_fine() {
        let code =
            "use hyper_util::x;\nfn data_end() { ctx.data() }\nfn inform() {}\nfn utility() {}";
        assert!(check(&Repository::of(&[("xtask/src/a.rs", code)])).is_empty());
    }
}

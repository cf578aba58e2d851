//! The daemon must say what went wrong, not stop.

use super::Violation;
use super::repository::Repository;
use super::source::{line_of, words};

/// Finds `.unwrap()` outside tests in slb-userspace.
pub(super) fn check(repository: &Repository) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in repository.rust("slb-userspace/src") {
        let code = file.shipped_code();
        let calls = words(&code).filter(|&(at, word)| {
            word == "unwrap" && code[..at].ends_with('.') && code[at..].starts_with("unwrap()")
        });
        violations.extend(calls.map(|(at, _)| {
            Violation::new(file.path, line_of(&code, at), "`unwrap()` outside a test")
        }));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwrap_is_told_outside_tests_only() {
        let code = "fn a() {\n    b().unwrap();\n    c().unwrap_or(1);\n}\n\
                    #[cfg(test)]\nmod tests {\n    fn d() { e().unwrap(); }\n}\n";
        let told = check(&Repository::of(&[("slb-userspace/src/a.rs", code)]));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].line, 2);
    }

    #[test]
    fn a_file_that_is_declared_for_tests_may_unwrap_and_so_may_those_below_it() {
        let call = "fn a() { b().unwrap(); }";
        let told = |declaration: &str| {
            let files = [
                ("slb-userspace/src/lib.rs", "mod plan;"),
                ("slb-userspace/src/plan/mod.rs", declaration),
                ("slb-userspace/src/plan/model/mod.rs", call),
                ("slb-userspace/src/plan/model/random.rs", call),
            ];
            check(&Repository::of(&files)).len()
        };
        assert_eq!(told("#[cfg(test)]\nmod model;"), 0);
        assert_eq!(told("mod model;"), 2);
    }
}

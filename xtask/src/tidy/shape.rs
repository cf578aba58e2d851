//! The shape of a file: short, and begun by a line that says what it is.

use super::Violation;
use super::repository::Repository;

/// A packet's way is read with one screen or two per stage.
const LONGEST_EBPF: usize = 200;
const LONGEST: usize = 400;

/// Every Rust file, with its tests, is short enough.
pub(super) fn check_length(repository: &Repository) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in repository.rust("") {
        let longest = if file.path.starts_with("slb-ebpf/") { LONGEST_EBPF } else { LONGEST };
        let lines = file.text.lines().count();
        if lines > longest {
            let what = format!("{lines} lines; a file here has {longest} at most");
            violations.push(Violation::new(file.path, longest + 1, what));
        }
    }
    violations
}

/// Every Rust file begins with `//!`; one that holds a module's tests is told by its name.
pub(super) fn check_first_line(repository: &Repository) -> Vec<Violation> {
    repository
        .rust("")
        .filter(|file| !file.path.ends_with("/tests.rs") && !file.text.starts_with("//!"))
        .map(|file| Violation::new(file.path, 1, "the first line is not `//!` and what this is"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_told_and_the_data_plane_s_limit_is_shorter() {
        let text = "\n".repeat(300);
        let ours = Repository::of(&[("xtask/src/a.rs", &text)]);
        assert!(check_length(&ours).is_empty());
        let ebpf = Repository::of(&[("slb-ebpf/src/a.rs", &text)]);
        assert_eq!(check_length(&ebpf)[0].line, 201);
        let long = Repository::of(&[("tests/src/a.rs", &"\n".repeat(401))]);
        assert_eq!(check_length(&long).len(), 1);
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_told() {
        let files = [
            ("xtask/src/a.rs", "//! What it is.\n"),
            ("xtask/src/a/tests.rs", "use super::*;\n"),
            ("slb-common/src/b.rs", "\n//! Too late.\n"),
        ];
        let told = check_first_line(&Repository::of(&files));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].file, "slb-common/src/b.rs");
    }
}

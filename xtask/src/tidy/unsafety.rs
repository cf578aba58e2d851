//! Where `unsafe` may stand.

use super::Violation;
use super::repository::Repository;
use super::source::{line_of, words};
use super::table::{self, DOCUMENT};

const HEADER: [&str; 2] = ["file", "why unsafe"];

/// Compares the files with `unsafe` in them with the table.
pub(super) fn check(repository: &Repository) -> Vec<Violation> {
    let rows = match table::rows(repository, HEADER) {
        Ok(rows) => rows,
        Err(missing) => return vec![missing],
    };
    let mut violations = Vec::new();
    let mut unsafe_files = Vec::new();
    for file in repository.rust("") {
        let Some(line) = first_unsafe(&file.code()) else {
            continue;
        };
        unsafe_files.push(file.path);
        if !rows.iter().any(|row| row.key == file.path) {
            let what = format!("`unsafe` in a file that {DOCUMENT} does not allow it in");
            violations.push(Violation::new(file.path, line, what));
        }
    }
    for row in rows.iter().filter(|row| !unsafe_files.contains(&row.key.as_str())) {
        let what = format!("`{}` has no `unsafe`: the row can go", row.key);
        violations.push(Violation::new(DOCUMENT, row.line, what));
    }
    violations
}

/// The attribute `#[unsafe(no_mangle)]` does nothing unsafe by itself.
fn first_unsafe(code: &str) -> Option<usize> {
    words(code)
        .find(|&(at, word)| word == "unsafe" && !code[..at].ends_with("#["))
        .map(|(at, _)| line_of(code, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(code: &str) -> Vec<String> {
        let rows = "| file | why unsafe |\n|---|---|\n| `slb-ebpf/src/packet.rs` | reads bytes |\n";
        let packet = ("slb-ebpf/src/packet.rs", "unsafe fn a() {}");
        let files = [(DOCUMENT, rows), packet, ("slb-ebpf/src/acl.rs", code)];
        check(&Repository::of(&files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unsafe_outside_the_table_is_told_with_its_line() {
        assert!(violations("// unsafe\n#[unsafe(no_mangle)] fn a() {}").is_empty());
        assert!(violations("\nfn a() { unsafe { b() } }")[0].starts_with("slb-ebpf/src/acl.rs:2:"));
    }

    #[test]
    fn a_row_of_a_file_without_unsafe_is_told() {
        let rows = "| file | why unsafe |\n|---|---|\n| `slb-ebpf/src/gone.rs` | once |\n";
        let told = check(&Repository::of(&[(DOCUMENT, rows)]));
        assert!(told[0].to_string().starts_with("ARCHITECTURE.md:3: "), "{told:?}");
    }
}

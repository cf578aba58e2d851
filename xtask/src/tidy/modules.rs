//! Which module of a crate may use which others.

use std::collections::BTreeSet;

use super::Violation;
use super::repository::Repository;
use super::table::{self, DOCUMENT, Row};
use super::uses;

const HEADER: [&str; 2] = ["module", "may use"];
/// Crates whose modules the table is about.
const CRATES: [&str; 2] = ["slb-ebpf", "slb-userspace"];
/// Stands for what the crate's root itself defines.
const ROOT: &str = "lib";

type Path = Vec<String>;

/// Compares the uses in the code with the table.
///
/// The row with the longest key that a file's module begins with is the file's. A file may use
/// everything below that key, and everything below what the row allows.
pub(super) fn check(repository: &Repository) -> Vec<Violation> {
    match table::rows(repository, HEADER) {
        Ok(rows) => CRATES.iter().flat_map(|name| check_crate(repository, name, &rows)).collect(),
        Err(missing) => vec![missing],
    }
}

/// A row, for one crate.
struct Rule<'a> {
    row: &'a Row,
    module: Path,
}

fn check_crate(repository: &Repository, name: &str, rows: &[Row]) -> Vec<Violation> {
    let source = format!("{name}/src");
    let files: Vec<_> = repository
        .rust(&source)
        .filter_map(|file| Some((module_of(file.path.strip_prefix(&source)?), file)))
        .filter(|(module, _)| !module.is_empty())
        .collect();
    let mut modules: BTreeSet<Path> = [vec![ROOT.to_owned()]].into();
    for (module, _) in &files {
        modules.extend((1..=module.len()).map(|length| module[..length].to_vec()));
    }
    let rules: Vec<Rule<'_>> = rows
        .iter()
        .filter_map(|row| Some((row, row.key.strip_prefix(name)?.strip_prefix("::")?)))
        .map(|(row, module)| Rule { row, module: split(module) })
        .collect();

    let mut violations = unknown_modules(&rules, &modules);
    for (module, file) in &files {
        let fitting = rules.iter().filter(|rule| module.starts_with(&rule.module));
        let Some(rule) = fitting.max_by_key(|rule| rule.module.len()) else {
            let what = format!("`{name}::{}` has no row in {DOCUMENT}", module.join("::"));
            violations.push(Violation::new(file.path, 1, what));
            continue;
        };
        for found in uses::of_file(&file.shipped_code(), &name.replace('-', "_"), module) {
            let of_root = !modules.contains(&found.path[..found.path.len().min(1)]);
            let target = if of_root { vec![ROOT.to_owned()] } else { found.path };
            if !rule.allows(&target) {
                let (key, target) = (&rule.row.key, target.join("::"));
                let what = format!("`{key}` may not use `{target}` ({DOCUMENT}:{})", rule.row.line);
                violations.push(Violation::new(file.path, found.line, what));
            }
        }
    }
    violations
}

impl Rule<'_> {
    fn allows(&self, target: &[String]) -> bool {
        self.row.is_anything
            || target.starts_with(&self.module)
            || self.row.values.iter().any(|allowed| target.starts_with(&split(allowed)))
    }
}

fn unknown_modules(rules: &[Rule<'_>], modules: &BTreeSet<Path>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for rule in rules {
        let allowed = rule.row.values.iter().map(|value| split(value));
        for module in allowed.chain([rule.module.clone()]).filter(|path| !modules.contains(path)) {
            let what = format!("in `{}`: there is no module `{}`", rule.row.key, module.join("::"));
            violations.push(Violation::new(DOCUMENT, rule.row.line, what));
        }
    }
    violations
}

fn split(path: &str) -> Path {
    path.split("::").map(ToOwned::to_owned).collect()
}

/// `/config/check.rs` → `config::check`, `/config/mod.rs` → `config`, `/lib.rs` → nothing.
fn module_of(path: &str) -> Path {
    let path = path.trim_start_matches('/').trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == ROOT { Vec::new() } else { path.split('/').map(ToOwned::to_owned).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| module | may use |\n|---|---|\n\
                        | `slb-userspace::maps` | nothing |\n\
                        | `slb-userspace::maps::kernel` | `maps::layout` |\n\
                        | `slb-userspace::bin` | anything |\n";

    /// The crate with one more file, `plan/diff.rs`, of this text.
    fn violations(diff: &str, rows: &str) -> Vec<String> {
        let document = format!("{HEAD}{rows}");
        let files = [
            ("slb-userspace/src/lib.rs", "pub mod maps;"),
            ("slb-userspace/src/maps/mod.rs", ""),
            ("slb-userspace/src/maps/layout.rs", ""),
            ("slb-userspace/src/maps/kernel.rs", "use super::layout::Slot;"),
            ("slb-userspace/src/bin/slbd.rs", "use slb_userspace::{maps, plan};"),
            ("slb-userspace/src/plan/diff.rs", diff),
            (DOCUMENT, &document),
        ];
        check(&Repository::of(&files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_use_that_the_table_does_not_have_is_told_with_its_line() {
        let row = "| `slb-userspace::plan` | `maps::layout` |\n";
        assert_eq!(violations("use crate::maps::layout::Slot;\nuse super::x;", row), [""; 0]);
        let told = violations("\nuse crate::maps::{layout, kernel};", row);
        let expected = "slb-userspace/src/plan/diff.rs:2: `slb-userspace::plan` may not use \
                        `maps::kernel` (ARCHITECTURE.md:6)";
        assert_eq!(told, [expected]);
        assert_eq!(violations("fn f() { crate::maps::open(); }", row).len(), 1);
    }

    #[test]
    fn what_is_used_in_tests_or_named_in_comments_does_not_count() {
        let row = "| `slb-userspace::plan` | nothing |\n";
        let code = "// crate::maps\n#[cfg(test)]\nmod tests {\n    use crate::maps;\n}\n";
        assert_eq!(violations(code, row), [""; 0]);
    }

    #[test]
    fn a_re_export_of_the_crate_s_root_is_no_way_around_the_table() {
        let told = violations("use crate::Slot;", "| `slb-userspace::plan` | nothing |\n");
        assert!(told[0].contains("may not use `lib`"), "{told:?}");
        assert!(violations("use crate::Slot;", "| `slb-userspace::plan` | `lib` |\n").is_empty());
    }

    #[test]
    fn a_module_without_a_row_and_a_row_without_a_module_are_told() {
        assert!(violations("", "")[0].contains("`slb-userspace::plan::diff` has no row"));
        let told = violations("", "| `slb-userspace::plan` | `map::layout` |\n");
        assert!(told[0].contains("there is no module `map::layout`"), "{told:?}");
    }
}

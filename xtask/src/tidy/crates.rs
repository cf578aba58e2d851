//! Which crate of the workspace may depend on which.

use super::Violation;
use super::repository::Repository;
use super::table::{self, DOCUMENT};

const HEADER: [&str; 2] = ["crate", "may depend on"];

/// A crate of the workspace, and its dependencies of every kind, with their lines.
struct Manifest<'a> {
    path: &'a str,
    name: &'a str,
    dependencies: Vec<(usize, &'a str)>,
}

/// Compares the manifests with the table.
pub(super) fn check(repository: &Repository) -> Vec<Violation> {
    let rows = match table::rows(repository, HEADER) {
        Ok(rows) => rows,
        Err(missing) => return vec![missing],
    };
    let manifests: Vec<Manifest<'_>> = repository
        .ending("/Cargo.toml")
        .filter_map(|(path, text)| Manifest::read(path, text))
        .collect();
    let is_ours = |name: &str| manifests.iter().any(|manifest| manifest.name == name);

    let mut violations = Vec::new();
    for manifest in &manifests {
        let Some(row) = rows.iter().find(|row| row.key == manifest.name) else {
            let what = format!("`{}` has no row in {DOCUMENT}", manifest.name);
            violations.push(Violation::new(manifest.path, 1, what));
            continue;
        };
        for &(line, dependency) in manifest.dependencies.iter().filter(|(_, on)| is_ours(on)) {
            if !row.is_anything && !row.values.iter().any(|allowed| allowed == dependency) {
                let name = manifest.name;
                let what = format!("`{name}` may not depend on `{dependency}` ({DOCUMENT})");
                violations.push(Violation::new(manifest.path, line, what));
            }
        }
    }
    for row in &rows {
        for name in std::iter::once(&row.key).chain(&row.values).filter(|name| !is_ours(name)) {
            let what = format!("`{name}` is no crate of the workspace");
            violations.push(Violation::new(DOCUMENT, row.line, what));
        }
    }
    violations
}

impl<'a> Manifest<'a> {
    fn read(path: &'a str, text: &'a str) -> Option<Self> {
        let (mut name, mut section, mut dependencies) = (None, "", Vec::new());
        for (number, line) in text.lines().enumerate() {
            if let Some(header) = line.trim().strip_prefix('[') {
                section = header.trim_end_matches(']');
                // `[dependencies.slb-common]` is a dependency itself.
                if let Some((_, dependency)) = section.rsplit_once("dependencies.") {
                    dependencies.push((number + 1, dependency));
                }
            } else if let Some((key, value)) = line.split_once('=') {
                if section == "package" && key.trim() == "name" {
                    name = Some(value.trim().trim_matches('"'));
                } else if section.ends_with("dependencies") {
                    let dependency = key.split('.').next().unwrap_or(key).trim();
                    dependencies.push((number + 1, dependency));
                }
            }
        }
        Some(Self { path, name: name?, dependencies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: (&str, &str) = ("slb-common/Cargo.toml", "[package]\nname = \"slb-common\"\n");
    const USERSPACE: &str = "[package]\nname = \"slb-userspace\"\n[dependencies]\nserde = \"1\"\n\
                             slb-common.workspace = true\n";
    const HEAD: &str = "| crate | may depend on |\n|---|---|\n| `slb-common` | nothing |\n";

    fn violations(userspace: &str, row: &str) -> Vec<String> {
        let document = format!("{HEAD}{row}");
        let files = [COMMON, ("slb-userspace/Cargo.toml", userspace), (DOCUMENT, &document)];
        check(&Repository::of(&files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dependency_that_the_table_does_not_have_is_told_with_its_line() {
        assert!(violations(USERSPACE, "| `slb-userspace` | `slb-common` |\n").is_empty());
        let told = violations(USERSPACE, "| `slb-userspace` | nothing |\n");
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("slb-userspace/Cargo.toml:5: "), "{}", told[0]);
    }

    #[test]
    fn dependencies_for_tests_builds_and_other_machines_count_too() {
        for section in ["dev-dependencies", "build-dependencies", "target.'cfg(x)'.dependencies"] {
            let text = USERSPACE.replace("[dependencies]", &format!("[{section}]"));
            assert_eq!(violations(&text, "| `slb-userspace` | nothing |\n").len(), 1, "{section}");
        }
        let own_section = "[package]\nname = \"slb-userspace\"\n[dependencies.slb-common]\n";
        assert_eq!(violations(own_section, "| `slb-userspace` | nothing |\n").len(), 1);
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_told() {
        assert!(violations(USERSPACE, "")[0].contains("`slb-userspace` has no row"));
        let told = violations(USERSPACE, "| `slb-userspace` | `slb-common`, `slb-gone` |\n");
        assert!(told[0].starts_with("ARCHITECTURE.md:4: `slb-gone` is no crate"), "{told:?}");
    }
}

//! Links in documents.

use super::Violation;
use super::repository::Repository;

/// Every relative link of a Markdown file leads to a file or directory of the repository.
pub(super) fn check(repository: &Repository) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in repository.ending(".md") {
        for (line, target) in links(text) {
            if !repository.has(&resolve(path, target)) {
                let what = format!("the link to `{target}` leads nowhere");
                violations.push(Violation::new(path, line, what));
            }
        }
    }
    violations
}

/// The relative targets, without anchors, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            found.extend(targets(line).map(|target| (number + 1, target)));
        }
    }
    found
}

fn targets(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.match_indices("](").filter_map(move |(at, _)| {
        // An odd number of backticks before it: inside code.
        let is_code = line[..at].matches('`').count() % 2 == 1;
        let rest = &line[at + 2..];
        rest.find(')').filter(|_| !is_code).map(|end| &rest[..end])
    });
    let reference = line.strip_prefix('[').and_then(|rest| Some(rest.split_once("]: ")?.1));
    inline
        .chain(reference)
        .filter_map(|target| target.split([' ', '#']).next())
        .map(|target| target.trim_matches(['<', '>']))
        .filter(|target| !target.is_empty())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// A link from a document to a path of the repository.
fn resolve(document: &str, target: &str) -> String {
    let mut path: Vec<&str> = document.split('/').collect();
    path.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    path.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(text: &str) -> Vec<usize> {
        let files = [("docs/adr/0001.md", text), ("docs/config.md", ""), ("README.md", "")];
        check(&Repository::of(&files)).iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_link_that_leads_nowhere_is_told() {
        assert_eq!(violations("[a](../config.md)\n[b](../confg.md#x)\n[c]: gone.md\n"), [2, 3]);
    }

    #[test]
    fn links_to_files_directories_anchors_and_other_sites_are_fine() {
        let text =
            "[a](../../README.md#top) [b](..) [c](#here) [d](https://x.y/z.md) [e](0001.md \"t\")";
        assert!(violations(text).is_empty());
        assert!(violations("```\n[a](gone.md)\n```\nand `[a](gone.md)`\n").is_empty());
    }
}

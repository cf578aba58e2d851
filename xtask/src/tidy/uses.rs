//! Which modules of its own crate a file names.

use super::source::{line_of, words};

/// A path from the crate's root that code names, such as `["maps", "layout", "Slot"]`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// From 1.
    pub(super) line: usize,
    /// Below the crate's root.
    pub(super) path: Vec<String>,
}

/// Every path that begins with `crate::`, with the crate's own name (as its binaries write it), or,
/// in a `use` at the left margin, with `super::`.
///
/// `code` has no comments; `module` is the file's own path.
pub(super) fn of_file(code: &str, crate_name: &str, module: &[String]) -> Vec<Use> {
    let mut uses = Vec::new();
    for (at, word) in words(code) {
        let after = &code[at + word.len()..];
        // `a::crate_name::` is somebody else's.
        if !after.starts_with("::") || code[..at].ends_with("::") {
            continue;
        }
        let start = if word == "crate" || word == crate_name {
            Vec::new()
        } else if word == "super" && is_at_margin(code, at) {
            module[..module.len().saturating_sub(1)].to_vec()
        } else {
            continue;
        };
        let mut tree = Tree { rest: &after[2..], found: Vec::new() };
        tree.read(start);
        let line = line_of(code, at);
        let found = tree.found.into_iter();
        uses.extend(found.map(|(path, rest)| {
            let line_in_tree = line_of(after, after.len() - rest) - 1;
            Use { line: line + line_in_tree, path }
        }));
    }
    uses
}

/// An item that begins at the left margin is in the file's module, not in one within it.
fn is_at_margin(code: &str, at: usize) -> bool {
    let line = &code[code[..at].rfind('\n').map_or(0, |end| end + 1)..at];
    line.starts_with("use ") || line.starts_with("pub ") || line.starts_with("pub(")
}

/// Reads what follows `crate::`, which may branch: `a::{b, c::{self, d}}`.
struct Tree<'a> {
    rest: &'a str,
    /// A path, and how much text followed where it ended.
    found: Vec<(Vec<String>, usize)>,
}

impl Tree<'_> {
    fn read(&mut self, mut path: Vec<String>) {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(inside) = self.rest.strip_prefix('{') {
                self.rest = inside;
                self.read_branches(&path);
                return;
            }
            let Some((0, word)) = words(self.rest).next() else {
                break;
            };
            let at_end = self.rest.len();
            self.rest = &self.rest[word.len()..];
            match word {
                "super" => drop(path.pop()),
                "self" => {}
                word => path.push(word.to_owned()),
            }
            let Some(deeper) = self.rest.strip_prefix("::") else {
                self.found.push((path, at_end));
                return;
            };
            self.rest = deeper;
        }
        // A glob, generic arguments: the path ends before them.
        self.found.push((path, self.rest.len()));
    }

    fn read_branches(&mut self, path: &[String]) {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(after) = self.rest.strip_prefix('}') {
                self.rest = after;
                return;
            }
            if self.rest.is_empty() {
                return;
            }
            self.read(path.to_vec());
            // What is left of this branch (`as x`, `*`) up to the comma or the closing brace.
            let end = self.rest.find([',', '}']).unwrap_or(self.rest.len());
            self.rest = self.rest[end..].strip_prefix(',').unwrap_or(&self.rest[end..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(code: &str) -> Vec<(usize, String)> {
        let module = ["config".to_owned(), "check".to_owned()];
        let all = of_file(code, "slb_userspace", &module).into_iter();
        all.map(|found| (found.line, found.path.join("::"))).collect()
    }

    #[test]
    fn plain_branched_and_inline_paths_are_found_with_their_lines() {
        let code = "use crate::a::B;\nuse crate::{\n    c,\n    d::{self, e::F as G, h::*},\n};\n\
                    fn x() { crate::i::j::<u8>(); }\npub(crate) fn y() {}\n";
        let expected = [(1, "a::B"), (3, "c"), (4, "d"), (4, "d::e::F"), (4, "d::h"), (6, "i::j")];
        assert_eq!(uses(code), expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn the_parent_is_resolved_for_the_file_but_not_inside_it() {
        let code = "use super::model::X;\nuse super::super::plan;\nmod a {\n    use super::b;\n}\n";
        assert_eq!(uses(code), [(1, "config::model::X".into()), (2, "plan".into())]);
    }

    #[test]
    fn a_binary_names_the_crate_and_others_of_that_name_do_not_count() {
        let code = "use slb_userspace::cli;\nuse other::slb_userspace::x;\nuse std::fmt;\n";
        assert_eq!(uses(code), [(1, "cli".into())]);
    }
}

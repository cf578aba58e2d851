//! The files of the repository, read once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::source;

/// Directories that hold Rust: the crates.
const CRATES: [&str; 5] = ["slb-common", "slb-ebpf", "slb-userspace", "tests", "xtask"];

/// Path, relative to the repository → text; the text of other than Rust, Markdown and manifests is
/// left empty.
pub(super) struct Repository {
    files: BTreeMap<String, String>,
}

/// A Rust file.
pub(super) struct Rust<'a> {
    /// Relative to the repository.
    pub(super) path: &'a str,
    /// As written.
    pub(super) text: &'a str,
    /// Compiled for tests only: all of it is the content of a `#[cfg(test)] mod`.
    is_test: bool,
}

impl Rust<'_> {
    /// With comments, strings and characters blanked.
    pub(super) fn code(&self) -> String {
        source::code_only(self.text)
    }

    /// Likewise, without what is compiled for tests only.
    pub(super) fn shipped_code(&self) -> String {
        if self.is_test { String::new() } else { source::without_tests(&self.code()) }
    }
}

impl Repository {
    /// Reads everything that is neither built nor hidden.
    ///
    /// # Errors
    /// A file could not be read.
    pub(super) fn load(root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        collect(root, "", &mut files)?;
        Ok(Self { files })
    }

    /// A repository for tests.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let own = |&(path, text): &(&str, &str)| (path.to_owned(), text.to_owned());
        Self { files: files.iter().map(own).collect() }
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The Rust files below a directory; below `""`: of all crates.
    pub(super) fn rust<'a>(&'a self, below: &'a str) -> impl Iterator<Item = Rust<'a>> {
        self.files
            .iter()
            .filter(|(path, _)| path.ends_with(".rs") && is_below(path, below))
            .filter(|(path, _)| CRATES.iter().any(|directory| is_below(path, directory)))
            .map(|(path, text)| Rust { path, text, is_test: self.is_test(path) })
    }

    /// Whether a file above declares this one, or a directory it is in, under `#[cfg(test)]`.
    fn is_test(&self, path: &str) -> bool {
        let module = path.strip_suffix(".rs").unwrap_or(path);
        let module = module.strip_suffix("/mod").unwrap_or(module);
        let Some((parent, name)) = module.rsplit_once('/') else {
            return false;
        };
        let declarers = [".rs", "/mod.rs", "/lib.rs", "/main.rs"];
        let is_declared = declarers
            .iter()
            .filter_map(|end| self.text(&format!("{parent}{end}")))
            .any(|text| source::test_modules(&source::code_only(text)).any(|one| one == name));
        is_declared || self.is_test(parent)
    }

    /// Path and text of the files whose names end so.
    pub(super) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let files = self.files.iter().filter(move |(path, _)| path.ends_with(end));
        files.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether a file or a directory of that path is there.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.files.keys().any(|file| is_below(file, path))
    }
}

fn is_below(path: &str, directory: &str) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

fn collect(directory: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() && name != "target" && name != ".git" {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            let is_read = [".rs", ".md", ".toml"].iter().any(|end| name.ends_with(end));
            let text = if is_read { fs::read_to_string(entry.path())? } else { String::new() };
            files.insert(path, text);
        }
    }
    Ok(())
}

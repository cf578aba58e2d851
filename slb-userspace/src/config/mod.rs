//! The configuration file: read, checked and turned into the model that the daemon works with.
//!
//! The way of a file: `file` (TOML with places) → `check` (rules and defaults, all findings at
//! once) → [`model`] (legal by construction). `keys` lists what may be written, `unsupported`
//! what this version refuses by name.

mod check;
mod diagnostic;
mod file;
mod keys;
pub mod model;
mod report;
mod suggest;
#[cfg(test)]
pub(crate) mod tests;
mod units;
mod unsupported;
mod value;

use std::path::Path;

pub use self::{
    diagnostic::{Diagnostic, Diagnostics, Position, Severity},
    keys::reference,
    model::Config,
};
use self::{file::Table, report::Report};

/// A file that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it says.
    pub config: Config,
    /// What the operator should know, in file order.
    pub warnings: Vec<Diagnostic>,
}

/// Reads and checks a file.
///
/// # Errors
/// Everything that is wrong with it, at least one error; [`Diagnostics::file_unreadable`] if there
/// was nothing to check.
pub fn load(path: &Path) -> Result<Checked, Diagnostics> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| unreadable(name.clone(), &error))?;
    match String::from_utf8(bytes) {
        Ok(text) => load_str(&name, &text),
        Err(error) => {
            // Up to the first wrong byte the readable stand-in is the file itself.
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            Err(Report::new(&name, &text).refuse_for(&(at..at), "not valid TOML: not UTF-8"))
        }
    }
}

/// Checks a text that messages call `name`.
///
/// # Errors
/// Everything that is wrong with it, at least one error.
pub fn load_str(name: &str, text: &str) -> Result<Checked, Diagnostics> {
    let mut report = Report::new(name, text);
    let tree = file::parse(text, &mut report);
    let config = tree.as_ref().map(|tree| {
        let top = Table::top(tree, &mut report);
        check::config(&top, &mut report)
    });
    let warnings = report.finish()?;
    match config {
        Some(config) => Ok(Checked { config, warnings }),
        None => Err(Diagnostics::new(warnings)),
    }
}

fn unreadable(file: String, error: &std::io::Error) -> Diagnostics {
    Diagnostics::new(vec![Diagnostic {
        severity: Severity::Error,
        file,
        position: None,
        message: format!("cannot be read: {error}"),
        hint: None,
        excerpt: None,
    }])
}

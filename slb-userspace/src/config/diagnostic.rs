//! What is wrong with a configuration file: the words, the place and what would be right.

use std::fmt;

use serde::Serialize;

/// Columns of the source line shown around the place that is meant.
const SHOWN_COLUMNS: usize = 100;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted; the operator should know.
    Warning,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One finding.
///
/// As JSON it is one flat object: `severity`, `file`, `line`, `column`, `message`, `hint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// Name of the file, as the operator wrote it.
    pub file: String,
    /// Where in the file; absent if the file could not be read at all.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// What was written and why it is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
    /// The line that is meant, for the caret under it.
    #[serde(skip)]
    pub(super) excerpt: Option<Excerpt>,
}

/// A source line and the part of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The whole line.
    pub(super) line: String,
    /// Characters to underline.
    pub(super) width: usize,
}

impl Diagnostic {
    /// Says what would be right.
    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Diagnostic {
    /// Several lines without a final newline; nothing from the file can reach a terminal as a
    /// control character.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}: {}", self.severity, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        if let (Some(position), Some(excerpt)) = (self.position, &self.excerpt) {
            excerpt.write_at(position, f)?;
        }
        Ok(())
    }
}

impl Excerpt {
    fn write_at(&self, position: Position, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = position.column - 1;
        let first = before.saturating_sub(SHOWN_COLUMNS / 2);
        let shown: String = self
            .line
            .chars()
            .skip(first)
            .take(SHOWN_COLUMNS)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let cut = if first > 0 { "..." } else { "" };
        let gutter = position.line.to_string();
        let margin = " ".repeat(gutter.len());
        let indent = " ".repeat(cut.len() + before - first);
        let carets = "^".repeat(self.width.clamp(1, SHOWN_COLUMNS - (before - first)));
        write!(f, "\n  {gutter} | {cut}{}", shown.trim_end())?;
        write!(f, "\n  {margin} | {indent}{carets}")
    }
}

/// Everything found in a file that was refused: at least one error, sorted by place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn new(found: Vec<Diagnostic>) -> Self {
        Self { found }
    }

    /// Errors and warnings in file order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.found.iter()
    }

    /// Number of errors.
    pub fn errors(&self) -> usize {
        self.found.iter().filter(|one| one.severity == Severity::Error).count()
    }

    /// True if there was no text to look at: no such file, no permission.
    pub fn file_unreadable(&self) -> bool {
        self.found.iter().any(|one| one.position.is_none())
    }

    /// The findings themselves.
    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.found
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.found.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{one}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize, text: &str, width: usize) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: "slb.toml".to_owned(),
            position: Some(Position { line, column }),
            message: "scheduler \"wlcc\" is not known".to_owned(),
            hint: Some("did you mean \"wlc\"?".to_owned()),
            excerpt: Some(Excerpt { line: text.to_owned(), width }),
        }
    }

    #[test]
    fn a_diagnostic_shows_place_words_hint_and_caret() {
        let shown = at(14, 13, "scheduler = \"wlcc\"  # best", 6).to_string();
        assert_eq!(
            shown,
            "slb.toml:14:13: error: scheduler \"wlcc\" is not known\n\
             \x20 hint: did you mean \"wlc\"?\n\
             \x20 14 | scheduler = \"wlcc\"  # best\n\
             \x20    |             ^^^^^^"
        );
    }

    #[test]
    fn the_caret_stays_below_its_place_in_a_very_long_line() {
        let shown = at(1, 301, &format!("{}X{}", "a".repeat(300), "b".repeat(300)), 1).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[2].find('X'), lines[3].find('^'));
        assert!(lines[2].len() < 120);
    }

    #[test]
    fn control_characters_of_the_file_do_not_reach_the_terminal() {
        let shown = at(1, 4, "\t\u{1b}[31m= 1", 1).to_string();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\t'));
    }

    #[test]
    fn as_json_a_diagnostic_is_one_flat_object() {
        let json = serde_json::to_value(at(14, 13, "", 1)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "severity": "error", "file": "slb.toml", "line": 14, "column": 13,
                "message": "scheduler \"wlcc\" is not known", "hint": "did you mean \"wlc\"?",
            })
        );
    }
}

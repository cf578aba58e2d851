//! The text being checked and what has been found in it so far.

use std::ops::Range;

use super::diagnostic::{Diagnostic, Diagnostics, Excerpt, Position, Severity};

/// Bytes of the text.
pub(super) type Span = Range<usize>;

/// Collects findings, so that one run tells all of them.
pub(super) struct Report<'t> {
    file: &'t str,
    text: &'t str,
    line_starts: Vec<usize>,
    found: Vec<Diagnostic>,
}

impl<'t> Report<'t> {
    /// Nothing found yet in `text`, which the operator knows as `file`.
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();
        Self { file, text, line_starts, found: Vec::new() }
    }

    /// Adds an error; the file will be refused.
    pub(super) fn error(&mut self, at: &Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, at, message.into())
    }

    /// Adds a warning.
    pub(super) fn warning(&mut self, at: &Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, at, message.into())
    }

    /// What the operator wrote at `span`.
    pub(super) fn written(&self, span: &Span) -> &'t str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Line of a span, from 1.
    pub(super) fn line(&self, span: &Span) -> usize {
        self.line_starts.partition_point(|start| *start <= span.start)
    }

    /// True once an error was added.
    pub(super) fn refuses(&self) -> bool {
        self.found.iter().any(|one| one.severity == Severity::Error)
    }

    /// Takes over what was found in another file.
    pub(super) fn include(&mut self, other: Report<'_>) {
        self.found.extend(other.found);
    }

    /// Ends with one more error.
    pub(super) fn refuse_for(mut self, at: &Span, message: &str) -> Diagnostics {
        self.error(at, message);
        Diagnostics::new(self.found)
    }

    /// The warnings, or everything if there is an error among it; sorted by place, other files last.
    pub(super) fn finish(mut self) -> Result<Vec<Diagnostic>, Diagnostics> {
        let refused = self.refuses();
        let own = self.file;
        self.found.sort_by(|a, b| {
            let key = |one: &Diagnostic| (one.file != own, one.position);
            key(a).cmp(&key(b))
        });
        if refused { Err(Diagnostics::new(self.found)) } else { Ok(self.found) }
    }

    fn add(&mut self, severity: Severity, at: &Span, message: String) -> &mut Diagnostic {
        let line = self.line(at);
        let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line_text = rest.lines().next().unwrap_or_default();
        let before = self.text.get(line_start..at.start).unwrap_or_default().chars().count();
        let meant = self.written(at).lines().next().unwrap_or_default().chars().count();
        self.found.push(Diagnostic {
            severity,
            file: self.file.to_owned(),
            position: Some(Position { line, column: before + 1 }),
            message,
            hint: None,
            excerpt: Some(Excerpt { line: line_text.to_owned(), width: meant }),
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str, at: Span) -> (usize, usize) {
        let mut report = Report::new("f", text);
        let Position { line, column } = report.error(&at, "x").position.unwrap();
        (line, column)
    }

    #[test]
    fn lines_and_columns_count_from_one_and_columns_count_characters() {
        assert_eq!(position("a = 1\nnäme = 2\n", 0..1), (1, 1));
        let two = "a = 1\nnäme = 2\n".find('2').unwrap();
        assert_eq!(position("a = 1\nnäme = 2\n", two..two + 1), (2, 8));
    }

    #[test]
    fn the_end_of_the_text_is_a_place() {
        assert_eq!(position("", 0..0), (1, 1));
        assert_eq!(position("a\n", 2..2), (2, 1));
        assert_eq!(position("a", 9..10), (1, 1));
    }

    #[test]
    fn findings_come_out_in_file_order() {
        let mut report = Report::new("f", "one\ntwo\n");
        report.error(&(4..7), "second");
        report.warning(&(0..3), "first");
        let messages: Vec<String> =
            report.finish().unwrap_err().into_vec().into_iter().map(|one| one.message).collect();
        assert_eq!(messages, ["first", "second"]);
    }
}

//! Tables in Markdown that say what the code must keep to.

use super::Violation;
use super::repository::Repository;

/// Where the tables are.
pub(super) const DOCUMENT: &str = "ARCHITECTURE.md";

/// A row: what it is about, and what it allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// In the document, from 1.
    pub(super) line: usize,
    /// The first cell, without its backticks.
    pub(super) key: String,
    /// The words in backticks of the second cell.
    pub(super) values: Vec<String>,
    /// The second cell is the word "anything".
    pub(super) is_anything: bool,
}

/// The table of the document whose header begins with these two cells.
///
/// # Errors
/// The violation that it is missing.
pub(super) fn rows(repository: &Repository, header: [&str; 2]) -> Result<Vec<Row>, Violation> {
    let missing = || {
        let [first, second] = header;
        Violation::new(DOCUMENT, 1, format!("the table `| {first} | {second} |` is missing"))
    };
    let text = repository.text(DOCUMENT).ok_or_else(missing)?;
    let mut lines = text.lines().enumerate();
    lines.find(|(_, line)| cells(line).is_some_and(|cells| cells.starts_with(&header)));
    let rows: Vec<Row> = lines
        .skip(1) // the rule below the header
        .map_while(|(number, line)| Some((number, cells(line)?)))
        .filter_map(|(number, cells)| row(number + 1, &cells))
        .collect();
    if rows.is_empty() { Err(missing()) } else { Ok(rows) }
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn row(line: usize, cells: &[&str]) -> Option<Row> {
    let [first, second, ..] = cells else {
        return None;
    };
    let values = second.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
    let key = first.trim_matches('`').to_owned();
    Some(Row { line, key, values, is_anything: *second == "anything" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_with_the_header_is_read_and_no_other() {
        let text = "| x | y |\n|---|---|\n| 1 | 2 |\n\n\
                    | crate | may depend on |\n|---|---|\n\
                    | `a` | `b`, `c::d` (why) |\n| `e` | nothing |\n| f | anything |\n\n| g | `h` |\n";
        let repository = Repository::of(&[(DOCUMENT, text)]);
        let rows = rows(&repository, ["crate", "may depend on"]).unwrap();
        let keys: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.line)).collect();
        assert_eq!(keys, [("a", 7), ("e", 8), ("f", 9)]);
        assert_eq!(rows[0].values, ["b", "c::d"]);
        assert!(rows[1].values.is_empty() && !rows[1].is_anything);
        assert!(rows[2].is_anything);
    }

    #[test]
    fn a_missing_table_or_document_is_a_violation() {
        for files in [vec![], vec![(DOCUMENT, "| crate | uses |\n|--|--|\n| a | b |\n")]] {
            let error = rows(&Repository::of(&files), ["crate", "may depend on"]).unwrap_err();
            assert!(error.to_string().contains("`| crate | may depend on |` is missing"));
        }
    }
}

//! Plain tables: columns aligned by spaces, numbers to the right, colours where they help.

use std::{env, io, io::IsTerminal};

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table, presets};

/// Whether colours may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Text only.
    Plain,
    /// A terminal that shows colours.
    Coloured,
}

impl Style {
    /// What standard output can show, unless `NO_COLOR` says otherwise (no-color.org).
    pub(super) fn of_stdout() -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        if io::stdout().is_terminal() && !unwanted && !dumb { Self::Coloured } else { Self::Plain }
    }
}

/// Heading of a column and where its cells stand.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Words, to the left.
    Words(&'static str),
    /// Numbers, to the right.
    Number(&'static str),
}

/// What a cell means, where it means more than its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// Not as it will be.
    Pending,
    /// A problem.
    Bad,
}

/// A cell that stands out on a terminal.
pub(super) fn toned(text: impl AsRef<str>, tone: Tone) -> Cell {
    let cell = cell(text);
    match tone {
        Tone::Good => cell.fg(Color::Green),
        Tone::Pending => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
    }
}

/// A cell; nothing in it reaches a terminal as a control character.
pub(super) fn cell(text: impl AsRef<str>) -> Cell {
    Cell::new_owned(printable(text.as_ref()))
}

/// A cell with a number.
pub(super) fn number(number: impl ToString) -> Cell {
    Cell::new(number)
}

/// Lines of a table, each indented by `indent` spaces and ended by a newline.
pub(super) fn render(
    style: Style,
    indent: usize,
    columns: &[Column],
    rows: impl IntoIterator<Item = Vec<Cell>>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    if style == Style::Coloured {
        table.enforce_styling();
    }
    table.set_header(columns.iter().map(|column| {
        let (Column::Words(title) | Column::Number(title)) = column;
        Cell::new(title).add_attribute(Attribute::Bold)
    }));
    table.add_rows(rows);
    for (index, column) in columns.iter().enumerate() {
        if let Some(shown) = table.column_mut(index) {
            shown.set_padding((0, 2));
            shown.set_cell_alignment(match column {
                Column::Words(_) => CellAlignment::Left,
                Column::Number(_) => CellAlignment::Right,
            });
        }
    }
    let margin = " ".repeat(indent);
    table.lines().map(|line| format!("{margin}{}\n", line.trim_end())).collect()
}

/// `text` without control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A number of bytes with three digits or a little more: `999 B`, `12.3 MiB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // 0 for KiB: the number of times that 1024 goes into it, less one.
    let mut unit = (count.ilog2() / 10 - 1) as usize;
    let mut tenths = tenths_of(count, unit);
    if tenths >= 10_240 && unit + 1 < UNITS.len() {
        unit += 1;
        tenths = tenths_of(count, unit);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Tenths of a unit, rounded.
fn tenths_of(count: u64, unit: usize) -> u128 {
    let unit_bytes = 1_u128 << (10 * (unit + 1));
    (u128::from(count) * 10 + unit_bytes / 2) / unit_bytes
}

/// `1 backend`, `2 backends`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 2] = [Column::Words("NAME"), Column::Number("COUNT")];

    #[test]
    fn words_stand_left_numbers_right_and_no_line_ends_in_spaces() {
        let rows = [vec![cell("eth0"), number(7)], vec![cell("a long name"), number(12_345_678)]];
        assert_eq!(
            render(Style::Plain, 2, &COLUMNS, rows),
            "  NAME            COUNT\n\
             \x20 eth0                7\n\
             \x20 a long name  12345678\n"
        );
    }

    #[test]
    fn colours_appear_only_where_they_may() {
        let rows = || [vec![toned("eth0", Tone::Bad), number(7)]];
        assert!(!render(Style::Plain, 0, &COLUMNS, rows()).contains('\u{1b}'));
        assert!(render(Style::Coloured, 0, &COLUMNS, rows()).contains('\u{1b}'));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let rows = [vec![cell("\u{1b}[31mred\nline"), number(7)]];
        let shown = render(Style::Plain, 0, &COLUMNS, rows);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert_eq!(shown.lines().count(), 2);
    }

    #[test]
    fn bytes_are_written_in_the_unit_that_keeps_them_short() {
        for (count, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_048_576, "1.0 MiB"),
            (12_900_000, "12.3 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
    }
}

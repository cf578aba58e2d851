//! A value of the file: read as the type that its key takes, within the range of its key.

use std::{ops::RangeInclusive, time::Duration};

use toml::{Spanned, de::DeValue};

use super::{
    diagnostic::Diagnostic,
    file::Table,
    keys::{Accepts, Key, TableKeys},
    report::{Report, Span},
    suggest, units, unsupported,
};

/// A value of the file, or an element of one.
#[derive(Clone, Copy)]
pub(super) struct Value<'f> {
    /// The table that holds its key.
    pub(super) table: &'static TableKeys,
    /// Its key.
    pub(super) key: &'static Key,
    /// The value itself.
    pub(super) written: &'f Spanned<DeValue<'f>>,
}

impl<'f> Value<'f> {
    /// Where it stands.
    pub(super) fn span(&self) -> Span {
        self.written.span()
    }

    /// Its text, if it is one; nothing is reported.
    pub(super) fn as_text(&self) -> Option<&'f str> {
        self.written.get_ref().as_str()
    }

    /// Its text.
    pub(super) fn text(&self, report: &mut Report<'_>) -> Option<&'f str> {
        let text = self.as_text();
        if text.is_none() {
            self.wrong_type(report);
        }
        text
    }

    /// True if it is the integer 0; nothing is reported.
    pub(super) fn is_zero(&self) -> bool {
        matches!(self.written.get_ref(), DeValue::Integer(written)
            if u64::from_str_radix(written.as_str(), written.radix()) == Ok(0))
    }

    /// Its integer, within the range of the key.
    pub(super) fn integer<T: TryFrom<u64>>(&self, report: &mut Report<'_>) -> Option<T> {
        let Accepts::Integer(from, to) = self.key.accepts else {
            return None;
        };
        self.integer_within(from, to, report)
    }

    /// Its integer, within a range.
    pub(super) fn integer_within<T: TryFrom<u64>>(
        &self,
        from: u64,
        to: u64,
        report: &mut Report<'_>,
    ) -> Option<T> {
        let DeValue::Integer(written) = self.written.get_ref() else {
            self.wrong_type(report);
            return None;
        };
        let read = u64::from_str_radix(written.as_str(), written.radix()).ok();
        let read = self.in_range(read, from..=to, report)?;
        T::try_from(read).ok()
    }

    /// Its duration, within the range of the key.
    pub(super) fn duration(&self, report: &mut Report<'_>) -> Option<Duration> {
        let text = self.text(report)?;
        let Accepts::Seconds(from, to) = self.key.accepts else {
            return None;
        };
        let range = Duration::from_secs(from)..=Duration::from_secs(to);
        match units::duration(text) {
            Ok(read) => self.in_range(Some(read), range, report),
            Err(why) => {
                let message = format!("{} {text:?} {why}", self.key.name);
                report.error(&self.span(), message).hint(
                    "durations are whole numbers with the unit ms, s, m, h or d, e.g. \"30s\"",
                );
                None
            }
        }
    }

    /// Its rate in bit/s, within the range of the key.
    pub(super) fn rate(&self, report: &mut Report<'_>) -> Option<u64> {
        let text = self.text(report)?;
        let Accepts::Megabits(from, to) = self.key.accepts else {
            return None;
        };
        match units::rate(text) {
            Ok(read) => self.in_range(Some(read), from * 1_000_000..=to * 1_000_000, report),
            Err(why) => {
                let message = format!("{} {text:?} {why}", self.key.name);
                report.error(&self.span(), message).hint(
                    "rates are whole numbers with the unit kbit, Mbit or Gbit, e.g. \"100Mbit\"",
                );
                None
            }
        }
    }

    /// The setting that its word stands for.
    pub(super) fn word<T: Copy>(
        &self,
        words: &[(&'static str, T)],
        report: &mut Report<'_>,
    ) -> Option<T> {
        let text = self.text(report)?;
        let known = words.iter().find(|(word, _)| *word == text).map(|(_, meant)| *meant);
        if known.is_none() {
            match unsupported::find_word(self.table, self.key.name, text) {
                Some(later) => later.refuse(&self.span(), report),
                None => report
                    .error(&self.span(), format!("{} {text:?} is not known", self.key.name))
                    .hint(suggest::word(text, words.iter().map(|(word, _)| *word))),
            }
        }
        known
    }

    /// Its flag.
    pub(super) fn flag(&self, report: &mut Report<'_>) -> Option<bool> {
        let flag = self.written.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(report);
        }
        flag
    }

    /// Its elements.
    pub(super) fn list(self, report: &mut Report<'_>) -> Option<Vec<Self>> {
        let DeValue::Array(elements) = self.written.get_ref() else {
            self.wrong_type(report);
            return None;
        };
        Some(elements.iter().map(|written| Value { written, ..self }).collect())
    }

    /// Its table, with unknown keys refused.
    pub(super) fn table(
        &self,
        keys: &'static TableKeys,
        report: &mut Report<'_>,
    ) -> Option<Table<'f>> {
        match self.written.get_ref() {
            DeValue::Table(entries) => Some(Table::open(keys, entries, self.span(), report)),
            _ => {
                self.wrong_type(report);
                None
            }
        }
    }

    /// Refuses it, quoting what is written: `port 70000 is out of range`.
    pub(super) fn refuse(&self, why: &str, report: &mut Report<'_>) {
        let message = format!("{} {} {why}", self.key.name, report.written(&self.span()));
        report
            .error(&self.span(), message)
            .hint(format!("{} is {}", self.key.name, self.key.accepts));
    }

    fn in_range<T: PartialOrd>(
        &self,
        read: Option<T>,
        range: RangeInclusive<T>,
        report: &mut Report<'_>,
    ) -> Option<T> {
        let read = read.filter(|read| range.contains(read));
        if read.is_none() {
            self.refuse("is out of range", report);
        }
        read
    }

    /// Says that a value of its type cannot stand here.
    pub(super) fn wrong_type<'r>(&self, report: &'r mut Report<'_>) -> &'r mut Diagnostic {
        let (name, accepts) = (self.key.name, self.key.accepts);
        let found = self.written.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        let message = format!("{name} holds {article} {found}");
        let unquoted = self.as_text().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let hint = match (accepts, unquoted) {
            (Accepts::Integer(..), Some(digits)) if !digits.is_empty() => {
                format!("{name} is {accepts}, without quotes: {name} = {digits}")
            }
            (Accepts::Ports, Some(digits)) if !digits.is_empty() => {
                let number = Accepts::Integer(1, 65_535);
                format!("{name} is {number}, without quotes: {name} = {digits}")
            }
            _ => format!("{name} is {accepts}"),
        };
        let diagnostic = report.error(&self.span(), message);
        diagnostic.hint(hint);
        diagnostic
    }
}

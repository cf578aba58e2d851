//! The shape of a configuration file: TOML tables whose every key and value knows its place.
//!
//! serde stops at the first thing it cannot read. An operator wants all of them at once, so the
//! tree is walked by hand: each reader returns `None` after having reported what is wrong.

use std::time::Duration;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keys::{TOP, TableKeys},
    report::{Report, Span},
    suggest, unsupported,
    value::Value,
};

/// A table of the file.
#[derive(Clone)]
pub(super) struct Table<'f> {
    keys: &'static TableKeys,
    entries: Option<&'f DeTable<'f>>,
    /// Its header, or the braces of an inline table.
    pub(super) span: Span,
}

/// Parses the text, reporting every syntax error; after one there is no tree.
pub(super) fn parse<'f>(text: &'f str, report: &mut Report<'_>) -> Option<Spanned<DeTable<'f>>> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let (what, expected) = match error.message().split_once(", expected ") {
            Some((what, expected)) => (what, Some(expected)),
            None => (error.message(), None),
        };
        let diagnostic = report.error(&span, format!("not valid TOML: {what}"));
        match (what, expected) {
            ("duplicate key", _) => diagnostic.hint("a table holds each key once"),
            (what, _) if NEEDS_QUOTES.iter().any(|start| what.starts_with(start)) => {
                diagnostic.hint("text, addresses and durations are written in quotes");
            }
            (_, Some("nothing") | None) => {}
            (_, Some(expected)) => diagnostic.hint(format!("expected {expected}")),
        }
    }
    errors.is_empty().then_some(tree)
}

/// How the parser begins when it took an unquoted text for something else.
const NEEDS_QUOTES: [&str; 5] = [
    "string values must be quoted",
    "invalid boolean",
    "invalid float",
    "invalid integer",
    "invalid datetime",
];

impl<'f> Table<'f> {
    /// The whole file.
    pub(super) fn top(tree: &'f Spanned<DeTable<'f>>, report: &mut Report<'_>) -> Self {
        Self::open(&TOP, tree.get_ref(), 0..0, report)
    }

    /// Opens a table, refusing the keys that it does not know.
    pub(super) fn open(
        keys: &'static TableKeys,
        entries: &'f DeTable<'f>,
        span: Span,
        report: &mut Report<'_>,
    ) -> Self {
        for name in entries.keys() {
            let (name, at) = (name.get_ref().as_ref(), name.span());
            if keys.find(name).is_some() {
                continue;
            }
            match unsupported::find(keys, name, unsupported::What::Key) {
                Some(later) => later.refuse(&at, report),
                None => report
                    .error(&at, format!("key {name:?} is not known in {}", keys.place))
                    .hint(suggest::key(keys, name)),
            }
        }
        Self { keys, entries: Some(entries), span }
    }

    /// True if it is in the file.
    pub(super) fn is_written(&self) -> bool {
        self.entries.is_some()
    }

    /// The value of a key, if it is written.
    pub(super) fn get(&self, name: &'static str) -> Option<Value<'f>> {
        let key = self.keys.find(name);
        debug_assert!(key.is_some(), "{name} is missing from the list of keys");
        let written = self.entries?.get(name)?;
        Some(Value { table: self.keys, key: key?, written })
    }

    /// True if one of these keys is written, or one that is not known: that has been refused
    /// already, and may be meant for one of them.
    pub(super) fn sets_any(&self, names: &[&'static str]) -> bool {
        let unknown = |entries: &DeTable<'_>| {
            entries.keys().any(|name| self.keys.find(name.get_ref().as_ref()).is_none())
        };
        names.iter().any(|name| self.get(name).is_some()) || self.entries.is_some_and(unknown)
    }

    /// The value of a key; its absence is reported, unless the whole table is absent.
    pub(super) fn required(
        &self,
        name: &'static str,
        report: &mut Report<'_>,
    ) -> Option<Value<'f>> {
        let value = self.get(name);
        if value.is_none() && self.entries.is_some() {
            let missing = report.error(&self.span, format!("{} has no {name:?}", self.keys.place));
            if let Some(key) = self.keys.find(name) {
                missing.hint(format!("{name} is {}", key.accepts));
            }
        }
        value
    }

    /// The table of that key; without entries if it is not written.
    pub(super) fn table(
        &self,
        name: &'static str,
        keys: &'static TableKeys,
        report: &mut Report<'_>,
    ) -> Self {
        self.get(name).and_then(|value| value.table(keys, report)).unwrap_or(Self {
            keys,
            entries: None,
            span: self.span.clone(),
        })
    }

    /// The tables of an array such as `[[instance]]`; none if it is not written.
    pub(super) fn tables(
        &self,
        name: &'static str,
        keys: &'static TableKeys,
        report: &mut Report<'_>,
    ) -> Vec<Self> {
        let Some(value) = self.get(name) else {
            return Vec::new();
        };
        let DeValue::Array(elements) = value.written.get_ref() else {
            value.wrong_type(report).hint(format!("its header is written {}", keys.place));
            return Vec::new();
        };
        let elements = elements.iter().map(|written| Value { written, ..value });
        elements.filter_map(|element| element.table(keys, report)).collect()
    }

    /// The duration of a key, or `default`.
    pub(super) fn duration_or(
        &self,
        name: &'static str,
        default: Duration,
        report: &mut Report<'_>,
    ) -> Duration {
        let written = self.get(name).and_then(|value| value.duration(report));
        written.unwrap_or(default)
    }

    /// The integer of a key, or `default`.
    pub(super) fn integer_or<T: TryFrom<u64>>(
        &self,
        name: &'static str,
        default: T,
        report: &mut Report<'_>,
    ) -> T {
        self.get(name).and_then(|value| value.integer(report)).unwrap_or(default)
    }

    /// The word of a key, or `default`.
    pub(super) fn word_or<T: Copy>(
        &self,
        name: &'static str,
        words: &[(&'static str, T)],
        default: T,
        report: &mut Report<'_>,
    ) -> T {
        self.get(name).and_then(|value| value.word(words, report)).unwrap_or(default)
    }

    /// The flag of a key, or `default`.
    pub(super) fn flag_or(
        &self,
        name: &'static str,
        default: bool,
        report: &mut Report<'_>,
    ) -> bool {
        self.get(name).and_then(|value| value.flag(report)).unwrap_or(default)
    }
}

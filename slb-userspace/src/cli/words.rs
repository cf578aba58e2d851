//! Arguments that take one of a few words.

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Accepts the words and gives the value that belongs to the one written.
pub(super) fn one_of<T: Copy + Send + Sync + 'static>(
    words: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let known = PossibleValuesParser::new(words.iter().map(|(word, _)| *word));
    known.try_map(move |written| {
        let found = words.iter().find(|(word, _)| *word == written);
        found.map(|(_, value)| *value).ok_or("not a known word")
    })
}

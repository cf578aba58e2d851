//! What an operator may have meant.

use super::{
    keys::{TABLES, TableKeys},
    unsupported,
};

/// The hint for a key that its table does not know.
pub(super) fn key(table: &TableKeys, written: &str) -> String {
    let listed = format!("keys of {}: {}", table.place, table.names().join(", "));
    if let Some(close) = closest(written, table.names()) {
        return format!("did you mean {close:?}? {listed}");
    }
    if let Some(close) = closest(written, unsupported::later_keys(table)) {
        return format!("did you mean {close:?}, which is not supported yet? {listed}");
    }
    match TABLES.iter().find(|other| other.find(written).is_some()) {
        Some(other) => format!("{written:?} is a key of {}; {listed}", other.place),
        None => listed,
    }
}

/// The hint for a word that its key does not know.
pub(super) fn word(written: &str, known: impl Iterator<Item = &'static str>) -> String {
    let known: Vec<&str> = known.collect();
    let listed = match known.as_slice() {
        [only] => format!("only {only:?}"),
        several => format!("one of {}", several.join(", ")),
    };
    match closest(written, known.iter().copied()) {
        Some(close) => format!("did you mean {close:?}? {listed}"),
        None => listed,
    }
}

/// The candidate that differs least, if it differs so little that a slip is likely.
pub(super) fn closest<'c>(
    written: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let written = plain(written);
    let allowed = 1 + written.chars().count() / 4;
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&written, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_something_else_is_not() {
        let words = ["wrr", "rr", "wlc", "lc", "sh", "mh"];
        assert_eq!(closest("wlcc", words), Some("wlc"));
        assert_eq!(closest("WRR", words), Some("wrr"));
        assert_eq!(closest("leastconn", words), None);
        assert_eq!(closest("", words), None);
        assert_eq!(closest("fin-timeout", ["fin_timeout", "syn_timeout"]), Some("fin_timeout"));
    }
}

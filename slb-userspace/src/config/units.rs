//! Quantities as an operator writes them: a number and its unit.

use std::time::Duration;

/// Units of time and their length in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration such as `300s`, `5m` or `1m30s`.
///
/// # Errors
/// What is wrong with the text, as the end of a sentence that begins with it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("is empty".to_owned());
    }
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err("is not a duration".to_owned());
        }
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit_ms = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, length)) => *length,
            None if unit.is_empty() && after.is_empty() => return Err("has no unit".to_owned()),
            None if unit.is_empty() => return Err("is not a duration".to_owned()),
            None => return Err(format!("has the unknown unit {unit:?}")),
        };
        total_ms = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit_ms))
            .and_then(|part| total_ms.checked_add(part))
            .ok_or_else(|| "is too long".to_owned())?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total_ms))
}

/// Units of a rate and their size in bit/s.
const RATES: [(&str, u64); 5] = [
    ("bit", 1),
    ("kbit", 1000),
    ("Mbit", 1_000_000),
    ("Gbit", 1_000_000_000),
    ("Tbit", 1_000_000_000_000),
];

/// Reads a rate such as `100Mbit` as bit/s.
///
/// # Errors
/// What is wrong with the text, as the end of a sentence that begins with it.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    if number.is_empty() || unit.starts_with(['.', ',', '_']) {
        return Err("is not a rate".to_owned());
    }
    let Some((_, bits)) = RATES.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => "has no unit".to_owned(),
            _ => format!("has the unknown unit {unit:?}"),
        });
    };
    let rate = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*bits));
    rate.ok_or_else(|| "is too much".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit_and_parts_add_up() {
        for (text, milliseconds) in [
            ("300s", 300_000),
            ("250ms", 250),
            ("5m", 300_000),
            ("1m30s", 90_000),
            ("1h 1 m", 3_660_000),
            (" 2 s ", 2_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn a_duration_that_cannot_be_read_says_why() {
        for (text, why) in [
            ("", "is empty"),
            ("300", "has no unit"),
            ("1.5s", "is not a duration"),
            ("-5s", "is not a duration"),
            ("fast", "is not a duration"),
            ("5 parsecs", "has the unknown unit \"parsecs\""),
            ("99999999999999999999s", "is too long"),
            ("99999999999999999d", "is too long"),
        ] {
            assert_eq!(duration(text), Err(why.to_owned()), "{text}");
        }
    }
    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        for (text, bits) in [
            ("1Mbit", 1_000_000),
            (" 10 Gbit ", 10_000_000_000),
            ("1500kbit", 1_500_000),
            ("64bit", 64),
            ("1Tbit", 1_000_000_000_000),
        ] {
            assert_eq!(rate(text), Ok(bits), "{text}");
        }
    }

    #[test]
    fn a_rate_that_cannot_be_read_says_why() {
        for (text, why) in [
            ("", "is not a rate"),
            ("Mbit", "is not a rate"),
            ("-1Mbit", "is not a rate"),
            ("1.5Gbit", "is not a rate"),
            ("100", "has no unit"),
            ("100MB", "has the unknown unit \"MB\""),
            ("99999999999Tbit", "is too much"),
            ("99999999999999999999bit", "is too much"),
        ] {
            assert_eq!(rate(text), Err(why.to_owned()), "{text}");
        }
    }
}

//! Findings for people and for programs.

use std::fmt::Write;

use super::{Finding, Level};

/// The findings as lines for a terminal, with how many of each level at the end.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { level, what, evidence, mend } in findings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<8} {what}: {evidence}", word(*level));
        if let Some(mend) = mend {
            let _ = writeln!(text, "{:<8} hint: {mend}", "");
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (ok, warnings, failures) = (count(Level::Ok), count(Level::Warning), count(Level::Failure));
    let _ = writeln!(text, "{ok} ok, {warnings} warnings, {failures} failures");
    text
}

/// The findings as a JSON array of objects with `level`, `what`, `evidence` and `mend`.
///
/// # Errors
/// None that these types can cause.
pub fn json(findings: &[Finding]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(findings)
}

/// 1 if something failed, else 0.
pub fn exit_code(findings: &[Finding]) -> u8 {
    u8::from(findings.iter().any(|finding| finding.level == Level::Failure))
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Failure => "failure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_makes_the_exit_code_1() {
        let (ok, warning) = (Finding::ok("a", "b"), Finding::warning("a", "b"));
        assert_eq!(exit_code(&[]), 0);
        assert_eq!(exit_code(&[ok.clone(), warning]), 0);
        assert_eq!(exit_code(&[ok, Finding::failure("a", "b")]), 1);
    }

    #[test]
    fn people_see_the_hint_below_the_finding() {
        let findings =
            [Finding::ok("kernel", "6.18"), Finding::failure("eth0", "no").mend("do this")];
        assert_eq!(
            text(&findings),
            "ok       kernel: 6.18\n\
             failure  eth0: no\n         hint: do this\n\
             1 ok, 0 warnings, 1 failures\n"
        );
    }

    #[test]
    fn programs_see_the_same_words() {
        let written = json(&[Finding::warning("a", "b")]).unwrap();
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        let wanted = serde_json::json!([
            {"level": "warning", "what": "a", "evidence": "b", "mend": null}
        ]);
        assert_eq!(read, wanted);
    }
}

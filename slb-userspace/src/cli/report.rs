//! `slb reload`, and what every change prints: what was done, and what the operator should know.

use super::{Answer, Format, table::Style};
use crate::api::{ChangeReport, Client};

pub(super) async fn reload(client: &Client, format: Format) -> anyhow::Result<Answer> {
    Ok(format.write(&client.reload().await?, people)?.into())
}

/// One line per change, then the warnings.
pub(super) fn people(report: &ChangeReport, _: Style) -> String {
    let mut text: String = report.changes.iter().map(|change| format!("{change}\n")).collect();
    if report.changes.is_empty() {
        text += "nothing to change\n";
    }
    for warning in &report.warnings {
        text += &format!("{warning}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Warning;

    #[test]
    fn changes_come_first_and_warnings_with_their_hints_after_them() {
        let report = ChangeReport {
            changes: vec!["shop/tcp:80: backend 10.0.1.14:8080 added".to_owned()],
            warnings: vec![Warning {
                place: Some("slb.toml:8:8".to_owned()),
                message: "port 21 is FTP's".to_owned(),
                hint: Some("use another protocol".to_owned()),
            }],
        };
        assert_eq!(
            people(&report, Style::Plain),
            "shop/tcp:80: backend 10.0.1.14:8080 added\n\
             slb.toml:8:8: warning: port 21 is FTP's\n\
             \x20 hint: use another protocol\n"
        );
    }

    #[test]
    fn no_change_is_said_in_words() {
        assert_eq!(people(&ChangeReport::default(), Style::Plain), "nothing to change\n");
    }
}

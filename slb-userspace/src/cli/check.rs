//! `slb check FILE`: says everything that is wrong with a configuration file, and changes nothing.
//!
//! Needs no daemon and no privileges. Exit code 0: the file would be accepted, warnings or not;
//! 1: it would be refused; 2: there is no such file to check.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use serde::Serialize;

use crate::config::{self, Checked, Config, Diagnostic, Diagnostics};

/// What `--json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    file: String,
    accepted: bool,
    errors: usize,
    warnings: usize,
    diagnostics: &'a [Diagnostic],
}

/// Checks `file` and prints the findings, as text or as one JSON object.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn run(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let result = config::load(file);
    let code = exit_code(&result);
    if json {
        write_json(file, result, &mut out)?;
    } else {
        write_text(file, &result, &mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::from(code))
}

fn exit_code(result: &Result<Checked, Diagnostics>) -> u8 {
    match result {
        Ok(_) => 0,
        Err(found) if found.file_unreadable() => 2,
        Err(_) => 1,
    }
}

fn write_text(
    file: &Path,
    result: &Result<Checked, Diagnostics>,
    out: &mut impl Write,
) -> io::Result<()> {
    match result {
        Ok(checked) => {
            for warning in &checked.warnings {
                writeln!(out, "{warning}\n")?;
            }
            let warned = match checked.warnings.len() {
                0 => String::new(),
                count => format!(", {}", counted(count, "warning")),
            };
            writeln!(out, "{}: accepted: {}{warned}", file.display(), summary(&checked.config))
        }
        Err(found) => {
            for one in found.iter() {
                writeln!(out, "{one}\n")?;
            }
            let errors = found.errors();
            let warned = match found.iter().len() - errors {
                0 => String::new(),
                count => format!(", {}", counted(count, "warning")),
            };
            writeln!(out, "{}: refused: {}{warned}", file.display(), counted(errors, "error"))
        }
    }
}

fn write_json(
    file: &Path,
    result: Result<Checked, Diagnostics>,
    out: &mut impl Write,
) -> io::Result<()> {
    let (accepted, errors, diagnostics) = match result {
        Ok(checked) => (true, 0, checked.warnings),
        Err(found) => (false, found.errors(), found.into_vec()),
    };
    let answer = Answer {
        file: file.display().to_string(),
        accepted,
        errors,
        warnings: diagnostics.len() - errors,
        diagnostics: &diagnostics,
    };
    serde_json::to_writer_pretty(&mut *out, &answer)?;
    writeln!(out)
}

fn summary(config: &Config) -> String {
    let listeners = config.instances.iter().flat_map(|instance| &instance.listeners);
    let backends = listeners.clone().map(|listener| listener.backends.len()).sum();
    format!(
        "{}, {}, {}",
        counted(config.instances.len(), "instance"),
        counted(listeners.count(), "listener"),
        counted(backends, "backend"),
    )
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &str = "[dataplane]\ninterfaces = [\"eth0\"]\n\
        [[instance]]\nname = \"shop\"\nvips = [\"10.0.0.100\"]\n\
        [[instance.listener]]\nprotocol = \"tcp\"\nport = 80\n\
        backends = [{ address = \"10.0.1.11\", port = 8080 }]\n";
    const REFUSED: &str = "[dataplane]\ninterfaces = [\"eth0\"]\nxdp_mode = \"fast\"\n";

    fn check(text: &str) -> (u8, String, serde_json::Value) {
        let file = Path::new("slb.toml");
        let result = config::load_str("slb.toml", text);
        let code = exit_code(&result);
        let mut shown = Vec::new();
        write_text(file, &result, &mut shown).unwrap();
        let mut json = Vec::new();
        write_json(file, result, &mut json).unwrap();
        (code, String::from_utf8(shown).unwrap(), serde_json::from_slice(&json).unwrap())
    }

    #[test]
    fn a_file_that_is_fine_exits_with_0_and_says_what_is_in_it() {
        let (code, shown, json) = check(ACCEPTED);
        assert_eq!(code, 0);
        assert_eq!(shown, "slb.toml: accepted: 1 instance, 1 listener, 1 backend\n");
        assert_eq!(json["accepted"], true);
        assert_eq!(json["diagnostics"], serde_json::json!([]));
    }

    #[test]
    fn warnings_are_shown_and_do_not_change_the_exit_code() {
        let (code, shown, json) = check(&ACCEPTED.replace("port = 80\n", "port = 21\n"));
        assert_eq!(code, 0);
        assert!(shown.starts_with("slb.toml:8:8: warning: port 21"), "{shown}");
        assert!(shown.ends_with("1 backend, 1 warning\n"), "{shown}");
        assert_eq!((&json["errors"], &json["warnings"]), (&0.into(), &1.into()));
    }

    #[test]
    fn a_refused_file_exits_with_1_and_its_findings_stand_in_the_json() {
        let (code, shown, json) = check(REFUSED);
        assert_eq!(code, 1);
        assert!(shown.ends_with("slb.toml: refused: 1 error\n"), "{shown}");
        assert_eq!(json["accepted"], false);
        assert_eq!(json["diagnostics"][0]["line"], 3);
        assert_eq!(json["diagnostics"][0]["severity"], "error");
    }

    #[test]
    fn a_file_that_is_not_there_exits_with_2() {
        let directory = tempfile::tempdir().unwrap();
        let result = config::load(&directory.path().join("slb.toml"));
        assert_eq!(exit_code(&result), 2);
    }
}

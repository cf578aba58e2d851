//! Every sentence that a configuration file can be answered with.

mod accepted;
mod listed;
mod random;
mod refused;
mod warned;

use super::{Checked, Diagnostic, Severity, load_str};

/// A file without anything to say about it.
const VALID: &str = r#"[daemon]
socket = "/run/slb/slb.sock"

[dataplane]
interfaces = ["eth0"]
max_backends = 64

[[server_group]]
name = "web"
backends = [
  { address = "10.0.1.11", port = 8080, weight = 100 },
  { address = "10.0.1.12", port = 8080, weight = 50 },
]

[[instance]]
name = "shop"
vips = ["10.0.0.100"]

[[instance.listener]]
protocol = "tcp"
port = 80
mode = "nat"
scheduler = "wrr"
established_timeout = "900s"
server_group = "web"
health_check = { type = "http", path = "/healthz", interval = "2s" }

[[instance.listener]]
protocol = "udp"
port = 53
backends = [{ address = "10.0.1.21", port = 5353 }]
health_check = { type = "tcp", port = 53 }
"#;

/// A file with a key of SYN cookies.
pub(crate) const COOKIE_KEY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/tests/cookie.key");

/// [`VALID`] with its only `old` replaced.
fn changed(old: &str, new: &str) -> String {
    assert_eq!(VALID.matches(old).count(), 1, "{old:?} stands once in the file");
    VALID.replace(old, new)
}

/// Accepts a text, or shows why not.
fn accepted(text: &str) -> Checked {
    load_str("slb.toml", text).unwrap_or_else(|found| panic!("{found}"))
}

/// What a text is refused for, warnings left out.
fn errors(text: &str) -> Vec<Diagnostic> {
    let Err(found) = load_str("slb.toml", text) else { panic!("accepted:\n{text}") };
    found.into_vec().into_iter().filter(|one| one.severity == Severity::Error).collect()
}

/// Line and column of the last `meant` in a text.
fn place(text: &str, meant: &str) -> (usize, usize) {
    let before = &text[..text.rfind(meant).expect("the text that is meant")];
    let line = before.split('\n').count();
    (line, before.split('\n').next_back().unwrap().chars().count() + 1)
}

/// The text is refused for one thing, which stands where `meant` does.
fn refused_once(text: &str, meant: &str, message: &str, hint: &str) {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    said(&errors[0], text, meant, message, hint);
}

/// The text is accepted with one warning, which stands where `meant` does.
fn warned_once(text: &str, meant: &str, message: &str, hint: &str) {
    let warnings = accepted(text).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    said(&warnings[0], text, meant, message, hint);
}

fn said(found: &Diagnostic, text: &str, meant: &str, message: &str, hint: &str) {
    assert_eq!(found.message, message);
    let position = found.position.unwrap();
    assert_eq!((position.line, position.column), place(text, meant), "{found}");
    let given = found.hint.as_deref().unwrap_or_default();
    assert!(given.contains(hint), "hint: {given}\nwanted: {hint}");
}

//! `health_check = { ... }`.

use std::time::Duration;

use crate::config::{
    file::Table,
    keys::HEALTH_CHECK,
    model::{CheckKind, HealthCheck, HttpCheck, HttpMethod, Protocol},
    report::Report,
    value::Value,
};

/// The types that can be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
}

const KINDS: [(&str, Kind); 2] = [("tcp", Kind::Tcp), ("http", Kind::Http)];

/// Keys that only an HTTP request has.
const HTTP_KEYS: [&str; 4] = ["method", "path", "domain", "codes"];

const UDP_HINT: &str = "checks of type udp are not supported by this version yet; write \
    health_check = { type = \"tcp\", port = N } with a TCP port that tells whether the service lives";

/// Checks the health check of a listener.
pub(super) fn check(
    listener: &Table<'_>,
    protocol: Protocol,
    report: &mut Report<'_>,
) -> HealthCheck {
    let written = listener.get("health_check");
    if protocol == Protocol::Udp && written.is_none() {
        report.error(&listener.span, "a udp listener has no health_check").hint(UDP_HINT);
    }
    let table = listener.table("health_check", &HEALTH_CHECK, report);
    if protocol == Protocol::Udp && table.is_written() {
        for key in ["type", "port"] {
            if table.get(key).is_none() {
                let message = format!("the health_check of a udp listener has no {key:?}");
                report.error(&table.span, message).hint(UDP_HINT);
            }
        }
    }
    let kind = match table.get("type") {
        Some(value) => value.word(&KINDS, report),
        None => Some(Kind::Tcp),
    };
    if kind == Some(Kind::Tcp) {
        refuse_http_keys(&table, report);
    }
    HealthCheck {
        kind: match kind {
            Some(Kind::Tcp) => CheckKind::Tcp,
            Some(Kind::Http) | None => CheckKind::Http(http(&table, report)),
        },
        interval: table.duration_or("interval", Duration::from_secs(2), report),
        timeout: table.duration_or("timeout", Duration::from_secs(5), report),
        healthy: table.integer_or("healthy", 3, report),
        unhealthy: table.integer_or("unhealthy", 3, report),
        port: table.get("port").and_then(|value| value.integer(report)),
    }
}

fn refuse_http_keys(table: &Table<'_>, report: &mut Report<'_>) {
    for key in HTTP_KEYS {
        if let Some(value) = table.get(key) {
            report
                .error(&value.span(), format!("{key:?} has no meaning in a check of type tcp"))
                .hint("write type = \"http\", or leave it out");
        }
    }
}

fn http(table: &Table<'_>, report: &mut Report<'_>) -> HttpCheck {
    let path =
        table.get("path").and_then(|value| legal_text(value, is_path, "is not a path", report));
    let domain = table.get("domain");
    let domain =
        domain.and_then(|value| legal_text(value, is_domain, "is not a host name", report));
    let codes = table.get("codes").and_then(|value| codes(value, report));
    HttpCheck {
        method: table.word_or("method", HttpMethod::WORDS, HttpMethod::Get, report),
        path: path.unwrap_or("/").to_owned(),
        domain: domain.unwrap_or_default().to_owned(),
        codes: codes.unwrap_or_else(|| vec![2, 3]),
    }
}

fn legal_text<'f>(
    value: Value<'f>,
    legal: fn(&str) -> bool,
    why: &str,
    report: &mut Report<'_>,
) -> Option<&'f str> {
    let text = value.text(report)?;
    if !legal(text) {
        value.refuse(why, report);
    }
    Some(text)
}

fn is_path(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_/.%?#&=".contains(&b);
    text.starts_with('/') && text.len() <= 80 && text.bytes().all(legal)
}

fn is_domain(text: &str) -> bool {
    text.len() <= 253 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
}

fn codes(value: Value<'_>, report: &mut Report<'_>) -> Option<Vec<u16>> {
    let elements = value.list(report)?;
    if elements.is_empty() {
        value.refuse("leaves no answer that is healthy", report);
    }
    let mut classes = Vec::new();
    for element in elements {
        match element.as_text() {
            Some("2xx") => classes.push(2),
            Some("3xx") => classes.push(3),
            Some("4xx") => classes.push(4),
            Some("5xx") => classes.push(5),
            _ => element.refuse("is not a class of answers", report),
        }
    }
    classes.sort_unstable();
    classes.dedup();
    Some(classes)
}

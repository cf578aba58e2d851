//! Why a check did not succeed, in the operator's words: the only place that has them.

use std::{error::Error, io, time::Duration};

use libc::{EACCES, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM};

use super::state::CheckResult;
use crate::config::model::status_classes;

/// Why a check did not succeed. Its `Display` is the reason that status and events show.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No connection within the timeout.
    #[error("timed out after {}", spoken(*after))]
    NoConnection {
        /// The timeout of the check.
        after: Duration,
    },
    /// A connection, but no answer to the request within the timeout.
    #[error("timed out after {} waiting for the answer", spoken(*after))]
    NoAnswer {
        /// The timeout of the check.
        after: Duration,
    },
    /// The kernel's word for it.
    #[error("{}", system_words(.0))]
    System(io::Error),
    /// The backend ended the connection in place of an answer.
    #[error("connection closed without an answer")]
    Closed,
    /// What came back is no HTTP.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// An answer with a status that the check does not want.
    #[error("status {status}, want {}", status_classes(codes))]
    Status {
        /// The status of the answer.
        status: u16,
        /// The classes that are wanted, e.g. 2 for 2xx.
        codes: Vec<u16>,
    },
    /// The request cannot be written as HTTP.
    #[error("the check's {part} cannot be sent as HTTP: '{written}'")]
    Request {
        /// Which part of it.
        part: &'static str,
        /// What is configured.
        written: String,
    },
}

impl Fault {
    /// Finds what is behind an error of the HTTP exchange.
    pub(super) fn from_http(error: &hyper::Error) -> Self {
        let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
        if let Some(system) = causes.find_map(|cause| cause.downcast_ref::<io::Error>()) {
            // An I/O error cannot be cloned; its number or else its kind is all that is read.
            return Self::System(match system.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(system.kind(), system.to_string()),
            });
        }
        if error.is_parse() { Self::NotHttp } else { Self::Closed }
    }

    /// What the fault says about the backend: nothing if this host is to blame.
    pub fn result(&self) -> CheckResult {
        match self {
            Self::System(error) => match error.raw_os_error() {
                Some(EMFILE | ENFILE | ENOMEM | ENOBUFS) => CheckResult::Inconclusive,
                _ if error.kind() == io::ErrorKind::AddrNotAvailable => CheckResult::Inconclusive,
                _ => CheckResult::Failure,
            },
            _ => CheckResult::Failure,
        }
    }
}

/// A duration as an operator would say it: `5 s`, `1.5 s`, `12 ms`, `0.3 ms`.
pub(super) fn spoken(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    if ms >= 999.5 {
        let tenths = (ms / 100.0).round() / 10.0;
        format!("{tenths} s")
    } else if ms >= 0.95 {
        format!("{ms:.0} ms")
    } else {
        // Below a tenth there is nothing an operator could act on.
        format!("{:.1} ms", ms.max(0.1))
    }
}

/// The operator's words for what the kernel said.
fn system_words(error: &io::Error) -> String {
    let by_number = match error.raw_os_error() {
        Some(EMFILE | ENFILE) => Some("this host is out of file descriptors"),
        Some(ENOMEM | ENOBUFS) => Some("this host is out of memory for sockets"),
        Some(EACCES | EPERM) => Some("forbidden by a firewall or policy of this host"),
        _ => None,
    };
    let by_kind = || match error.kind() {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::ConnectionReset => Some("connection reset"),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => Some("connection aborted"),
        io::ErrorKind::HostUnreachable => Some("no route to host"),
        io::ErrorKind::NetworkUnreachable => Some("network unreachable"),
        io::ErrorKind::NetworkDown => Some("network down"),
        io::ErrorKind::TimedOut => Some("connection timed out"),
        io::ErrorKind::AddrNotAvailable => Some("no free local address and port on this host"),
        _ => None,
    };
    match by_number.or_else(by_kind) {
        Some(words) => words.to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_an_operator_would() {
        let said = [
            (Duration::from_secs(5), "5 s"),
            (Duration::from_secs(300), "300 s"),
            (Duration::from_millis(1500), "1.5 s"),
            (Duration::from_millis(1000), "1 s"),
            (Duration::from_micros(999_600), "1 s"),
            (Duration::from_millis(999), "999 ms"),
            (Duration::from_micros(1_200), "1 ms"),
            (Duration::from_micros(310), "0.3 ms"),
            (Duration::from_nanos(1), "0.1 ms"),
        ];
        for (duration, words) in said {
            assert_eq!(spoken(duration), words);
        }
    }

    #[test]
    fn a_status_names_every_class_that_is_wanted() {
        let fault =
            |codes: &[u16]| Fault::Status { status: 404, codes: codes.to_vec() }.to_string();
        assert_eq!(fault(&[2]), "status 404, want 2xx");
        assert_eq!(fault(&[2, 3]), "status 404, want 2xx or 3xx");
        assert_eq!(fault(&[2, 3, 5]), "status 404, want 2xx, 3xx or 5xx");
    }

    #[test]
    fn a_timeout_says_how_long_was_waited() {
        let after = Duration::from_secs(5);
        assert_eq!(Fault::NoConnection { after }.to_string(), "timed out after 5 s");
        assert_eq!(
            Fault::NoAnswer { after }.to_string(),
            "timed out after 5 s waiting for the answer"
        );
    }

    #[test]
    fn errors_of_the_kernel_have_the_words_of_the_operator() {
        use CheckResult::{Failure, Inconclusive};
        let said = [
            (111, "connection refused", Failure),
            (104, "connection reset", Failure),
            (113, "no route to host", Failure),
            (101, "network unreachable", Failure),
            (110, "connection timed out", Failure),
            (1, "forbidden by a firewall or policy of this host", Failure),
            (24, "this host is out of file descriptors", Inconclusive),
            (105, "this host is out of memory for sockets", Inconclusive),
            (99, "no free local address and port on this host", Inconclusive),
        ];
        for (number, words, result) in said {
            let fault = Fault::System(io::Error::from_raw_os_error(number));
            assert_eq!((fault.to_string().as_str(), fault.result()), (words, result));
        }
    }
}

//! Health checks: which backends may be given new connections, found out by asking them.
//!
//! The way of one check: `timing` says when it starts → `probe` asks (`tcp` or `http`) → `state`
//! decides by the thresholds whether the backend's health changes → [`Checker`] sends the
//! [`Change`] to whoever keeps the data plane. `timing` and `state` do no I/O. What goes wrong is
//! put into the operator's words in one place, `fault`.
//!
//! Every check is an ordinary socket in the daemon's network namespace. A backend that two
//! listeners share is checked for each of them, as their checks may differ.

mod checker;
mod fault;
mod http;
mod probe;
mod state;
mod target;
mod tcp;
#[cfg(test)]
mod tests;
mod timing;
mod watch;

pub use self::{
    checker::{Checker, Observations},
    fault::Fault,
    probe::{Endpoint, check_once},
    state::{BackendHealth, CheckResult, Health, Observed, Outcome, Thresholds, Transition},
    target::{Change, Target, TargetKey},
    timing::{Outage, Schedule, worst_case_detection},
};

//! What `slb status --json` and `slb drops --all --json` say, found by name.

use std::collections::BTreeMap;

use serde_json::Value;

/// The listeners of all instances.
pub(crate) fn listeners(status: &Value) -> impl Iterator<Item = &Value> {
    array(&status["instances"]).flat_map(|instance| array(&instance["listeners"]))
}

/// The backends of all listeners.
pub(crate) fn backends(status: &Value) -> impl Iterator<Item = &Value> {
    listeners(status).flat_map(|listener| array(&listener["backends"]))
}

/// The listener of a port.
pub(crate) fn listener(status: &Value, port: u16) -> &Value {
    listeners(status).find(|one| one["port"] == port).unwrap_or(&Value::Null)
}

/// The backend of an address on the listener of a port.
pub(crate) fn backend(status: &Value, port: u16, address: impl ToString) -> &Value {
    let address = address.to_string();
    let found = array(&listener(status, port)["backends"]).find(|one| one["address"] == address);
    found.unwrap_or(&Value::Null)
}

/// Whether there are backends and all of them are healthy.
pub(crate) fn all_healthy(status: &Value) -> bool {
    backends(status).next().is_some() && backends(status).all(|each| each["health"] == "healthy")
}

/// A number by its name.
pub(crate) fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("no number {name:?} in {of:#}"))
}

/// A number of the backends of a listener, by their addresses.
pub(crate) fn by_backend(status: &Value, port: u16, name: &str) -> BTreeMap<String, u64> {
    array(&listener(status, port)["backends"])
        .map(|one| (one["address"].as_str().unwrap_or_default().to_owned(), number(one, name)))
        .collect()
}

/// What the operator has chosen, without what happens meanwhile: every listener's scheduler, every
/// backend's weight, role and state.
pub(crate) fn settings(status: &Value) -> Vec<Vec<&Value>> {
    let listener = |one| fields(one, &["protocol", "port", "mode", "scheduler", "enabled"]);
    let backend = |one| fields(one, &["address", "port", "weight", "role", "admin"]);
    listeners(status).map(listener).chain(backends(status).map(backend)).collect()
}

fn fields<'s>(of: &'s Value, names: &[&str]) -> Vec<&'s Value> {
    names.iter().map(|name| &of[*name]).collect()
}

/// Packets that ended in a verdict.
pub(crate) fn verdict(drops: &Value, label: &str) -> u64 {
    let found = array(&drops["verdicts"]).find(|one| one["label"] == label);
    number(found.unwrap_or(&Value::Null), "packets")
}

/// The elements of a list.
pub(crate) fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

//! The daemon's counters, read from `slb status --json` and `slb drops --all --json`.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whether the status knows backends and all of them are healthy.
pub(crate) fn all_healthy(status: &Value) -> bool {
    backends(status).next().is_some() && backends(status).all(|each| each["health"] == "healthy")
}

/// Health of the backend with this address on a listener of the protocol.
pub(crate) fn health<'a>(status: &'a Value, protocol: &str, address: &str) -> Option<&'a str> {
    listeners(status)
        .filter(|listener| listener["protocol"] == protocol)
        .flat_map(|listener| array(&listener["backends"]))
        .find(|backend| backend["address"] == address)?["health"]
        .as_str()
}

/// Connections of one protocol's listeners since they were made, by the backend's address.
pub(crate) fn connections(status: &Value, protocol: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for listener in listeners(status).filter(|listener| listener["protocol"] == protocol) {
        for backend in array(&listener["backends"]) {
            let address = backend["address"].as_str().unwrap_or_default().to_owned();
            *counts.entry(address).or_default() += number(&backend["connections_total"]);
        }
    }
    counts
}

/// A counter of the listeners, summed.
pub(crate) fn of_listeners(status: &Value, counter: &str) -> u64 {
    listeners(status).map(|listener| number(&listener[counter])).sum()
}

/// The program's count of one verdict in `slb drops --all --json`.
pub(crate) fn verdict(drops: &Value, label: &str) -> u64 {
    array(&drops["verdicts"])
        .filter(|verdict| verdict["label"] == label)
        .map(|verdict| number(&verdict["packets"]))
        .sum()
}

/// The listeners of all instances.
fn listeners(status: &Value) -> impl Iterator<Item = &Value> {
    array(&status["instances"]).flat_map(|instance| array(&instance["listeners"]))
}

/// The backends of all listeners.
fn backends(status: &Value) -> impl Iterator<Item = &Value> {
    listeners(status).flat_map(|listener| array(&listener["backends"]))
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

//! The status cut into flat lists: one row per listener, one row per backend.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    error::ApiError,
    selector::ListenerSelector,
    types::{BackendStatus, Counts, InstanceStatus, ListenerStatus, Status},
};
use crate::config::model::{ForwardingMode, Scheduler};

/// Every listener, in file order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerList {
    /// One row each.
    pub listeners: Vec<ListenerRow>,
}

/// A listener without its backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerRow {
    /// Its name on the command line.
    pub listener: ListenerSelector,
    /// Addresses of its instance.
    pub vips: Vec<IpAddr>,
    /// How packets reach a backend.
    pub mode: ForwardingMode,
    /// How a new connection picks a backend.
    pub scheduler: Scheduler,
    /// False: it or its instance is stopped.
    pub enabled: bool,
    /// Number of backends.
    pub backends: usize,
    /// How many of them are healthy (or unchecked) with a weight above 0; a backup counts also
    /// while primaries take all connections.
    pub ready_backends: usize,
    /// Over all VIPs and backends.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Backends of one listener or of all, in file order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendList {
    /// One row each.
    pub backends: Vec<BackendRow>,
}

/// A backend and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRow {
    /// Its listener's name on the command line.
    pub listener: ListenerSelector,
    /// The backend itself.
    #[serde(flatten)]
    pub backend: BackendStatus,
}

impl ListenerStatus {
    /// The listener's name on the command line.
    pub fn selector(&self, instance: &InstanceStatus) -> ListenerSelector {
        let instance = instance.name.clone();
        ListenerSelector { instance, protocol: self.protocol, port: self.port.first }
    }
}

impl Status {
    /// One row per listener.
    pub fn listener_list(&self) -> ListenerList {
        let listeners = self.listeners().map(|(instance, listener)| ListenerRow {
            listener: listener.selector(instance),
            vips: instance.vips.clone(),
            mode: listener.mode,
            scheduler: listener.scheduler,
            enabled: instance.enabled && listener.enabled,
            backends: listener.backends.len(),
            ready_backends: listener.backends.iter().filter(|one| one.is_ready()).count(),
            counts: listener.counts,
        });
        ListenerList { listeners: listeners.collect() }
    }

    /// One row per backend, of `only` this listener if given.
    ///
    /// # Errors
    /// There is no such listener.
    pub fn backend_list(&self, only: Option<&ListenerSelector>) -> Result<BackendList, ApiError> {
        let named: Vec<(ListenerSelector, &ListenerStatus)> = self
            .listeners()
            .map(|(instance, listener)| (listener.selector(instance), listener))
            .collect();
        if let Some(asked) = only
            && !named.iter().any(|(selector, _)| selector == asked)
        {
            return Err(ApiError::unknown_listener(asked, named.iter().map(|(name, _)| name)));
        }
        let backends = named
            .iter()
            .filter(|(selector, _)| only.is_none_or(|asked| asked == selector))
            .flat_map(|(selector, listener)| {
                listener.backends.iter().map(|backend| BackendRow {
                    listener: selector.clone(),
                    backend: backend.clone(),
                })
            })
            .collect();
        Ok(BackendList { backends })
    }

    /// Every listener with its instance, in file order.
    pub fn listeners(&self) -> impl Iterator<Item = (&InstanceStatus, &ListenerStatus)> {
        self.instances.iter().flat_map(|instance| {
            instance.listeners.iter().map(move |listener| (instance, listener))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::samples;

    #[test]
    fn the_backends_of_one_listener_are_its_own() {
        let status = samples::status();
        let one: ListenerSelector = "shop/udp:53".parse().unwrap();
        let rows = status.backend_list(Some(&one)).unwrap().backends;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].listener, one);
        assert_eq!(status.backend_list(None).unwrap().backends.len(), 4);
    }

    #[test]
    fn asking_for_the_backends_of_an_unknown_listener_lists_the_known_ones() {
        let error =
            samples::status().backend_list(Some(&"shop/tcp:81".parse().unwrap())).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("listeners: shop/tcp:80, shop/udp:53"));
    }

    #[test]
    fn a_listener_of_a_stopped_instance_is_not_enabled() {
        let mut status = samples::status();
        assert!(status.listener_list().listeners[0].enabled);
        status.instances[0].enabled = false;
        assert!(!status.listener_list().listeners[0].enabled);
    }

    #[test]
    fn a_backend_row_is_one_flat_object() {
        let list = samples::status().backend_list(None).unwrap();
        let json = serde_json::to_value(&list).unwrap();
        assert_eq!(json["backends"][0]["listener"], "shop/tcp:80");
        assert_eq!(json["backends"][0]["address"], "10.0.1.11");
        assert_eq!(json["backends"][0]["active_connections"], 4);
        assert_eq!(serde_json::from_value::<BackendList>(json).unwrap(), list);
    }
}

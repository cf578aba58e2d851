//! What operators changed by command since the file was written. It lies over the configuration,
//! is kept on disk, and stays until the file says the same or a command takes it back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::SocketAddr,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    api::selector::ListenerSelector,
    config::model::{Backend, Config, Instance, Listener, Role},
};

/// File under `state_dir`.
pub const FILE: &str = "overlay.json";

/// The changes, by listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Overlay {
    /// By the listener's name (`INSTANCE/PROTOCOL:PORT`).
    listeners: BTreeMap<String, ListenerOverlay>,
}

/// The changes to one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ListenerOverlay {
    added: BTreeMap<SocketAddr, Added>,
    removed: BTreeSet<SocketAddr>,
    weights: BTreeMap<SocketAddr, u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Added {
    weight: u16,
    role: Role,
    /// `None`: none but what the file gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_id: Option<u16>,
}

impl Added {
    const fn of(backend: &Backend) -> Self {
        Self { weight: backend.weight, role: backend.role, server_id: backend.server_id }
    }

    /// What becomes of it on a backend that the file names.
    fn over(self, file: Self) -> Self {
        Self { server_id: self.server_id.or(file.server_id), ..self }
    }
}

impl Overlay {
    /// Reads the file; nothing if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is not what [`Overlay::write`] wrote.
    pub fn read(state_dir: &Path) -> io::Result<Self> {
        match fs::read(state_dir.join(FILE)) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        fs::create_dir_all(state_dir)?;
        let temporary = state_dir.join(format!("{FILE}.new"));
        let file = fs::File::create(&temporary)?;
        serde_json::to_writer_pretty(&file, self)?;
        file.sync_all()?;
        fs::rename(temporary, state_dir.join(FILE))
    }

    /// Writes `next`, then makes `change`, and writes this overlay again if that is refused: what
    /// is in use is never lost, and what is refused does not come back at the next start.
    ///
    /// # Errors
    /// The disk's; then `change` has not begun.
    pub async fn replaced_while<T, E>(
        &self,
        next: &Self,
        state_dir: &Path,
        change: impl Future<Output = Result<T, E>>,
    ) -> io::Result<Result<T, E>> {
        next.write(state_dir)?;
        let outcome = change.await;
        if outcome.is_err()
            && let Err(error) = self.write(state_dir)
        {
            tracing::error!("a refused change stays in {}: {error}", state_dir.display());
        }
        Ok(outcome)
    }

    /// Adds a backend; one that the file names gets this weight and role, and the server id if it
    /// has one.
    pub fn add(&mut self, listener: &ListenerSelector, backend: &Backend) {
        let own = self.of(listener);
        own.removed.remove(&backend.endpoint());
        own.weights.remove(&backend.endpoint());
        own.added.insert(backend.endpoint(), Added::of(backend));
    }

    /// Removes a backend.
    pub fn remove(&mut self, listener: &ListenerSelector, endpoint: SocketAddr) {
        let own = self.of(listener);
        own.weights.remove(&endpoint);
        own.added.remove(&endpoint);
        own.removed.insert(endpoint);
    }

    /// Sets a backend's weight.
    pub fn set_weight(&mut self, listener: &ListenerSelector, endpoint: SocketAddr, weight: u16) {
        self.of(listener).weights.insert(endpoint, weight);
    }

    fn of(&mut self, listener: &ListenerSelector) -> &mut ListenerOverlay {
        self.listeners.entry(listener.to_string()).or_default()
    }

    /// The configuration with the changes in it.
    pub fn applied_to(&self, config: &Config) -> Config {
        let mut config = config.clone();
        for instance in &mut config.instances {
            let name = instance.name.clone();
            for listener in &mut instance.listeners {
                let selector = selector(&name, listener);
                if let Some(own) = self.listeners.get(&selector.to_string()) {
                    own.apply(listener);
                }
            }
        }
        config
    }

    /// Forgets what a new file makes void: listeners that are gone, removed backends that it no
    /// longer names, and what it says itself.
    pub fn reconcile(&mut self, config: &Config) {
        let known: BTreeMap<String, BTreeMap<SocketAddr, Added>> = config
            .instances
            .iter()
            .flat_map(|instance| {
                instance.listeners.iter().map(move |listener| (instance, listener))
            })
            .map(|(instance, listener)| {
                let backends = listener.backends.iter();
                let backends = backends.map(|one| (one.endpoint(), Added::of(one))).collect();
                (selector(&instance.name, listener).to_string(), backends)
            })
            .collect();
        self.listeners.retain(|name, own| {
            let Some(backends) = known.get(name) else { return false };
            own.removed.retain(|endpoint| backends.contains_key(endpoint));
            own.added.retain(|endpoint, added| {
                backends.get(endpoint).is_none_or(|file| added.over(*file) != *file)
            });
            let added = &own.added;
            own.weights.retain(|endpoint, weight| {
                let beneath = added.get(endpoint).or_else(|| backends.get(endpoint));
                beneath.is_some_and(|beneath| beneath.weight != *weight)
            });
            *own != ListenerOverlay::default()
        });
    }
}

impl ListenerOverlay {
    fn apply(&self, listener: &mut Listener) {
        listener.backends.retain(|backend| !self.removed.contains(&backend.endpoint()));
        for (endpoint, added) in &self.added {
            let mut backends = listener.backends.iter_mut();
            match backends.find(|backend| backend.endpoint() == *endpoint) {
                Some(backend) => {
                    let Added { weight, role, server_id } = added.over(Added::of(backend));
                    *backend = Backend { weight, role, server_id, ..*backend };
                }
                None => {
                    let Added { weight, role, server_id } = *added;
                    let added = listener.backend(*endpoint, weight, role);
                    listener.backends.push(Backend { server_id, ..added });
                }
            }
        }
        for backend in &mut listener.backends {
            if let Some(weight) = self.weights.get(&backend.endpoint()) {
                backend.weight = *weight;
            }
        }
    }
}

/// The name of a listener.
pub fn selector(instance: &str, listener: &Listener) -> ListenerSelector {
    ListenerSelector {
        instance: instance.to_owned(),
        protocol: listener.protocol,
        port: listener.port,
    }
}

/// Finds a listener by its name.
pub fn find<'c>(
    config: &'c Config,
    wanted: &ListenerSelector,
) -> Option<(&'c Instance, &'c Listener)> {
    let instance = config.instances.iter().find(|instance| instance.name == wanted.instance)?;
    let listener = instance
        .listeners
        .iter()
        .find(|listener| listener.protocol == wanted.protocol && listener.port == wanted.port)?;
    Some((instance, listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = r#"
[dataplane]
interfaces = ["eth0"]
[[instance]]
name = "shop"
vips = ["10.0.0.100"]
[[instance.listener]]
protocol = "tcp"
port = 80
backends = [
  { address = "10.0.1.11", port = 8080, weight = 100 },
  { address = "10.0.1.12", port = 8080, weight = 50 },
]
"#;
        crate::config::load_str("test.toml", text).expect("a sound file").config
    }

    fn shop() -> ListenerSelector {
        "shop/tcp:80".parse().unwrap()
    }

    fn backend(endpoint: &str, weight: u16, role: Role) -> Backend {
        config().instances[0].listeners[0].backend(endpoint.parse().unwrap(), weight, role)
    }

    fn weights(config: &Config) -> Vec<(String, u16)> {
        let backends = &config.instances[0].listeners[0].backends;
        backends.iter().map(|backend| (backend.address.to_string(), backend.weight)).collect()
    }

    #[test]
    fn commands_lie_over_the_file() {
        let mut overlay = Overlay::default();
        overlay.set_weight(&shop(), "10.0.1.11:8080".parse().unwrap(), 7);
        overlay.remove(&shop(), "10.0.1.12:8080".parse().unwrap());
        overlay.add(&shop(), &backend("10.0.1.13:8080", 9, Role::Primary));
        let expected = [("10.0.1.11".to_owned(), 7), ("10.0.1.13".to_owned(), 9)];
        assert_eq!(weights(&overlay.applied_to(&config())), expected);
    }

    #[test]
    fn a_removed_backend_that_is_added_again_is_back_with_its_new_weight() {
        let mut overlay = Overlay::default();
        let endpoint = "10.0.1.12:8080".parse().unwrap();
        overlay.set_weight(&shop(), endpoint, 0);
        overlay.remove(&shop(), endpoint);
        overlay.add(&shop(), &backend("10.0.1.12:8080", 60, Role::Backup));
        let expected = [("10.0.1.11".to_owned(), 100), ("10.0.1.12".to_owned(), 60)];
        // Also after a restart, which reads the same file.
        for _ in 0..2 {
            let config = overlay.applied_to(&config());
            assert_eq!(weights(&config), expected);
            assert_eq!(config.instances[0].listeners[0].backends[1].role, Role::Backup);
            overlay.reconcile(&self::config());
        }
    }

    #[test]
    fn a_server_id_is_that_of_the_command_or_of_the_file() {
        let mut file = config();
        file.instances[0].listeners[0].backends[0].server_id = Some(3);
        let ids = |overlay: &Overlay| -> Vec<Option<u16>> {
            let config = overlay.applied_to(&file);
            config.instances[0].listeners[0].backends.iter().map(|one| one.server_id).collect()
        };
        let with =
            |endpoint, server_id| Backend { server_id, ..backend(endpoint, 7, Role::Primary) };
        let mut overlay = Overlay::default();
        overlay.add(&shop(), &with("10.0.1.13:8080", Some(5)));
        assert_eq!(ids(&overlay), [Some(3), None, Some(5)]);
        overlay.remove(&shop(), "10.0.1.11:8080".parse().unwrap());
        assert_eq!(ids(&overlay), [None, Some(5)]);
        overlay.add(&shop(), &with("10.0.1.11:8080", None));
        assert_eq!(ids(&overlay), [Some(3), None, Some(5)]);
        overlay.add(&shop(), &with("10.0.1.11:8080", Some(4)));
        overlay.reconcile(&file);
        assert_eq!(ids(&overlay), [Some(4), None, Some(5)]);
        // The file says so itself, and of the first one all but its id.
        file.instances[0].listeners[0].backends[0].weight = 7;
        overlay.add(&shop(), &with("10.0.1.11:8080", None));
        overlay.remove(&shop(), "10.0.1.13:8080".parse().unwrap());
        overlay.reconcile(&file);
        assert_eq!(overlay, Overlay::default());
    }

    #[test]
    fn what_the_file_says_itself_is_forgotten() {
        let mut overlay = Overlay::default();
        overlay.set_weight(&shop(), "10.0.1.11:8080".parse().unwrap(), 100);
        overlay.add(&shop(), &backend("10.0.1.12:8080", 50, Role::Primary));
        overlay.reconcile(&config());
        assert_eq!(overlay, Overlay::default());
    }

    #[tokio::test]
    async fn a_refused_change_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let mut before = Overlay::default();
        before.set_weight(&shop(), "10.0.1.11:8080".parse().unwrap(), 7);
        before.write(directory.path()).unwrap();
        let next = Overlay::default();
        let refused = before.replaced_while(&next, directory.path(), async {
            // On disk before it is in use.
            assert_eq!(Overlay::read(directory.path()).unwrap(), next);
            Err::<(), _>("no room")
        });
        assert_eq!(refused.await.unwrap(), Err("no room"));
        assert_eq!(Overlay::read(directory.path()).unwrap(), before);
        let done = before.replaced_while(&next, directory.path(), async { Ok::<_, ()>(()) });
        assert_eq!(done.await.unwrap(), Ok(()));
        assert_eq!(Overlay::read(directory.path()).unwrap(), next);
    }

    #[test]
    fn it_is_read_back_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Overlay::read(directory.path()).unwrap(), Overlay::default());
        let mut overlay = Overlay::default();
        overlay.set_weight(&shop(), "10.0.1.11:8080".parse().unwrap(), 7);
        overlay.write(directory.path()).unwrap();
        assert_eq!(Overlay::read(directory.path()).unwrap(), overlay);
    }

    #[test]
    fn a_new_file_makes_void_what_it_no_longer_has() {
        let mut overlay = Overlay::default();
        overlay.set_weight(&shop(), "10.0.1.11:8080".parse().unwrap(), 7);
        overlay.remove(&shop(), "10.0.1.99:8080".parse().unwrap());
        overlay.set_weight(&"gone/tcp:80".parse().unwrap(), "10.0.1.11:8080".parse().unwrap(), 7);
        overlay.reconcile(&config());
        let mut expected = Overlay::default();
        expected.set_weight(&shop(), "10.0.1.11:8080".parse().unwrap(), 7);
        assert_eq!(overlay, expected);
    }
}

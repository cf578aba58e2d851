//! Commands: looked at, decided, done, answered.

use std::net::SocketAddr;

use std::time::Duration;

use super::{differences, state::State};
use crate::{
    api::{
        ApiError, BackendSelector, ChangeReport, Command, ListenerSelector, TemplateFilter,
        TemplateFlush, TemplateList, Warning,
        command::{BackendAdd, BackendDrain, BackendRemove, BackendSetWeight},
    },
    bpf,
    config::{
        self,
        model::{Backend, Config, Family, ForwardingMode, Listener, SharedServerId},
    },
    maps::Operation,
    overlay::{Overlay, find, selector},
    status,
};

/// Answers one command.
pub(super) async fn answer(state: &mut State, command: Command) {
    let internal = |error: bpf::Error| ApiError::internal(error.to_string());
    match command {
        Command::Status(reply) => {
            let status = state.with_view(|view| status::status(view, &state.reconciler));
            // Nobody waiting any more is no error, here and below.
            let _ = reply.send(status.map_err(internal));
        }
        Command::Connections(filter, reply) => {
            let _ = reply.send(Ok(status::connections(&state.reconciler, &filter)));
        }
        Command::Verdicts(reply) => {
            let _ = reply.send(status::verdicts(&state.reconciler).map_err(internal));
        }
        Command::Templates(filter, reply) => {
            let _ = reply.send(templates(state, &filter));
        }
        Command::TemplatesFlush(flush, reply) => {
            let _ = reply.send(templates_flush(state, &flush));
        }
        Command::Blackholes(reply) => {
            let _ = reply.send(Ok(state.blackhole_list()));
        }
        Command::BlackholeRelease(release, reply) => {
            let _ = reply.send(state.blackhole_release(&release));
        }
        Command::Reload(reply) => {
            let _ = reply.send(reload(state).await);
        }
        Command::BackendAdd(add, reply) => {
            let _ = reply.send(backend_add(state, &add).await);
        }
        Command::BackendRemove(remove, reply) => {
            let _ = reply.send(backend_remove(state, &remove).await);
        }
        Command::BackendDrain(drain, reply) => {
            let _ = reply.send(backend_drain(state, drain).await);
        }
        Command::BackendSetWeight(change, reply) => {
            let _ = reply.send(backend_set_weight(state, &change).await);
        }
    }
}

/// Persistence templates of listeners that there are.
fn templates(state: &State, filter: &TemplateFilter) -> Result<TemplateList, ApiError> {
    if let Some(wanted) = &filter.listener {
        listener(state, wanted)?;
    }
    let list = status::templates::list(&state.reconciler, filter);
    list.map_err(|error| ApiError::internal(error.to_string()))
}

fn templates_flush(state: &mut State, flush: &TemplateFlush) -> Result<ChangeReport, ApiError> {
    let filter = flush.filter()?;
    if let Some(wanted) = &filter.listener {
        listener(state, wanted)?;
    }
    let flushed = status::templates::matching(&state.reconciler, &filter)
        .and_then(|found| state.reconciler.flush_templates(&found))
        .map_err(|error| ApiError::internal(error.to_string()))?;
    tracing::info!(flushed, "persistence forgot clients");
    let changes = match flushed {
        0 => Vec::new(),
        1 => vec!["1 template flushed".to_owned()],
        more => vec![format!("{more} templates flushed")],
    };
    Ok(ChangeReport { changes, warnings: Vec::new() })
}

/// Reads the file again and takes it into use; a bad file changes nothing.
pub(super) async fn reload(state: &mut State) -> Result<ChangeReport, ApiError> {
    let mut checked = config::load(&state.file).map_err(|found| ApiError::from(&found))?;
    if !state.interfaces_given.is_empty() {
        checked.config.dataplane.interfaces.clone_from(&state.interfaces_given);
    }
    differences::needs_restart(&state.configured, &checked.config)?;
    let mut overlay = state.overlay.clone();
    overlay.reconcile(&checked.config);
    let config = overlay.applied_to(&checked.config);
    server_ids_are_clear(&config)?;
    let mut report = take(state, config, overlay).await?;
    state.configured = checked.config;
    report.warnings.extend(checked.warnings.iter().map(Warning::from));
    Ok(report)
}

async fn backend_add(state: &mut State, add: &BackendAdd) -> Result<ChangeReport, ApiError> {
    let (_, listener) = listener(state, &add.listener)?;
    let endpoint = add.backend.0;
    if listener.backends.iter().any(|backend| backend.endpoint() == endpoint) {
        let message = format!("listener {} has a backend {endpoint} already", add.listener);
        return Err(
            ApiError::refused(message).with_hint("`slb backend set-weight` changes its weight")
        );
    }
    let vips = state.config.instances.iter().flat_map(|instance| &instance.vips);
    if vips.into_iter().any(|vip| *vip == endpoint.ip()) {
        let message = format!("{} is a VIP and cannot be a backend", endpoint.ip());
        return Err(ApiError::refused(message).with_hint("give the address of the real server"));
    }
    if let Some((message, hint)) = unfit(listener, endpoint, &state.config) {
        return Err(ApiError::refused(message).with_hint(hint));
    }
    let mut overlay = state.overlay.clone();
    let backend = listener.backend(endpoint, add.weight, add.role);
    overlay.add(&add.listener, &Backend { server_id: add.server_id, ..backend });
    server_ids_are_clear(&overlay.applied_to(&state.configured))?;
    overlay_changed(state, overlay).await
}

/// Why a listener cannot take a backend that `slb check` would refuse in its file.
fn unfit(
    listener: &Listener,
    endpoint: SocketAddr,
    config: &Config,
) -> Option<(String, &'static str)> {
    let local = &config.dataplane.local_addresses;
    if let Some(own) = local.iter().find(|own| own.contains(&endpoint.ip())) {
        let message = format!("{} is one of the local addresses, {own}", endpoint.ip());
        return Some((message, "give the address of the real server"));
    }
    let mode = listener.mode;
    if !mode.sees_replies() && endpoint.port() != listener.port {
        let message = format!("mode {mode} keeps the port, which is {}", listener.ports());
        return Some((message, "give the backend the listener's port, of a range the first one"));
    }
    let family = Family::of(endpoint.ip());
    if mode == ForwardingMode::FullNat && !local.iter().any(|own| Family::of(own.addr()) == family)
    {
        let message = format!("mode fullnat has no {family} local address");
        return Some((message, "add one to dataplane.local_addresses and restart slbd"));
    }
    None
}

/// Refuses two backends of one server id, of which a command has added at least one: `slb check`
/// sees those of the file.
fn server_ids_are_clear(config: &Config) -> Result<(), ApiError> {
    for instance in &config.instances {
        for listener in &instance.listeners {
            if let Some(SharedServerId { id, other, backend }) =
                listener.shared_server_ids().first()
            {
                let name = selector(&instance.name, listener);
                let message = format!("{other} and {backend} of {name} both have server id {id}");
                return Err(ApiError::refused(message).with_hint("a server id names one backend"));
            }
        }
    }
    Ok(())
}

async fn backend_remove(
    state: &mut State,
    remove: &BackendRemove,
) -> Result<ChangeReport, ApiError> {
    let slots: Vec<u32> = slots_of(state, &remove.listener, remove.backend);
    let mut report = match known(state, &remove.listener, remove.backend) {
        Ok(()) => {
            let mut overlay = state.overlay.clone();
            overlay.remove(&remove.listener, remove.backend.0);
            not_the_last(state, &remove.listener, &overlay, remove.force)?;
            overlay_changed(state, overlay).await?
        }
        // It was removed before and drains.
        Err(_) if remove.now && !slots.is_empty() => ChangeReport::default(),
        Err(unknown) => return Err(unknown),
    };
    if remove.now {
        let slots = slots.into_iter().collect();
        let cut = state.cut(&slots, |_| true);
        let cut = cut.map_err(|error: bpf::Error| ApiError::internal(error.to_string()))?;
        report.changes.push(format!("{cut} connections cut"));
    }
    Ok(report)
}

async fn backend_drain(state: &mut State, drain: BackendDrain) -> Result<ChangeReport, ApiError> {
    let BackendDrain { listener: selector, backend, timeout_s, force } = drain;
    let default = listener(state, &selector)?.1.drain_timeout;
    let timeout = timeout_s.map_or(default, Duration::from_secs);
    let change = BackendSetWeight { listener: selector.clone(), backend, weight: 0, force };
    let mut report = backend_set_weight(state, &change).await?;
    let slots = slots_of(state, &selector, backend);
    state.order_drain(&slots, timeout);
    let seconds = timeout.as_secs();
    report.changes.push(format!("its connections may go on for {seconds} s, then they are cut"));
    Ok(report)
}

async fn backend_set_weight(
    state: &mut State,
    change: &BackendSetWeight,
) -> Result<ChangeReport, ApiError> {
    known(state, &change.listener, change.backend)?;
    let mut overlay = state.overlay.clone();
    overlay.set_weight(&change.listener, change.backend.0, change.weight);
    if change.weight == 0 {
        not_the_last(state, &change.listener, &overlay, change.force)?;
    }
    overlay_changed(state, overlay).await
}

/// Takes a changed overlay into use and writes it down.
async fn overlay_changed(state: &mut State, overlay: Overlay) -> Result<ChangeReport, ApiError> {
    let config = overlay.applied_to(&state.configured);
    take(state, config, overlay).await
}

async fn take(
    state: &mut State,
    config: Config,
    overlay: Overlay,
) -> Result<ChangeReport, ApiError> {
    let changes = differences::changes(&state.config, &config);
    let (before, directory) = (state.overlay.clone(), state.configured.daemon.state_dir.clone());
    let adopted = before.replaced_while(&overlay, &directory, state.adopt(config)).await;
    let adopted = adopted.map_err(|error| {
        ApiError::internal(format!("the change cannot be kept on disk: {error}"))
            .with_hint("nothing was changed; is daemon.state_dir writable and not full?")
    })?;
    let (operations, problems) = adopted.map_err(|error| ApiError::refused(error.to_string()))?;
    state.overlay = overlay;
    let rings = operations.iter().filter(|op| matches!(op, Operation::FillRing { .. })).count();
    tracing::info!(changes = changes.len(), writes = operations.len(), rings, "changed");
    let warning = |message| Warning { place: None, message, hint: None };
    Ok(ChangeReport { changes, warnings: problems.into_iter().map(warning).collect() })
}

fn listener<'s>(
    state: &'s State,
    wanted: &ListenerSelector,
) -> Result<(String, &'s Listener), ApiError> {
    match find(&state.config, wanted) {
        Some((instance, listener)) => Ok((instance.name.clone(), listener)),
        None => {
            let known: Vec<ListenerSelector> = state
                .config
                .instances
                .iter()
                .flat_map(|instance| {
                    instance.listeners.iter().map(|listener| selector(&instance.name, listener))
                })
                .collect();
            Err(ApiError::unknown_listener(wanted, &known))
        }
    }
}

/// Refuses a backend that the listener does not have.
fn known(
    state: &State,
    wanted: &ListenerSelector,
    backend: BackendSelector,
) -> Result<(), ApiError> {
    let (_, listener) = listener(state, wanted)?;
    let mut endpoints = listener.backends.iter().map(Backend::endpoint);
    if endpoints.clone().any(|endpoint| endpoint == backend.0) {
        return Ok(());
    }
    Err(ApiError::unknown_backend(wanted, backend, &mut endpoints))
}

/// Refuses to take the last usable backend of a family from a listener, unless told to.
fn not_the_last(
    state: &State,
    wanted: &ListenerSelector,
    overlay: &Overlay,
    force: bool,
) -> Result<(), ApiError> {
    if force {
        return Ok(());
    }
    let usable = |config: &Config, family: Family| {
        let services = crate::plan::desired::desired(config, &state.circumstances);
        services.iter().any(|service| {
            service.instance == wanted.instance
                && service.protocol == wanted.protocol
                && service.port == wanted.port
                && service.family == family
                && service.backends.iter().any(|backend| backend.usable)
        })
    };
    let after = overlay.applied_to(&state.configured);
    for family in [Family::V4, Family::V6] {
        if usable(&state.config, family) && !usable(&after, family) {
            let message = format!("listener {wanted} would have no usable {family} backend left");
            return Err(ApiError::refused(message)
                .with_hint("nothing was changed; --force does it all the same"));
        }
    }
    Ok(())
}

/// Slots that a backend of a listener has now.
fn slots_of(state: &State, wanted: &ListenerSelector, backend: BackendSelector) -> Vec<u32> {
    let services = state.reconciler.services.iter().filter(|(_, service)| {
        service.instance == wanted.instance
            && service.protocol == wanted.protocol
            && service.port == wanted.port
    });
    services
        .flat_map(|(id, _)| state.reconciler.applied.slots(*id))
        .filter(|(_, applied)| applied.endpoint == backend.0)
        .map(|(slot, _)| slot)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why this backend cannot be added to a listener of that mode and port.
    fn why(mode: &str, port: &str, endpoint: &str) -> Option<String> {
        let text = format!(
            "[dataplane]\ninterfaces = [\"eth0\"]\nlocal_addresses = [\"100.64.0.0/28\"]\n\
             [[instance]]\nname = \"shop\"\nvips = [\"10.0.0.100\", \"fd00::100\"]\n\
             [[instance.listener]]\nprotocol = \"tcp\"\nport = {port}\nmode = \"{mode}\"\n\
             backends = [{{ address = \"10.0.1.11\" }}]\n"
        );
        let config = config::load_str("slb.toml", &text).unwrap().config;
        let listener = &config.instances[0].listeners[0];
        unfit(listener, endpoint.parse().unwrap(), &config).map(|(message, _)| message)
    }

    #[test]
    fn a_backend_that_its_listener_cannot_reach_is_not_added() {
        let keeps =
            |mode: &str, ports: &str| Some(format!("mode {mode} keeps the port, which is {ports}"));
        assert_eq!(why("dr", "80", "10.0.1.12:8080"), keeps("dr", "80"));
        assert_eq!(why("tunnel", "\"80-90\"", "[fd01::12]:81"), keeps("tunnel", "80-90"));
        let none = Some("mode fullnat has no IPv6 local address".to_owned());
        assert_eq!(why("fullnat", "80", "[fd01::12]:80"), none);
        let local = Some("100.64.0.3 is one of the local addresses, 100.64.0.0/28".to_owned());
        assert_eq!(why("nat", "80", "100.64.0.3:80"), local);
    }

    #[test]
    fn a_backend_that_its_listener_can_reach_is_added() {
        assert_eq!(why("nat", "\"80-90\"", "10.0.1.12:8080"), None);
        assert_eq!(why("dr", "80", "10.0.1.12:80"), None);
        assert_eq!(why("tunnel", "\"80-90\"", "[fd01::12]:80"), None);
        assert_eq!(why("fullnat", "80", "10.0.1.12:8080"), None);
    }
}

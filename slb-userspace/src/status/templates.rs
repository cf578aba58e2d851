//! Persistence templates with the names of their listeners and backends.

use std::{cmp::Reverse, collections::HashMap, net::SocketAddr};

use slb_common::connection::TICK_SHIFT;

use crate::{
    api::{ClientMatch, ListenerSelector, TemplateFilter, TemplateList, TemplateRow},
    bpf::Error,
    config::model::Family,
    maps::{table::tick, templates::Found},
    reconciler::Reconciler,
};

/// Listeners by the family, group and prefix length of their templates.
type Listeners = HashMap<(Family, u16, u8), Vec<ListenerSelector>>;

/// What a filter lets through, those first that are remembered longest.
///
/// # Errors
/// The kernel's.
pub fn list(reconciler: &Reconciler, filter: &TemplateFilter) -> Result<TemplateList, Error> {
    let (now, listeners) = (tick(), listeners(reconciler));
    let mut found = matching(reconciler, filter)?;
    let matching = found.len() as u64;
    found.sort_by_key(|one| (Reverse(one.life.connections()), Reverse(one.life.tick()), one.key));
    found.truncate(filter.shown_at_most());
    let templates = found.iter().filter_map(|one| {
        Some(TemplateRow {
            client: ClientMatch(one.client),
            listeners: listeners.get(&group(one))?.clone(),
            backend: backend(reconciler, one)?,
            connections: one.life.connections(),
            expires_in_s: expires_in(one, now),
        })
    });
    let templates = templates.collect();
    let kernel = &reconciler.kernel().templates;
    let without_template = kernel.without(Family::V4)? + kernel.without(Family::V6)?;
    Ok(TemplateList { matching, without_template, templates })
}

/// Templates that a filter means: of listeners that there are, with a backend that there is.
///
/// # Errors
/// The kernel's.
pub fn matching(reconciler: &Reconciler, filter: &TemplateFilter) -> Result<Vec<Found>, Error> {
    let (now, listeners) = (tick(), listeners(reconciler));
    let of_listener = |one: &Found| {
        let Some(names) = listeners.get(&group(one)) else { return false };
        filter.listener.as_ref().is_none_or(|wanted| names.contains(wanted))
    };
    let mut found = Vec::new();
    for family in [Family::V4, Family::V6] {
        let all = reconciler.kernel().templates.all(family)?;
        found.extend(all.into_iter().filter(|one| {
            of_listener(one)
                && filter.client.is_none_or(|wanted| wanted.meets(&one.client))
                && !one.life.expired(now, one.target.timeout())
                && backend(reconciler, one).is_some()
        }));
    }
    Ok(found)
}

fn group(template: &Found) -> (Family, u16, u8) {
    (template.family, template.group, template.client.prefix_len())
}

fn listeners(reconciler: &Reconciler) -> Listeners {
    let mut listeners = Listeners::new();
    for (id, service) in &reconciler.services {
        let Some(applied) = reconciler.applied.services.get(id) else { continue };
        let persistence = applied.service.persistence;
        if persistence.prefix != 0 {
            let key = (service.family, persistence.group, persistence.prefix);
            listeners.entry(key).or_default().push(ListenerSelector {
                instance: service.instance.clone(),
                protocol: service.protocol,
                port: service.port,
            });
        }
    }
    listeners
}

/// The backend that a template names; a slot that was freed since names none.
fn backend(reconciler: &Reconciler, template: &Found) -> Option<SocketAddr> {
    let applied = reconciler.applied.backends.get(&template.target.slot())?;
    (applied.backend.generation == template.target.generation()).then_some(applied.endpoint)
}

/// Seconds that a template without connections has left.
fn expires_in(template: &Found, now: u32) -> Option<u64> {
    if template.life.connections() > 0 {
        return None;
    }
    let end = template.life.tick().wrapping_add(template.target.timeout());
    let ticks = end.wrapping_sub(now).cast_signed().max(0).unsigned_abs();
    Some((u64::from(ticks) << TICK_SHIFT) / 1_000_000_000)
}

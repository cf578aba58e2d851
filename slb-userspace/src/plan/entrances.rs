//! What packets come in by: the bits that stand for addresses, and the ports of VIPs that lead to
//! services.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use slb_common::service::SERVICE_STOPPED;

use super::{applied::Applied, desired::DesiredService, diff::NoRoom};
use crate::{
    config::model::{Family, Protocol},
    maps::operation::{Addresses, Operation, Virtual},
};

/// Writes of one bitmap around a change.
pub(super) struct Bits {
    /// Before it: bits of what is to come are set.
    pub(super) widened: Option<Operation>,
    /// After it: bits of what has gone are cleared.
    pub(super) narrowed: Option<Operation>,
}

impl Bits {
    fn between(which: Addresses, before: &BTreeSet<IpAddr>, after: &BTreeSet<IpAddr>) -> Self {
        let both: BTreeSet<IpAddr> = before | after;
        let write = |addresses: &BTreeSet<IpAddr>| Operation::SetAddresses {
            which,
            addresses: addresses.iter().copied().collect(),
        };
        Self {
            widened: (both != *before).then(|| write(&both)),
            narrowed: (both != *after).then(|| write(after)),
        }
    }
}

/// Bits of all VIPs that packets may still belong to.
pub(super) fn vips(
    applied: &Applied,
    desired: &[DesiredService],
    ids: &[u16],
    room: u32,
) -> Result<Bits, NoRoom> {
    let mut after: BTreeSet<IpAddr> =
        desired.iter().flat_map(|service| service.vips.iter().copied()).collect();
    // VIPs of services that still drain have no lead any more: their bits stay as they are.
    let kept: BTreeSet<u16> = ids.iter().copied().collect();
    if applied.services.keys().any(|id| !kept.contains(id)) {
        after.extend(&applied.vips);
    }
    if after.union(&applied.vips).count() > room as usize {
        return Err(NoRoom::Vips(room));
    }
    Ok(Bits::between(Addresses::Vips, &applied.vips, &after))
}

/// Bits of all backends that packets may still belong to.
pub(super) fn backends(applied: &Applied, desired: &[DesiredService]) -> Bits {
    let wanted = desired.iter().flat_map(|service| &service.backends);
    let after = wanted
        .map(|backend| backend.endpoint.ip())
        .chain(applied.backends.values().map(|applied| applied.endpoint.ip()))
        .collect();
    Bits::between(Addresses::Backends, &applied.backend_addresses, &after)
}

/// Changes of what leads to services.
pub(super) struct Leads {
    /// Nobody may come this way any more.
    pub(super) removed: Vec<Operation>,
    /// New ways, and old ones that lead elsewhere.
    pub(super) added: Vec<Operation>,
    /// Blocks of ports whose ports are in other blocks now.
    pub(super) replaced: Vec<Operation>,
}

impl Leads {
    pub(super) fn of(
        applied: &Applied,
        desired: &[DesiredService],
        ids: &[u16],
        room: u32,
    ) -> Result<Self, NoRoom> {
        let wanted: BTreeMap<Virtual, u16> = desired
            .iter()
            .zip(ids)
            .flat_map(|(service, id)| virtuals(service).map(|from| (from, *id)))
            .collect();
        for family in [Family::V4, Family::V6] {
            let ports = wanted.keys().filter(|from| !from.of_range);
            let count = ports.filter(|from| Family::of(from.vip) == family).count();
            if count > room as usize {
                return Err(NoRoom::Leads(room));
            }
        }
        // Old blocks and new ones are there together for a while.
        let both = applied.leads.keys().filter(|from| !wanted.contains_key(from));
        if both.chain(wanted.keys()).filter(|from| from.of_range).count() > room as usize {
            return Err(NoRoom::Ranges(room));
        }
        let gone = applied.leads.keys().filter(|from| !wanted.contains_key(from));
        // A port that goes from one block to another must not be without either meanwhile.
        let (replaced, removed): (Vec<&Virtual>, Vec<&Virtual>) =
            gone.partition(|from| wanted.keys().any(|other| other.overlaps(from)));
        let unlead = |from: Vec<&Virtual>| {
            from.into_iter().map(|from| Operation::Unlead { from: *from }).collect()
        };
        let (replaced, removed) = (unlead(replaced), unlead(removed));
        let added = wanted
            .into_iter()
            .filter(|(from, service)| applied.leads.get(from) != Some(service))
            .map(|(from, service)| Operation::Lead { from, service })
            .collect();
        Ok(Self { removed, added, replaced })
    }
}

/// Writes about VIPs for which nothing is answered, around a change.
pub(super) struct Silence {
    /// Before anything leads to a listener that is not stopped.
    pub(super) ended: Vec<Operation>,
    /// After the last listener of a VIP has been stopped.
    pub(super) begun: Vec<Operation>,
}

impl Silence {
    /// A VIP is silent if it has listeners and all of them are stopped.
    pub(super) fn of(applied: &Applied, desired: &[DesiredService]) -> Self {
        let vips = |stopped: bool| -> BTreeSet<IpAddr> {
            let of_kind =
                move |service: &&DesiredService| (service.flags & SERVICE_STOPPED != 0) == stopped;
            desired.iter().filter(of_kind).flat_map(|service| service.vips.clone()).collect()
        };
        let silent = &vips(true) - &vips(false);
        let change = |of: BTreeSet<IpAddr>, operation: fn(IpAddr) -> Operation| {
            of.into_iter().map(operation).collect()
        };
        Self {
            ended: change(&applied.stopped_vips - &silent, |vip| Operation::StartVip { vip }),
            begun: change(&silent - &applied.stopped_vips, |vip| Operation::StopVip { vip }),
        }
    }
}

/// Every port or block of ports of a VIP that leads to a service.
pub(super) fn virtuals(service: &DesiredService) -> impl Iterator<Item = Virtual> {
    let (port, last_port, protocol) = (service.port, service.last_port, service.protocol);
    service.vips.iter().flat_map(move |vip| entrances(*vip, (port, last_port), protocol))
}

/// Services that have ports of a service's range: its own, if the range was another one before.
pub(super) fn overlapping(
    applied: &Applied,
    service: &DesiredService,
) -> impl Iterator<Item = u16> {
    let wanted: Vec<Virtual> = virtuals(service).filter(|from| from.of_range).collect();
    let ranges = applied.leads.iter().filter(|(from, _)| from.of_range);
    ranges.filter_map(move |(from, id)| wanted.iter().any(|one| one.overlaps(from)).then_some(*id))
}

/// What a VIP's ports, first and last, come in by.
pub fn entrances(vip: IpAddr, ports: (u16, u16), protocol: Protocol) -> Vec<Virtual> {
    let (port, last_port) = ports;
    match port == last_port {
        true => vec![Virtual::port(vip, port, protocol)],
        false => Virtual::range(vip, port, last_port, protocol).collect(),
    }
}

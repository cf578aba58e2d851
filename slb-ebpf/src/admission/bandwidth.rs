//! Bandwidth: packets above it are dropped. Only services that have one pay for it.

use slb_common::{
    admission::Reason,
    service::{Bandwidth, SERVICE_METERED, Service},
};

use super::{refuse, reserve};
use crate::{
    connections::store::Side,
    maps::{self, INSTANCES, METERS_INSTANCES, METERS_SERVICES, service_of},
    packet::Step,
    verified,
};

/// Lets a packet of a service pass, or drops it: `bytes` from its network header on.
#[inline(always)]
pub fn pass(id: u16, side: Side, bytes: u64) -> Step<()> {
    match service_of(id) {
        Some(service) if service.flags & SERVICE_METERED != 0 => {
            match verified::meter(id, side, bytes) {
                true => Ok(()),
                false => Err(refuse(id, Reason::Bandwidth)),
            }
        }
        _ => Ok(()),
    }
}

/// True if a packet is within the bandwidth of its service, or of its instance where the service
/// has none of its own in this direction.
#[inline(always)]
pub fn within(id: u16, service: &Service, side: Side, bytes: u64) -> bool {
    let now = maps::units();
    let own = rate(&service.bandwidth, side);
    if own != 0 {
        let Some(meter) = METERS_SERVICES.get_ptr_mut(u32::from(id)) else { return true };
        // SAFETY: the map gave the pointer; the fields are aligned words.
        return unsafe {
            let word = match side {
                Side::Vip => &raw mut (*meter).inbound,
                Side::Backend => &raw mut (*meter).outbound,
            };
            reserve::take_bytes(word, now, bytes, own)
        };
    }
    let instance = u32::from(service.instance);
    let Some(shared) = INSTANCES.get_ptr(instance) else { return true };
    // SAFETY: the map gave the pointer.
    let shared = rate(unsafe { &(*shared).bandwidth }, side);
    let Some(meter) = METERS_INSTANCES.get_ptr_mut(instance) else { return true };
    // SAFETY: as above.
    shared == 0
        || unsafe {
            let word = match side {
                Side::Vip => &raw mut (*meter).inbound,
                Side::Backend => &raw mut (*meter).outbound,
            };
            reserve::take_bytes(word, now, bytes, shared)
        }
}

#[inline(always)]
const fn rate(bandwidth: &Bandwidth, side: Side) -> u64 {
    match side {
        Side::Vip => bandwidth.inbound,
        Side::Backend => bandwidth.outbound,
    }
}

//! Bandwidth: packets above it are dropped. Only services that have one pay for it.

use slb_common::{
    admission::Reason,
    service::{Bandwidth, Meter, SERVICE_METERED, Service},
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
    let own = rate(&service.bandwidth, side);
    if own != 0 {
        return take(METERS_SERVICES.get_ptr_mut(u32::from(id)), side, bytes, own);
    }
    let instance = u32::from(service.instance);
    let Some(shared) = INSTANCES.get_ptr(instance) else { return true };
    // SAFETY: the map gave the pointer.
    match rate(unsafe { &(*shared).bandwidth }, side) {
        0 => true,
        shared => take(METERS_INSTANCES.get_ptr_mut(instance), side, bytes, shared),
    }
}

/// Takes a packet from the bucket that a meter has for a direction; what is not there has no limit.
#[inline(always)]
fn take(meter: Option<*mut Meter>, side: Side, bytes: u64, rate: u64) -> bool {
    let Some(meter) = meter else { return true };
    // SAFETY: the map gave the pointer; the fields are aligned words.
    unsafe {
        let word = match side {
            Side::Vip => &raw mut (*meter).inbound,
            Side::Backend => &raw mut (*meter).outbound,
        };
        reserve::take_bytes(word, maps::units(), bytes, rate)
    }
}

#[inline(always)]
const fn rate(bandwidth: &Bandwidth, side: Side) -> u64 {
    match side {
        Side::Vip => bandwidth.inbound,
        Side::Backend => bandwidth.outbound,
    }
}

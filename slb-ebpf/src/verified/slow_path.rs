//! A connection's first packet, and the scheduler.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use slb_common::Verdict;

use super::FINE;
use crate::{
    maps::service_of,
    opening::open_connection,
    packet::{Step, unknown},
    parse::link,
    pipeline,
    schedulers::{self, Draw, NOBODY, places::ServicePlaces},
};

/// Opens a connection for its first packet.
#[inline(always)]
pub fn first_packet(context: &XdpContext, ethertype: u16) -> Step<()> {
    let result = match ethertype {
        link::IPV4 => global_first_packet_v4(context.ctx),
        _ => global_first_packet_v6(context.ctx),
    };
    match unknown(u64::from(result)) as u32 {
        FINE => Ok(()),
        verdict => Err(Verdict::from_index(verdict).unwrap_or(Verdict::DropInternal)),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_first_packet_v4(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    code(pipeline::parse::<1>(&context).and_then(|(packet, _)| open_connection(&context, &packet)))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_first_packet_v6(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    code(pipeline::parse::<3>(&context).and_then(|(packet, _)| open_connection(&context, &packet)))
}

#[inline(always)]
fn code(step: Step<()>) -> u32 {
    match step {
        Ok(()) => FINE,
        Err(verdict) => verdict.index(),
    }
}

/// Draws the backend slot of a new connection; `None`: no backend is usable.
#[inline(always)]
pub fn schedule(service: u16, draw: Draw) -> Option<u32> {
    // Both numbers in one: a function takes five arguments at most.
    let packed = u64::from(draw.attempt) << 32 | u64::from(draw.refused);
    match global_schedule(u32::from(service), draw.source[0], draw.source[1], packed) {
        NOBODY => None,
        slot => Some(slot),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_schedule(service: u32, first: u64, second: u64, packed: u64) -> u32 {
    let Some(found) = service_of(service as u16) else { return NOBODY };
    let places = ServicePlaces { service: service as u16, ring: found.ring };
    let draw =
        Draw { source: [first, second], attempt: (packed >> 32) as u32, refused: packed as u32 };
    schedulers::pick(places, places.ring, draw).unwrap_or(NOBODY)
}

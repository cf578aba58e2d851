//! Global functions: the verifier checks each of them once, by itself, for all arguments, instead
//! of once for every state in which it is called. They take and return plain numbers and pointers
//! to plain structs; the safe functions around them give those their meaning. What they return is
//! unknown to the verifier, so it is made unknown to the compiler too ([`unknown`]).

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use slb_common::{Verdict, hash::Hash};

use crate::{
    connections::{
        insert::{self, New, Refused, Sighting},
        lookup,
        table::{Key, Side, Store},
    },
    maps::{Maps, ServicePlaces, service_of},
    opening::open_connection,
    packet::{Ethernet, Frame, Step, unknown},
    parse::{
        ipv4, ipv6,
        link::{self, Link},
    },
    pipeline,
    schedulers,
};

/// Result of a global function: nothing went wrong.
const FINE: u32 = u32::MAX;

/// The link header of a frame with VLAN tags: [`link::skip_tags`].
#[inline(always)]
pub fn skip_tags(frame: Frame, _untagged: Link) -> Option<Link> {
    match unknown(global_skip_tags(frame.context)) {
        0 => None,
        packed => Some(Link {
            network: (packed >> 32) as u16 & 0x1f,
            ethertype: packed as u16,
            vlan: (packed >> 16) as u16,
        }),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_skip_tags(context: *mut xdp_md) -> u64 {
    let frame = Frame::of(&XdpContext::new(context));
    let outer = Link { network: size_of::<Ethernet>() as u16, ethertype: 0, vlan: 0 };
    link::skip_tags(frame, outer).map_or(0, |link| {
        u64::from(link.network) << 32 | u64::from(link.vlan) << 16 | u64::from(link.ethertype)
    })
}

/// What lies behind IPv6 extension headers: [`ipv6::skip_extensions`].
#[inline(always)]
pub fn skip_extensions(frame: Frame, at: usize, first: u8) -> Step<(u8, usize)> {
    let packed = unknown(global_skip_extensions(frame.context, at as u32, u32::from(first)));
    match packed >> 32 {
        0 => Ok((packed as u8, (packed >> 8) as usize & 0xffff)),
        _ => Err(Verdict::from_index(packed as u32).unwrap_or(Verdict::DropInternal)),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_skip_extensions(context: *mut xdp_md, at: u32, first: u32) -> u64 {
    let frame = Frame::of(&XdpContext::new(context));
    match ipv6::skip_extensions(frame, at as usize & 0x1f, first as u8) {
        Ok((protocol, skipped)) => u64::from(protocol) | (skipped as u64) << 8,
        Err(verdict) => 1 << 32 | u64::from(verdict.index()),
    }
}

/// An endpoint behind a pointer whose size the verifier knows.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Endpoint<const W: usize>([u64; W]);

/// Finds the line of a key: [`lookup::locate`].
#[inline(always)]
pub fn locate<const W: usize>(key: &Key<'_, W>, side: Side) -> Option<u32> {
    let (client, server): (*const [u64; W], *const [u64; W]) = (key.client, key.server);
    let slot = unknown(u64::from(match W {
        1 => global_locate_v4(client.cast(), server.cast(), side as u32),
        _ => global_locate_v6(client.cast(), server.cast(), side as u32),
    })) as u32;
    (slot != FINE).then_some(slot)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_locate_v4(
    client: *const Endpoint<1>,
    server: *const Endpoint<1>,
    side: u32,
) -> u32 {
    located(client, server, side).unwrap_or(FINE)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_locate_v6(
    client: *const Endpoint<3>,
    server: *const Endpoint<3>,
    side: u32,
) -> u32 {
    located(client, server, side).unwrap_or(FINE)
}

#[inline(always)]
fn located<const W: usize>(
    client: *const Endpoint<W>,
    server: *const Endpoint<W>,
    side: u32,
) -> Option<u32> {
    // SAFETY: the verifier knows the size of what a pointer argument points to.
    let (client, server) = unsafe { (client.as_ref()?, server.as_ref()?) };
    let side = if side == Side::Vip as u32 { Side::Vip } else { Side::Backend };
    lookup::locate(Maps, &Key { client: &client.0, server: &server.0 }, side)
}

/// Sum of the words of IPv4 options: [`ipv4::sum_words`].
#[inline(always)]
pub fn sum_words(frame: Frame, at: usize, length: usize) -> u64 {
    unknown(global_sum_words(frame.context, at as u32, length as u32))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_sum_words(context: *mut xdp_md, at: u32, length: u32) -> u64 {
    let frame = Frame::of(&XdpContext::new(context));
    // The mask tells the verifier what the caller knows.
    ipv4::sum_words(frame, at as usize & 0x3ff, length as usize)
}

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
    code(pipeline::parse_v4(&context).and_then(|(packet, _)| open_connection(&context, &packet)))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_first_packet_v6(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    code(pipeline::parse_v6(&context).and_then(|(packet, _)| open_connection(&context, &packet)))
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
pub fn schedule(service: u16, source: [u64; 2], attempt: u32) -> Option<u32> {
    match global_schedule(u32::from(service), source[0], source[1], attempt) {
        FINE => None,
        slot => Some(slot),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_schedule(service: u32, first: u64, second: u64, attempt: u32) -> u32 {
    let Some(found) = service_of(service as u16) else { return FINE };
    let places = ServicePlaces { service: service as u16, ring: found.ring };
    schedulers::pick(places, places.ring, [first, second], attempt).unwrap_or(FINE)
}

/// One round of making an entry: [`insert::attempt`].
#[inline(always)]
pub fn attempt<const W: usize>(new: &New<W>, now: u32) -> Result<u32, Refused> {
    let new: *const New<W> = new;
    let outcome = unknown(match W {
        1 => global_attempt_v4(new.cast(), now),
        _ => global_attempt_v6(new.cast(), now),
    });
    match outcome >> 32 {
        0 => Ok(outcome as u32),
        1 => Err(Refused::Exists),
        2 => Err(Refused::TupleInUse),
        3 => Err(Refused::ClientFull),
        4 => Err(Refused::Full),
        _ => Err(Refused::Contended),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_attempt_v4(new: *const New<1>, now: u32) -> u64 {
    // SAFETY: as for a packet.
    let new = unsafe { new.as_ref() };
    packed(new.map_or(Err(Refused::Contended), |new| insert::attempt(Maps, new, now)))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_attempt_v6(new: *const New<3>, now: u32) -> u64 {
    // SAFETY: as for a packet.
    let new = unsafe { new.as_ref() };
    packed(new.map_or(Err(Refused::Contended), |new| insert::attempt(Maps, new, now)))
}

#[inline(always)]
fn packed(outcome: Result<u32, Refused>) -> u64 {
    match outcome {
        Ok(slot) => u64::from(slot),
        Err(refused) => (refused as u64) << 32,
    }
}

/// Looks at one bucket for a new entry.
#[inline(always)]
pub fn sight<const W: usize>(hash: Hash, number: u32, new: &New<W>, now: u32) -> Sighting {
    let new: *const New<W> = new;
    Sighting(match W {
        1 => global_sight_v4(hash.first, hash.second, number, new.cast(), now),
        _ => global_sight_v6(hash.first, hash.second, number, new.cast(), now),
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_sight_v4(
    first: u32,
    second: u32,
    number: u32,
    new: *const New<1>,
    now: u32,
) -> u32 {
    // SAFETY: as for a packet.
    let new = unsafe { new.as_ref() };
    new.map_or(Sighting::NOTHING, |new| sighted(Hash { first, second }, number, new, now)).0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_sight_v6(
    first: u32,
    second: u32,
    number: u32,
    new: *const New<3>,
    now: u32,
) -> u32 {
    // SAFETY: as for a packet.
    let new = unsafe { new.as_ref() };
    new.map_or(Sighting::NOTHING, |new| sighted(Hash { first, second }, number, new, now)).0
}

#[inline(always)]
fn sighted<const W: usize>(hash: Hash, number: u32, new: &New<W>, now: u32) -> Sighting {
    match Store::<W>::bucket(Maps, hash.bucket(number, Store::<W>::mask(Maps))) {
        Some(bucket) => insert::sight(Maps, bucket, hash, new, now),
        None => Sighting::NOTHING,
    }
}

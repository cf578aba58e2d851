//! The connection table: finding a line, looking at a bucket, one round of making an entry.

use slb_common::hash::Hash;

use super::FINE;
use crate::{
    connections::{
        insert::{self, New, Refused},
        lookup,
        sight::{self, Sighting},
        store::{Key, Side, Store},
    },
    maps::Maps,
    packet::unknown,
};

/// An endpoint behind a pointer whose size the verifier knows.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Endpoint<const W: usize>(pub(super) [u64; W]);

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
        Some(bucket) => sight::sight(Maps, bucket, hash, new, now),
        None => Sighting::NOTHING,
    }
}

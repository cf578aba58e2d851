//! What the clients of one prefix have of a service together.

use aya_ebpf::bindings::BPF_NOEXIST;
use slb_common::{
    admission::{ClientKey, ClientState, Reason, masked},
    connection::{endpoint_address, endpoint_extra, offset},
    service::Limits,
};

use super::reserve;
use crate::{
    atomic,
    connections::line::Line,
    maps::{self, CLIENTS},
    verified,
};

/// What became of a new connection at its client's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It is counted.
    Counted,
    /// A limit is reached; it is counted only if the limits are a shadow.
    Full(Reason),
    /// The map takes no further prefix: nothing is counted.
    NoPlace,
}

/// Counts one more connection of a client's prefix.
#[inline(always)]
pub fn enter(key: &ClientKey, limits: Limits, shadow: bool) -> Entered {
    let state = match CLIENTS.get_ptr_mut(key) {
        Some(state) => state,
        None => {
            // Whoever was quicker has made it as well.
            let _ = CLIENTS.insert(key, ClientState::default(), u64::from(BPF_NOEXIST));
            match CLIENTS.get_ptr_mut(key) {
                Some(state) => state,
                None => return Entered::NoPlace,
            }
        }
    };
    // SAFETY: the map gave the pointer; an element that is evicted meanwhile stays readable and
    // writable memory of the map until the program ends. Its fields are aligned words.
    unsafe {
        let entries = &raw mut (*state).entries;
        let before = atomic::fetch_add(entries, 1) as i64;
        if limits.connections != 0 && before >= i64::from(limits.connections) {
            if !shadow {
                atomic::fetch_add(entries, u64::MAX);
            }
            return Entered::Full(Reason::ClientConnections);
        }
        let bucket = &raw mut (*state).connections;
        if limits.rate != 0 && !reserve::take_one(bucket, maps::units(), limits.rate) {
            if !shadow {
                atomic::fetch_add(entries, u64::MAX);
            }
            return Entered::Full(Reason::ClientRate);
        }
    }
    Entered::Counted
}

/// Adds `delta` to the connections of a client's prefix: one that closes is counted no more, one
/// that goes on after a RST, which must have been forged, is counted again, whatever the limit.
#[inline(always)]
pub fn count(key: &ClientKey, delta: i64) {
    let Some(state) = CLIENTS.get_ptr_mut(key) else { return };
    // SAFETY: as in `enter`.
    unsafe {
        let entries = &raw mut (*state).entries;
        // One that was evicted and came again knows nothing of the connections before.
        if delta > 0 || atomic::load(entries) as i64 > 0 {
            atomic::fetch_add(entries, delta as u64);
        }
    }
}

/// Counts the entry of a line no more, which was counted by this prefix.
#[inline(always)]
pub fn untie<const W: usize>(line: Line<W>, prefix: u8) {
    let service = endpoint_extra(&line.endpoint(offset::vip::<W>()));
    let client = endpoint_address(&line.endpoint(offset::CLIENT));
    verified::count_client(service, prefix, W == 1, client, -1);
}

/// The key of a client.
#[inline(always)]
pub fn key(service: u16, prefix: u8, v4: bool, client: [u64; 2]) -> ClientKey {
    let address = masked(client, prefix, v4);
    ClientKey { service, prefix: u16::from(prefix), reserved: 0, address }
}

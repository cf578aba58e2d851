//! qch: the backend that a QUIC connection ID names, so that a connection stays with it when its
//! client's address changes; tch where it names none.

use slb_common::service::{MAGLEV_PLACES, NO_SLOT};

use super::{Draw, Places, hash};

/// The slot of the server id; else the place that both endpoints hash to. A connection that lives
/// on one backend is nobody else's, so a further attempt asks for the same one.
#[inline(always)]
pub fn pick<P: Places>(places: P, length: u32, draw: Draw) -> Option<u32> {
    // A packet without server id has a greater number than any place.
    if length > MAGLEV_PLACES && draw.server_id < length - MAGLEV_PLACES {
        match places.slot(MAGLEV_PLACES + draw.server_id) {
            None | Some(NO_SLOT) => {}
            named => return named,
        }
    }
    hash::pick(places, MAGLEV_PLACES, draw.hash, draw.attempt)
}

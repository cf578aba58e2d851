//! One-packet scheduling: every datagram is scheduled by itself, none leaves an entry. What the
//! rest of the pipeline wants to know of a connection is put together for one packet.

use slb_common::{
    connection::{
        Control, Seen, Ties, Translation, endpoint, endpoint_address, endpoint_port, line_words,
        state,
    },
    next_hop::NextHop,
    one_packet::{CLIENT_WAYS, Reply, ReplyKey},
    service::{BACKEND_PRESENT, mode},
};

use crate::{
    atomic,
    connections::{line::Line, lookup::Entry, store::Store},
    maps::{self, Maps, backend_of},
    neighbours,
    parse::Packet,
};

/// An entry as the slow path has just put it together, in no line of the table.
#[inline(always)]
pub fn chosen<const W: usize>() -> Option<Entry<W>> {
    let new = maps::opening::<W>()?;
    Some(Entry {
        line: nowhere()?,
        number: 0,
        control: Control::new(0, 0, 0, state::UDP_SEEN),
        seen: new.seen,
        client: new.client,
        vip: new.vip,
        backend: new.backend,
        ties: Ties::NONE,
        translation: new.translation,
    })
}

/// The entry that a reply of a backend would have, if its endpoint is one of such a service.
#[inline(always)]
pub fn replied<const W: usize>(packet: &Packet<W>, now: u32) -> Option<Entry<W>> {
    let (address, port) = (endpoint_address(&packet.source), endpoint_port(&packet.source));
    let [first, second] = address;
    let reply = reply_of(first, second, u64::from(u16::from_ne_bytes(port)))?;
    let Reply { vip, slot, port: vip_port, .. } = *reply;
    // A range that goes to the same ports.
    let vip_port = if vip_port == [0; 2] { port } else { vip_port };
    let backend = backend_of(slot)?;
    if backend.flags & BACKEND_PRESENT == 0 {
        return None;
    }
    let hop = recall_way(endpoint_address(&packet.destination));
    Some(Entry {
        line: nowhere()?,
        number: 0,
        control: Control::new(0, 0, 0, state::UDP_SEEN),
        seen: Seen::new(now, slot, backend.generation),
        client: packet.destination,
        vip: endpoint(vip, vip_port, backend.service),
        backend: endpoint(address, port, hop),
        ties: Ties::NONE,
        translation: Translation::of_mode(mode::NAT),
    })
}

/// True if replies of an endpoint may be of datagrams without entry.
#[inline(always)]
pub fn answers<const W: usize>(source: &[u64; W]) -> bool {
    let [first, second] = endpoint_address(source);
    let port = u64::from(u16::from_ne_bytes(endpoint_port(source)));
    known(first, second, port) | known(first, second, 0) != 0
}

/// The same, on a stack frame of its own.
#[inline(never)]
fn known(first: u64, second: u64, port: u64) -> u32 {
    maps::ONE_PACKET_REPLIES.get_ptr(&ReplyKey { address: [first, second], port }).is_some() as u32
}

/// What is known of a backend's endpoint, on a stack frame of its own.
#[inline(never)]
fn reply_of(first: u64, second: u64, port: u64) -> Option<&'static Reply> {
    let key = ReplyKey { address: [first, second], port };
    let reply = maps::ONE_PACKET_REPLIES
        .get_ptr(&key)
        .or_else(|| maps::ONE_PACKET_REPLIES.get_ptr(&ReplyKey { port: 0, ..key }))?;
    // SAFETY: the map gave the pointer; the daemon replaces values whole, and one that it removes
    // stays readable until the program has ended.
    Some(unsafe { &*reply })
}

/// Memory for what nobody will look for.
#[inline(always)]
fn nowhere<const W: usize>() -> Option<Line<W>> {
    const { assert!(line_words::<W>() <= maps::LINE_WORDS) };
    let words = maps::NOWHERE.get_ptr_mut(0)?;
    // SAFETY: the map gave the pointer to as many words as the longest line has.
    Some(unsafe { Line::new(words.cast()) })
}

/// Notes the next hop to the client of a datagram, where no entry keeps it.
#[inline(never)]
pub fn note_way(first: u64, second: u64, hop: u16) -> u32 {
    let Some(kept) = neighbours::kept(hop) else { return 0 };
    let Some((tag, place)) = way(first, second) else { return 0 };
    let wanted = kept.words();
    // SAFETY: a place has four aligned words, whose pointer the map gave.
    unsafe {
        let seen = atomic::load(place);
        let same = seen == tag
            && atomic::load(place.add(1)) == wanted[0]
            && atomic::load(place.add(2)) == wanted[1]
            && atomic::load(place.add(3)) == wanted[2];
        if !same && atomic::compare_and_swap(place, seen, tag | WRITING) {
            atomic::store(place.add(1), wanted[0]);
            atomic::store(place.add(2), wanted[1]);
            atomic::store(place.add(3), wanted[2]);
            atomic::publish(place, tag);
        }
    }
    1
}

/// The index of the next hop to a client by which its last datagram came, 0: not known.
#[inline(always)]
fn recall_way(client: [u64; 2]) -> u16 {
    recall(client[0], client[1]) as u16
}

#[inline(never)]
fn recall(first: u64, second: u64) -> u32 {
    let Some((tag, place)) = way(first, second) else { return 0 };
    // SAFETY: as in `note_way`.
    let hop = unsafe {
        if atomic::load(place) != tag {
            return 0;
        }
        let words =
            [atomic::load(place.add(1)), atomic::load(place.add(2)), atomic::load(place.add(3))];
        // Somebody is writing.
        if atomic::load(place) != tag {
            return 0;
        }
        words
    };
    u32::from(neighbours::keep(&NextHop::of_words(hop)))
}

/// Bit of the hash of a place that is being written.
const WRITING: u64 = 1;

/// The hash of a client and its place.
#[inline(always)]
fn way(first: u64, second: u64) -> Option<(u64, *mut u64)> {
    let hash = Store::<1>::seed(Maps).hash(&[first, second]);
    let tag = (u64::from(hash.second) << 32 | u64::from(hash.first)) & !WRITING;
    let place = maps::CLIENT_WAYS.get_ptr_mut(hash.first >> 1 & (CLIENT_WAYS - 1))?;
    Some((tag, place.cast()))
}

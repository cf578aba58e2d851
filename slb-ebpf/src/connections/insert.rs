//! Making an entry. The primary bucket's word is read, the candidates are surveyed, and the swap
//! of that word from the version read both locks the bucket and proves that nobody has inserted
//! since: so a key never stands twice in the table, without a second look.

use slb_common::{
    connection::{
        BUCKETS_ALWAYS, BUCKETS_PER_CLIENT, Class, Control, ENTRIES_PER_CLIENT, Seen, WAYS, offset, state,
    },
    hash::Hash,
};

use super::{
    table::{Guard, Line, Side, Store},
    tcp_state::reopens,
    transition::{close, move_gauges},
};

/// Rounds of survey and swap before a packet gives up.
pub const ROUNDS: u32 = 8;

/// An entry to be made.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct New<const W: usize> {
    /// Client endpoint; extra: protocol.
    pub client: [u64; W],
    /// VIP endpoint; extra: service.
    pub vip: [u64; W],
    /// Backend endpoint; extra: next hop to the client.
    pub backend: [u64; W],
    /// Tick and backend slot.
    pub seen: Seen,
    /// First state.
    pub state: u8,
}

/// Why no entry was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Refused {
    /// Another packet of the connection was quicker: look it up again.
    Exists = 1,
    /// The client reaches this backend endpoint already, by another VIP.
    TupleInUse,
    /// The client endpoint has all the entries that it may have.
    ClientFull,
    /// No place is free and none can be reclaimed.
    Full,
    /// Others kept inserting into the same bucket.
    Contended,
}

/// What one bucket holds for a new entry, packed into a number: in the kernel a bucket is looked
/// at by a function that the verifier checks by itself, and a number is what that can return.
///
/// Bits: conflict 0–1 | entries of the client 8–15 | rank of the best place 16–23 | its way 24–25.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting(pub u32);

const EXISTS: u32 = 1;
const TUPLE_IN_USE: u32 = 2;
/// A line changed while it was looked at: look again.
const MOVED: u32 = 3;

impl Sighting {
    /// No place that could be taken.
    pub const NOTHING: Self = Self(rank::NEVER << 16);

    const fn conflict(self) -> u32 {
        self.0 & 3
    }

    const fn entries(self) -> u32 {
        self.0 >> 8 & 0xff
    }

    const fn rank(self) -> u32 {
        self.0 >> 16 & 0xff
    }

    const fn way(self) -> u32 {
        self.0 >> 24 & 3
    }
}

/// Places in the order in which they are taken; an established entry never is.
mod rank {
    pub(super) const FREE: u32 = 0;
    pub(super) const EXPIRED: u32 = 1;
    pub(super) const HALF_OPEN: u32 = 2;
    pub(super) const CLOSED: u32 = 3;
    pub(super) const CLOSING: u32 = 4;
    pub(super) const NEVER: u32 = 5;
}

/// The best place for a new entry.
#[derive(Clone, Copy)]
struct Place {
    rank: u32,
    number: u32,
    way: u32,
}

/// Makes an entry, or says why not.
#[inline(always)]
pub fn open<const W: usize, S: Store<W>>(store: S, new: &New<W>, now: u32) -> Result<u32, Refused> {
    let mut round = 0;
    while round < ROUNDS {
        match store.attempt(new, now) {
            Err(Refused::Contended) => {}
            outcome => return outcome,
        }
        round += 1;
    }
    Err(Refused::Contended)
}

/// One round: survey, lock, take. Returns the line: bucket × [`WAYS`] + way.
#[inline(always)]
pub fn attempt<const W: usize, S: Store<W>>(
    store: S,
    new: &New<W>,
    now: u32,
) -> Result<u32, Refused> {
    let hash = store.seed().hash(&new.client);
    let primary = store.bucket(hash.bucket(0, store.mask())).ok_or(Refused::Full)?;
    let guard = Guard::<W>::of_bucket(primary);
    let word = guard.read();
    if word.locked() {
        return Err(Refused::Contended);
    }
    let place = survey(store, hash, word.reach(), new, now)?;
    if !guard.swap(word, word.lock()) {
        return Err(Refused::Contended);
    }
    let reach = word.reach().max((place.number + 1).saturating_sub(BUCKETS_ALWAYS));
    let locked = word.lock().with_reach(reach);
    if reach != word.reach() {
        // Before the entry is published, so that whoever can meet it also looks for it here.
        guard.publish(locked);
    }
    let slot = take(store, hash, place, new, now);
    guard.publish(locked.release());
    slot.ok_or(Refused::Contended)
}

/// Looks at every place where an entry of this client may be, and for the best place for a new
/// one: past the reach only while nothing free or expired has been found.
#[inline(always)]
fn survey<const W: usize, S: Store<W>>(
    store: S,
    hash: Hash,
    reach: u32,
    new: &New<W>,
    now: u32,
) -> Result<Place, Refused> {
    let mut best = Place { rank: rank::NEVER, number: 0, way: 0 };
    let mut entries = 0;
    let mut number = 0;
    while number < BUCKETS_PER_CLIENT {
        if number >= BUCKETS_ALWAYS + reach && best.rank <= rank::EXPIRED {
            break;
        }
        let sighting = store.sight(hash, number, new, now);
        match sighting.conflict() {
            0 => {}
            EXISTS => return Err(Refused::Exists),
            TUPLE_IN_USE => return Err(Refused::TupleInUse),
            _ => return Err(Refused::Contended),
        }
        entries += sighting.entries();
        if sighting.rank() < best.rank {
            best = Place { rank: sighting.rank(), number, way: sighting.way() };
        }
        number += 1;
    }
    if entries >= ENTRIES_PER_CLIENT {
        return Err(Refused::ClientFull);
    }
    if best.rank >= rank::NEVER {
        return Err(Refused::Full);
    }
    Ok(best)
}

/// Looks at one bucket; entries in the new one's way that are over are ended.
#[inline(always)]
pub fn sight<const W: usize, S: Store<W>>(
    store: S,
    bucket: *mut u64,
    hash: Hash,
    new: &New<W>,
    now: u32,
) -> Sighting {
    let (mut best, mut best_way, mut entries) = (rank::NEVER, 0, 0);
    let mut turn = 0;
    while turn < WAYS {
        let way = hash.home_way().wrapping_add(turn) & (WAYS - 1);
        turn += 1;
        let line = Line::of_bucket(bucket, way);
        let mut control = line.control();
        if control.live() && control.tag() == hash.tag() && line.client_is(&new.client) {
            entries += 1;
            let same = line.server_is(Side::Vip, &new.vip);
            if same || line.server_is(Side::Backend, &new.backend) {
                if line.control().generation() != control.generation() {
                    // It changed hands while it was read: what was read belongs to nobody.
                    return Sighting(MOVED);
                }
                if !reopens(control.state()) && !line.expired(store, control, now) {
                    return Sighting(if same { EXISTS } else { TUPLE_IN_USE });
                }
                // The former connection of these endpoints is over: its place is free.
                if !close(store, line, control) {
                    return Sighting(MOVED);
                }
                control = Control::new(0, control.generation(), 0, state::FREE);
            }
        }
        let rank = rank_of(store, line, control, now);
        if rank < best {
            (best, best_way) = (rank, way);
        }
    }
    Sighting(entries << 8 | best << 16 | best_way << 24)
}

/// Claims the chosen place, fills it and publishes it; `None` if it is no longer what it was.
#[inline(always)]
fn take<const W: usize, S: Store<W>>(
    store: S,
    hash: Hash,
    place: Place,
    new: &New<W>,
    now: u32,
) -> Option<u32> {
    let slot = hash.bucket(place.number, store.mask()) * WAYS + place.way;
    let line = Line::of_slot(store, slot)?;
    let former = line.control();
    let former_slot = line.seen().slot();
    if rank_of(store, line, former, now) > place.rank {
        return None;
    }
    let generation = former.generation().wrapping_add(1);
    if !line.swap_control(former, Control::new(0, generation, 0, state::CLAIMED)) {
        return None;
    }
    line.set_endpoint(offset::CLIENT, &new.client);
    line.set_endpoint(offset::vip::<W>(), &new.vip);
    line.set_endpoint(offset::backend::<W>(), &new.backend);
    line.set_seen(new.seen);
    let control = Control::new(hash.tag(), generation, 0, new.state);
    line.publish(control);
    move_gauges(store, former_slot, former.class(), Class::None);
    move_gauges(store, new.seen.slot(), Class::None, control.class());
    Some(slot)
}

/// How gladly a place is taken.
#[inline(always)]
fn rank_of<const W: usize, S: Store<W>>(
    store: S,
    line: Line<W>,
    control: Control,
    now: u32,
) -> u32 {
    match control.state() {
        state::FREE => rank::FREE,
        state::CLAIMED => rank::NEVER,
        _ if line.expired(store, control, now) => rank::EXPIRED,
        state::SYN | state::UDP_NEW => rank::HALF_OPEN,
        state::TIME_WAIT | state::CLOSED => rank::CLOSED,
        state::FIN => rank::CLOSING,
        _ => rank::NEVER,
    }
}

//! Making an entry. The primary bucket's word is read, the candidates are surveyed, and the swap
//! of that word from the version read both locks the bucket and proves that nobody has inserted
//! since: so a key never stands twice in the table, without a second look.

use slb_common::{
    connection::{
        BUCKETS_ALWAYS, BUCKETS_PER_CLIENT, Class, Control, ENTRIES_PER_CLIENT, Seen, Ties,
        Translation, WAYS, offset, state,
    },
    hash::Hash,
};

use super::{
    bucket::Guard,
    line::Line,
    sight::{EXISTS, TUPLE_IN_USE, rank, rank_of},
    store::Store,
    transition::{move_gauges, untie},
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
    /// What it holds elsewhere; given back when the entry ends, or by the caller if none is made.
    pub ties: Ties,
    /// How its packets are rewritten.
    pub translation: Translation,
    /// First state.
    pub state: u8,
    /// Always 0: the verifier wants every byte written that a pointer leads to.
    pub reserved: [u8; 7],
}

const _: () = assert!(size_of::<New<1>>() == 56 && size_of::<New<3>>() == 104);

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
    if former.live() {
        untie(store, line, former.class());
    }
    line.set_endpoint(offset::CLIENT, &new.client);
    line.set_endpoint(offset::vip::<W>(), &new.vip);
    line.set_endpoint(offset::backend::<W>(), &new.backend);
    line.set_rest(new.seen, new.ties, new.translation);
    let control = Control::new(hash.tag(), generation, 0, new.state);
    // Counted before it can be met, and the former one only then no more: a slot that looks idle
    // is idle.
    move_gauges(store, new.seen.slot(), Class::None, control.class());
    line.publish(control);
    move_gauges(store, former_slot, former.class(), Class::None);
    Some(slot)
}

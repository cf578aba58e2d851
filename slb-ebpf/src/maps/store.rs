//! The connection tables in the maps, and the gauges that count their entries.

use slb_common::{
    connection::{Class, Control, Seen, endpoint_address},
    hash::{Hash, Seed},
    service::{BACKEND_DOWN, Gauges},
};

use super::{
    CONNECTIONS4, CONNECTIONS6, GAUGES, GAUGES_INSTANCES, GAUGES_SERVICES, SERVICES, backend_of,
    sequences_of, service_of,
};
use crate::{
    atomic,
    connections::{
        bucket::Bucket,
        insert::{New, Refused},
        line::Line,
        lookup::Entry,
        sight::Sighting,
        store::{Key, Side, Store},
    },
    verified,
};

/// Secret of the connection hash; the loader sets it.
#[unsafe(no_mangle)]
static SEED: Seed = Seed::fixed();
/// Buckets of the tables − 1; the loader sets them.
#[unsafe(no_mangle)]
static MASK_V4: u32 = 1023;
#[unsafe(no_mangle)]
static MASK_V6: u32 = 1023;
/// Buckets of one family in the table of fragments − 1; the loader sets it.
#[unsafe(no_mangle)]
static MASK_FRAGMENTS: u32 = 1023;

/// The connection tables in the maps.
#[derive(Clone, Copy)]
pub struct Maps;

/// A loader's value, which the compiler must not take for the initial one.
#[inline(always)]
fn constant(value: &u32) -> u32 {
    // SAFETY: a reference is valid and aligned.
    unsafe { core::ptr::read_volatile(value) }
}

/// Buckets of one family in the table of fragments − 1; their number is a power of two.
#[inline(always)]
pub fn fragment_mask() -> u32 {
    constant(&MASK_FRAGMENTS)
}

impl<const W: usize> Store<W> for Maps {
    #[inline(always)]
    fn bucket(self, index: u32) -> Option<Bucket<W>> {
        let words = if W == 1 {
            CONNECTIONS4.get_ptr_mut(index)?.cast()
        } else {
            CONNECTIONS6.get_ptr_mut(index)?.cast()
        };
        // SAFETY: the map gave the pointer to the words of one bucket of this family.
        Some(unsafe { Bucket::new(words) })
    }

    #[inline(always)]
    fn mask(self) -> u32 {
        if W == 1 { constant(&MASK_V4) } else { constant(&MASK_V6) }
    }

    #[inline(always)]
    fn seed(self) -> &'static Seed {
        &SEED
    }

    #[inline(always)]
    fn timeout(self, service: u16, state: u8) -> Option<u32> {
        service_of(service).map(|service| service.timeouts.of(state))
    }

    #[inline(always)]
    fn left(self, seen: Seen) -> bool {
        backend_of(seen.slot()).is_some_and(|backend| backend.flags & BACKEND_DOWN != 0)
    }

    #[inline(always)]
    fn locate(self, key: &Key<'_, W>, side: Side) -> Option<u32> {
        verified::locate(key, side)
    }

    #[inline(always)]
    fn want_sequences(self, number: u32) {
        if let Some(place) = sequences_of::<W>(number) {
            // SAFETY: the map gave the pointer to an aligned word.
            unsafe { atomic::load(place) };
        }
    }

    #[inline(always)]
    fn sight(self, hash: Hash, number: u32, new: &New<W>, now: u32) -> Sighting {
        verified::sight(hash, number, new, now)
    }

    #[inline(always)]
    fn attempt(self, new: &New<W>, now: u32) -> Result<u32, Refused> {
        verified::attempt(new, now)
    }

    #[inline(always)]
    fn close(self, line: Line<W>, control: Control) -> bool {
        verified::close(line, control)
    }

    #[inline(always)]
    fn untie(self, line: Line<W>, former: Class) {
        verified::untie(line, former);
    }

    #[inline(always)]
    fn count_client(self, entry: &Entry<W>, delta: i64) {
        let prefix = entry.ties.client_prefix();
        if prefix != 0 {
            let client = endpoint_address(&entry.client);
            verified::count_client(entry.service(), prefix, W == 1, client, delta);
        }
    }

    #[inline(always)]
    fn adjust(self, slot: u32, class: Class, delta: i64) {
        verified::adjust(slot, class, delta);
    }
}

/// Moves the gauges of a backend slot, its service and its instance.
#[inline(always)]
pub fn adjust(slot: u32, class: Class, delta: i64) {
    let Some(backend) = backend_of(slot) else { return };
    let service = u32::from(backend.service);
    add(GAUGES.get_ptr_mut(slot), class, delta);
    add(GAUGES_SERVICES.get_ptr_mut(service), class, delta);
    if let Some(service) = SERVICES.get_ptr(service) {
        // SAFETY: the map gave the pointer.
        let instance = u32::from(unsafe { (*service).instance });
        add(GAUGES_INSTANCES.get_ptr_mut(instance), class, delta);
    }
}

#[inline(always)]
fn add(gauges: Option<*mut Gauges>, class: Class, delta: i64) {
    let Some(gauges) = gauges else { return };
    // SAFETY: a map gave the pointer; the fields of `Gauges` are aligned words.
    unsafe {
        let gauge = match class {
            Class::None => return,
            Class::Active => &raw mut (*gauges).active,
            Class::Opening => &raw mut (*gauges).opening,
            Class::Closing => &raw mut (*gauges).closing,
        };
        atomic::fetch_add(gauge, delta as u64);
    }
}

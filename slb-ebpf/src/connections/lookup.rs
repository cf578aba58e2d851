//! Finding the connection of a packet: one bucket in nearly all cases, no lock, nothing written.

use slb_common::connection::{
    BUCKETS_ALWAYS, BUCKETS_PER_CLIENT, Control, Seen, Ties, Translation, WAYS, endpoint_extra,
    offset,
};

use super::{
    bucket::Guard,
    line::Line,
    store::{Key, Side, Store},
};
use crate::parse::TCP;

/// A connection as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<const W: usize> {
    /// Its place.
    pub line: Line<W>,
    /// The same as a number: bucket × [`WAYS`] + way.
    pub number: u32,
    /// Its control word then.
    pub control: Control,
    /// Last sight and backend slot.
    pub seen: Seen,
    /// Client endpoint; extra: protocol.
    pub client: [u64; W],
    /// VIP endpoint; extra: service.
    pub vip: [u64; W],
    /// Backend endpoint; extra: next hop to the client.
    pub backend: [u64; W],
    /// What it holds elsewhere.
    pub ties: Ties,
    /// How its packets are rewritten.
    pub translation: Translation,
}

impl<const W: usize> Entry<W> {
    /// Service id.
    #[inline(always)]
    pub const fn service(&self) -> u16 {
        endpoint_extra(&self.vip)
    }

    /// Index of the next hop to the client; 0: none was kept.
    #[inline(always)]
    pub const fn client_hop(&self) -> u16 {
        endpoint_extra(&self.backend)
    }

    /// Keeps another next hop to the client, if the line is still this connection's.
    #[inline(always)]
    pub fn set_client_hop(&self, hop: u16) {
        if self.line.control().generation() == self.control.generation() {
            self.line.set_client_hop(hop);
        }
    }

    /// Copies a line; `None` if it changed hands meanwhile.
    #[inline(always)]
    fn copy(line: Line<W>, number: u32, control: Control) -> Option<Self> {
        let entry = Self {
            line,
            number,
            control,
            seen: line.seen(),
            client: line.endpoint(offset::CLIENT),
            vip: line.endpoint(offset::vip::<W>()),
            backend: line.endpoint(offset::backend::<W>()),
            ties: line.ties(),
            translation: line.translation(),
        };
        let after = line.control();
        let same = after.generation() == control.generation() && after.live();
        same.then_some(Self { control: after, ..entry })
    }

    /// The entry, if its time is not over.
    #[inline(always)]
    fn unless_expired<S: Store<W>>(self, store: S, now: u32) -> Option<Self> {
        (!self.line.expired(store, self.control, now)).then_some(self)
    }
}

/// Finds the live, unexpired entry of a key.
#[inline(always)]
pub fn find<const W: usize, S: Store<W>>(
    store: S,
    key: &Key<'_, W>,
    side: Side,
    now: u32,
) -> Option<Entry<W>> {
    at(store, store.locate(key, side)?, side, key.server, now, |line| line.client_is(key.client))
}

/// The same for the hot path: three of four lie where they were to lie first, which is looked at
/// without a call.
#[inline(always)]
pub fn find_at_home<const W: usize, S: Store<W>>(
    store: S,
    key: &Key<'_, W>,
    side: Side,
    now: u32,
) -> Option<Entry<W>> {
    let hash = store.seed().hash(key.client);
    let number = hash.bucket(0, store.mask()) * WAYS + hash.home_way();
    if side == Side::Vip && endpoint_extra(key.client) == u16::from(TCP) {
        store.want_sequences(number);
    }
    let home = Line::of_slot(store, number)?;
    let control = home.control();
    if control.live() && home.client_is(key.client) && home.server_is(side, key.server) {
        return Entry::copy(home, number, control)?.unless_expired(store, now);
    }
    find(store, key, side, now)
}

/// The live, unexpired entry of a line, if it is a connection of this server endpoint and `own`
/// says that it is the one that was looked for.
#[inline(always)]
pub fn at<const W: usize, S: Store<W>>(
    store: S,
    number: u32,
    side: Side,
    server: &[u64; W],
    now: u32,
    own: impl FnOnce(Line<W>) -> bool,
) -> Option<Entry<W>> {
    let line = Line::of_slot(store, number)?;
    let control = line.control();
    // A line that changed hands since it was located is another connection's by now: the slow
    // path looks again under the bucket's lock.
    if !control.live() || !own(line) || !line.server_is(side, server) {
        return None;
    }
    Entry::copy(line, number, control)?.unless_expired(store, now)
}

/// Looks through the places of a key's client for its line: two buckets, and further ones only as
/// far as the primary bucket's reach says. Returns bucket × [`WAYS`] + way.
#[inline(always)]
pub fn locate<const W: usize, S: Store<W>>(store: S, key: &Key<'_, W>, side: Side) -> Option<u32> {
    let hash = store.seed().hash(key.client);
    let (tag, home) = (hash.tag(), hash.home_way());
    let mut buckets = BUCKETS_ALWAYS;
    let mut number = 0;
    while number < BUCKETS_PER_CLIENT {
        if number >= buckets {
            break;
        }
        let index = hash.bucket(number, store.mask());
        let bucket = store.bucket(index)?;
        let mut turn = 0;
        while turn < WAYS {
            let way = home.wrapping_add(turn) & (WAYS - 1);
            let line = Line::of_bucket(bucket, way);
            let control = line.control();
            if control.tag() == tag
                && control.live()
                && line.client_is(key.client)
                && line.server_is(side, key.server)
            {
                return Some(index * WAYS + way);
            }
            turn += 1;
        }
        if number == 0 {
            buckets += Guard::<W>::of_bucket(bucket).read().reach();
        }
        number += 1;
    }
    None
}

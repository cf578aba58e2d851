//! A table on ordinary memory, for tests.

use std::sync::{
    LazyLock,
    atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
};

use slb_common::{
    connection::{Class, Control, Seen, Ties, Translation, WAYS, endpoint, line_words, v4_words},
    hash::Seed,
    service::Timeouts,
};

use super::{
    bucket::Bucket,
    insert::New,
    line::Line,
    lookup::Entry,
    store::{Key, Store},
};

/// A table in a vector, with gauges for 16 backend slots.
pub(super) struct Memory<const W: usize> {
    words: Vec<AtomicU64>,
    pub(super) mask: u32,
    pub(super) gauges: [[AtomicI64; 2]; 16],
    /// Entries whose client's prefix counts them.
    pub(super) clients: AtomicI64,
}

pub(super) static SEED: LazyLock<Seed> = LazyLock::new(Seed::fixed);
pub(super) const SYN_TIMEOUT: u32 = 100;
/// The slot of a backend that has failed.
pub(super) const LEFT_SLOT: u32 = 15;
const TIMEOUTS: Timeouts = Timeouts::new(3000, SYN_TIMEOUT, 200, 200);

impl<const W: usize> Memory<W> {
    pub(super) fn new(buckets: u32) -> Self {
        let words = buckets as usize * WAYS as usize * line_words::<W>();
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            mask: buckets - 1,
            gauges: Default::default(),
            clients: AtomicI64::new(0),
        }
    }

    /// Every live line.
    pub(super) fn live(&self) -> Vec<(Line<W>, Control)> {
        (0..=self.mask)
            .flat_map(|bucket| {
                let bucket = self.bucket(bucket).unwrap();
                (0..WAYS).map(move |way| Line::of_bucket(bucket, way))
            })
            .map(|line| (line, line.control()))
            .filter(|(_, control)| control.live())
            .collect()
    }

    pub(super) fn counted(&self, slot: usize) -> (i64, i64) {
        (self.gauges[slot][0].load(SeqCst), self.gauges[slot][1].load(SeqCst))
    }
}

impl<const W: usize> Store<W> for &Memory<W> {
    fn bucket(self, index: u32) -> Option<Bucket<W>> {
        let first = index as usize * WAYS as usize * line_words::<W>();
        // SAFETY: the vector holds whole buckets of atomic words.
        self.words.get(first).map(|word| unsafe { Bucket::new(word.as_ptr()) })
    }

    fn mask(self) -> u32 {
        self.mask
    }

    fn seed(self) -> &'static Seed {
        &SEED
    }

    fn timeout(self, service: u16, state: u8) -> Option<u32> {
        (service != 0xdead).then(|| TIMEOUTS.of(state))
    }

    fn adjust(self, slot: u32, class: Class, delta: i64) {
        match class {
            Class::None => panic!("a gauge for no entry"),
            Class::Active => self.gauges[slot as usize][0].fetch_add(delta, SeqCst),
            Class::Opening | Class::Closing => {
                self.gauges[slot as usize][1].fetch_add(delta, SeqCst)
            }
        };
    }

    fn left(self, seen: Seen) -> bool {
        seen.slot() == LEFT_SLOT
    }

    fn untie(self, line: Line<W>, former: Class) {
        let counted = line.ties().client_prefix() != 0 && former.limited();
        self.clients.fetch_sub(i64::from(counted), SeqCst);
    }

    fn count_client(self, entry: &Entry<W>, delta: i64) {
        if entry.ties.client_prefix() != 0 {
            self.clients.fetch_add(delta, SeqCst);
        }
    }
}

pub(super) fn new_entry<const W: usize>(
    client: u16,
    vip: u8,
    backend: u8,
    state: u8,
    tick: u32,
) -> New<W> {
    let port = |port: u16| port.to_be_bytes();
    New {
        client: endpoint(v4_words([192, 0, 2, 1]), port(client), 6),
        vip: endpoint(v4_words([10, 0, 0, vip]), port(80), 7),
        backend: endpoint(v4_words([10, 0, 1, backend]), port(8080), 3),
        seen: Seen::new(tick, u32::from(backend), 0),
        ties: Ties::NONE,
        translation: Translation::default(),
        state,
        reserved: [0; 7],
    }
}

pub(super) fn by_vip<const W: usize>(new: &New<W>) -> Key<'_, W> {
    Key { client: &new.client, server: &new.vip }
}

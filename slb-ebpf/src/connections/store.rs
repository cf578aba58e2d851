//! The table's surroundings, and what a connection is found by.

use slb_common::{
    connection::{Class, Control, Seen},
    hash::{Hash, Seed},
};

use super::{
    bucket::Bucket,
    insert::{New, Refused, attempt},
    line::Line,
    lookup::{Entry, locate},
    sight::{Sighting, sight},
    transition::close,
};

/// The table's surroundings: BPF maps in the kernel, a vector in tests.
pub trait Store<const W: usize>: Copy {
    /// A bucket of the table.
    fn bucket(self, index: u32) -> Option<Bucket<W>>;
    /// Number of buckets − 1; the number is a power of two.
    fn mask(self) -> u32;
    /// The secret that places connections.
    fn seed(self) -> &'static Seed;
    /// Ticks after which an entry of a service in this state has expired; `None`: it is gone.
    fn timeout(self, service: u16, state: u8) -> Option<u32>;
    /// True if the backend of an entry has failed: UDP flows leave it with their next packet, TCP
    /// connections that are not established with the client's next SYN.
    fn left(self, seen: Seen) -> bool;

    /// Finds the line of a key: [`locate`], by whatever call the surroundings want.
    fn locate(self, key: &Key<'_, W>, side: Side) -> Option<u32> {
        locate(self, key, side)
    }
    /// Begins to fetch the sequence numbers of a line that will probably be asked for: else they
    /// would be waited for after the line itself, although they lie elsewhere.
    fn want_sequences(self, _number: u32) {}
    /// Looks at the `number`-th bucket of a new entry's client: [`sight`], by whatever call the
    /// surroundings want.
    fn sight(self, hash: Hash, number: u32, new: &New<W>, now: u32) -> Sighting {
        match self.bucket(hash.bucket(number, self.mask())) {
            Some(bucket) => sight(self, bucket, hash, new, now),
            None => Sighting::NOTHING,
        }
    }
    /// One round of making an entry: [`attempt`], by whatever call the surroundings want.
    fn attempt(self, new: &New<W>, now: u32) -> Result<u32, Refused> {
        attempt(self, new, now)
    }
    /// Ends an entry: [`close`], by whatever call the surroundings want.
    fn close(self, line: Line<W>, control: Control) -> bool {
        close(self, line, control)
    }
    /// Gives back what the entry that a line still holds was tied to, which was of this class last;
    /// nobody else writes the line.
    fn untie(self, line: Line<W>, former: Class);
    /// Adds `delta` to the connections of an entry's client, if its prefix has limits.
    fn count_client(self, entry: &Entry<W>, delta: i64);
    /// Adds `delta` to the gauge that counts `class` for a backend slot.
    fn adjust(self, slot: u32, class: Class, delta: i64);
}

/// What a connection is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a, const W: usize> {
    /// Client endpoint; extra: protocol.
    pub client: &'a [u64; W],
    /// VIP or backend endpoint; the extra is not looked at.
    pub server: &'a [u64; W],
}

/// Which of a connection's two server endpoints a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The VIP: a packet from the client.
    Vip,
    /// The backend: a packet to the client.
    Backend,
}

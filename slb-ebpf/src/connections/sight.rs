//! What one bucket holds for a new entry: the same connection, a clash, a place to take.

use slb_common::{
    connection::{Control, WAYS, mark, state},
    hash::Hash,
    service::mode,
};

use super::{
    bucket::Bucket,
    insert::New,
    line::Line,
    store::{Side, Store},
    tcp_state::reopens,
};

/// What one bucket holds for a new entry, packed into a number: in the kernel a bucket is looked
/// at by a function that the verifier checks by itself, and a number is what that can return.
///
/// Bits: conflict 0–1 | entries of the client 8–15 | rank of the best place 16–23 | its way 24–25.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting(pub u32);

pub(super) const EXISTS: u32 = 1;
pub(super) const TUPLE_IN_USE: u32 = 2;
/// A line changed while it was looked at: look again.
const MOVED: u32 = 3;

impl Sighting {
    /// No place that could be taken.
    pub const NOTHING: Self = Self(rank::NEVER << 16);

    pub(super) const fn conflict(self) -> u32 {
        self.0 & 3
    }

    pub(super) const fn entries(self) -> u32 {
        self.0 >> 8 & 0xff
    }

    pub(super) const fn rank(self) -> u32 {
        self.0 >> 16 & 0xff
    }

    pub(super) const fn way(self) -> u32 {
        self.0 >> 24 & 3
    }
}

/// Places in the order in which they are taken; an established entry never is.
pub(super) mod rank {
    pub(in crate::connections) const FREE: u32 = 0;
    pub(in crate::connections) const EXPIRED: u32 = 1;
    pub(in crate::connections) const HALF_OPEN: u32 = 2;
    pub(in crate::connections) const CLOSED: u32 = 3;
    pub(in crate::connections) const CLOSING: u32 = 4;
    /// Half open, of a client that has proven that it is there.
    pub(in crate::connections) const PROVEN: u32 = 5;
    pub(in crate::connections) const NEVER: u32 = 6;
}

/// Looks at one bucket; entries in the new one's way that are over are ended.
#[inline(always)]
pub fn sight<const W: usize, S: Store<W>>(
    store: S,
    bucket: Bucket<W>,
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
            let same = line.server_is(Side::Vip, &new.vip);
            if same || clashes(line, new) {
                if line.control().generation() != control.generation() {
                    // It changed hands while it was read: what was read belongs to nobody.
                    return Sighting(MOVED);
                }
                let over = reopens(control.state())
                    || line.expired(store, control, now)
                    || may_leave(control.state(), line.translation().mode())
                        && store.left(line.seen());
                if !over {
                    return Sighting(if same { EXISTS } else { TUPLE_IN_USE });
                }
                // The former connection of these endpoints is over: its place is free.
                if !store.close(line, control) {
                    return Sighting(MOVED);
                }
                control = Control::new(0, control.generation(), 0, state::FREE);
            } else if !line.expired(store, control, now) {
                entries += 1;
            }
        }
        let rank = rank_of(store, line, control, now);
        if rank < best {
            (best, best_way) = (rank, way);
        }
    }
    Sighting(entries << 8 | best << 16 | best_way << 24)
}

/// True if what opens a connection finds another backend when the entry's has failed: a UDP flow, and
/// a handshake that nobody has answered. Where no replies are seen, also an established connection: its
/// backend may have reset it unseen, and the client is on the same ports again.
#[inline(always)]
pub const fn may_leave(now: u8, mode: u8) -> bool {
    now != state::ESTABLISHED || mode::one_sided(mode)
}

/// True if a line's connection and the new one would be one and the same at the backend: only nat
/// leaves both endpoints as they are there.
#[inline(always)]
fn clashes<const W: usize>(line: Line<W>, new: &New<W>) -> bool {
    new.translation.mode() == mode::NAT
        && line.translation().mode() == mode::NAT
        && line.server_is(Side::Backend, &new.backend)
}

/// How gladly a place is taken.
#[inline(always)]
pub(super) fn rank_of<const W: usize, S: Store<W>>(
    store: S,
    line: Line<W>,
    control: Control,
    now: u32,
) -> u32 {
    match control.state() {
        state::FREE => rank::FREE,
        state::CLAIMED => rank::NEVER,
        _ if line.expired(store, control, now) => rank::EXPIRED,
        state::SYN if line.translation().marks() & mark::SPLICED != 0 => rank::PROVEN,
        state::SYN | state::UDP_NEW => rank::HALF_OPEN,
        state::TIME_WAIT | state::CLOSED => rank::CLOSED,
        state::FIN => rank::CLOSING,
        _ => rank::NEVER,
    }
}

//! Fragmented datagrams: the first fragment has the ports, those that come later find them here.
//! Nobody cleans up: what is older than a second is a free place.

pub mod bucket;
#[cfg(target_arch = "bpf")]
pub mod following;

use slb_common::{
    fragment::{BUCKETS_PER_DATAGRAM, DATAGRAM_WORDS, Followed},
    hash::{Hash, Seed},
};

use self::bucket::Bucket;

/// What tells a fragmented datagram from others (RFC 791, RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source 2, destination 2, identification.
    words: [u64; DATAGRAM_WORDS],
}

impl Datagram {
    /// A datagram between two addresses.
    #[inline(always)]
    pub const fn new(source: [u64; 2], destination: [u64; 2], identification: u64) -> Self {
        let ([a, b], [c, d]) = (source, destination);
        Self { words: [a, b, c, d, identification] }
    }

    /// Where it may stand. Who does not know the secret cannot aim.
    #[inline(always)]
    pub fn hash(&self, seed: &Seed) -> Hash {
        let [a, b, c, d, identification] = self.words;
        let Hash { first, second } = seed.hash(&[a, b, identification]);
        seed.hash(&[c, d, u64::from(first) << 32 | u64::from(second)])
    }
}

/// Finds what the first fragment of a datagram told, in a table of buckets.
#[inline(always)]
pub fn recall(
    bucket: impl Fn(u32) -> Option<Bucket>,
    hash: Hash,
    datagram: &Datagram,
    now: u64,
) -> Option<Followed> {
    let mut number = 0;
    while number < BUCKETS_PER_DATAGRAM {
        if let Some(followed) = bucket(place(hash, number))?.find(datagram, now) {
            return Some(followed);
        }
        number += 1;
    }
    None
}

/// Remembers what the first fragment of a datagram told; false: there is no place.
#[inline(always)]
pub fn remember(
    bucket: impl Fn(u32) -> Option<Bucket>,
    hash: Hash,
    datagram: &Datagram,
    followed: Followed,
    now: u64,
) -> bool {
    let (Some(one), Some(other)) = (bucket(place(hash, 0)), bucket(place(hash, 1))) else {
        return false;
    };
    // First where it stands already: a first fragment that comes twice.
    if one.put(datagram, followed, now, false) || other.put(datagram, followed, now, false) {
        return true;
    }
    let (emptier, fuller) =
        if other.free(now) > one.free(now) { (other, one) } else { (one, other) };
    emptier.put(datagram, followed, now, true) || fuller.put(datagram, followed, now, true)
}

/// The `number`-th bucket of a hash, of 2³².
#[inline(always)]
const fn place(hash: Hash, number: u32) -> u32 {
    if number == 0 { hash.first } else { hash.second }
}

#[cfg(test)]
mod tests;

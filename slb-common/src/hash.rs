//! Universal hashing of addresses: multilinear, with secret odd multipliers (Lemire and Kaser,
//! "Strongly universal string hashing is fast", 2014), so that nobody outside can aim at a bucket.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Words that one hash takes at most: an IPv6 endpoint.
const MAX_WORDS: usize = 3;

/// The secret of a table: multipliers for the two independent hashes of a client endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Seed {
    first: [u64; 2 * MAX_WORDS],
    second: [u64; 2 * MAX_WORDS],
}

/// Two independent 32-bit hashes of one client endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// Chooses the primary bucket and the home way.
    pub first: u32,
    /// Chooses the further buckets.
    pub second: u32,
}

impl Seed {
    /// Makes a seed from random bytes; the multipliers are forced odd.
    pub const fn new(random: [[u64; 2 * MAX_WORDS]; 2]) -> Self {
        let mut seed = Self { first: random[0], second: random[1] };
        let mut word = 0;
        while word < 2 * MAX_WORDS {
            seed.first[word] |= 1;
            seed.second[word] |= 1;
            word += 1;
        }
        seed
    }

    /// A seed that is known to everybody, for tests and benchmarks.
    pub const fn fixed() -> Self {
        const fn word(n: u64) -> u64 {
            // SplitMix64's finaliser (Steele, Lea, Flood 2014).
            let z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
        Self::new([
            [word(1), word(2), word(3), word(4), word(5), word(6)],
            [word(7), word(8), word(9), word(10), word(11), word(12)],
        ])
    }

    /// Hashes the words of a client endpoint.
    #[inline(always)]
    pub fn hash<const WORDS: usize>(&self, words: &[u64; WORDS]) -> Hash {
        const { assert!(WORDS <= MAX_WORDS) };
        let (first, second) = (multilinear(&self.first, words), multilinear(&self.second, words));
        let sums = scatter(u64::from(first) << 32 | u64::from(second));
        Hash { first: sums as u32, second: (sums >> 32) as u32 }
    }
}

/// Breaks the lattice on which sums for evenly spaced clients lie: without it one table in five
/// refuses some of a million consecutive flows, because full buckets come in rows. A bijection.
#[inline(always)]
const fn scatter(sums: u64) -> u64 {
    let sums = (sums ^ (sums >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    sums ^ (sums >> 32)
}

/// The upper half of a sum of products of the 32-bit halves of `words` with 64-bit multipliers.
#[inline(always)]
fn multilinear<const WORDS: usize>(
    multipliers: &[u64; 2 * MAX_WORDS],
    words: &[u64; WORDS],
) -> u32 {
    let mut sum = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = 0;
    while word < WORDS {
        let (low, high) = (words[word] & 0xffff_ffff, words[word] >> 32);
        sum = sum.wrapping_add(secret(&multipliers[2 * word]).wrapping_mul(low));
        sum = sum.wrapping_add(secret(&multipliers[2 * word + 1]).wrapping_mul(high));
        word += 1;
    }
    (sum >> 32) as u32
}

/// Reads a multiplier. In the XDP program the loader puts the secret in after compilation, so the
/// compiler must not take the initial value for granted.
#[inline(always)]
fn secret(multiplier: &u64) -> u64 {
    // SAFETY: a reference is valid and aligned.
    unsafe { core::ptr::read_volatile(multiplier) }
}

impl Hash {
    /// What an entry keeps of the hash to be told from its neighbours cheaply; never 0.
    #[inline(always)]
    pub const fn tag(self) -> u32 {
        (self.first ^ self.second.rotate_left(13)) | 1
    }

    /// The `number`-th bucket that may hold the connection, of `mask + 1` buckets.
    #[inline(always)]
    pub const fn bucket(self, number: u32, mask: u32) -> u32 {
        let index = match number {
            0 => self.first,
            1 => self.second,
            _ => self.first.wrapping_add(number.wrapping_mul(self.second | 1)),
        };
        index & mask
    }

    /// Where in a bucket the search starts.
    #[inline(always)]
    pub const fn home_way(self) -> u32 {
        self.first >> 30
    }
}

/// Unkeyed mix of an address (or of any word) for the direction bitmaps and for hash schedulers,
/// where the same value must come out on every node (Stafford's "Mix13" finaliser).
#[inline(always)]
pub const fn mix(word: u64) -> u64 {
    let z = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// [`mix`] over two words: an IPv6 address, or an IPv4 address in the first word.
#[inline(always)]
pub const fn mix_address(words: [u64; 2]) -> u64 {
    mix(words[0] ^ mix(words[1]).rotate_left(32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hashes_spread_neighbouring_endpoints_evenly_over_buckets() {
        let (seed, mask) = (Seed::fixed(), 1023);
        let (mut first, mut second) = ([0_u32; 1024], [0_u32; 1024]);
        for n in 0..102_400_u64 {
            let hash = seed.hash(&[0x0a00_0001 | (n << 32)]);
            first[hash.bucket(0, mask) as usize] += 1;
            second[hash.bucket(1, mask) as usize] += 1;
        }
        // 100 expected in each; even a poor random spread stays within a factor of three.
        assert!(first.iter().chain(&second).all(|&count| (10..300).contains(&count)));
    }

    #[test]
    fn every_word_of_an_ipv6_endpoint_changes_the_hash() {
        let seed = Seed::fixed();
        let base = seed.hash(&[1, 2, 3]);
        for word in 0..3 {
            let mut words = [1, 2, 3];
            words[word] ^= 1 << 40;
            assert_ne!(seed.hash(&words), base);
        }
    }

    #[test]
    fn another_seed_places_the_same_endpoint_elsewhere() {
        let other = Seed::new([[0x1357_9bdf_0246_8ace; 6], [0xfdb9_7531_eca8_6420; 6]]);
        let differing = (0..1000_u64)
            .filter(|&n| other.hash(&[n]).first & 1023 != Seed::fixed().hash(&[n]).first & 1023)
            .count();
        assert!(differing > 900);
    }
}

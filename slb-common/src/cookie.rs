//! SYN cookies: what stands in them, the keyed hash that proves that they are ours, and the words
//! by which a VIP's half-open connections are counted.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Seconds after which another key makes the cookies; those of the one before still count.
pub const EPOCH_S: u64 = 64;
/// Seconds after which no cookie counts any more, whenever in its epoch it was made.
pub const LIFETIME_S: u64 = 2 * EPOCH_S;

/// The one value of the array `COOKIE_KEYS`; nodes that share them take each other's cookies.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct CookieKeys {
    /// Which of the two makes cookies now: 0 or 1.
    pub current: u64,
    /// The keys of even and of odd epochs.
    pub keys: [Key; 2],
    /// What they are made of; for the daemon, which reads it back after a restart.
    pub secret: Key,
}

/// Clients that are remembered after a challenge.
pub const CHALLENGED: usize = 65_536;

/// A key of [`sip`].
pub type Key = [u64; 2];

/// SipHash-1-3 of whole words (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; the
/// rounds of it are those that Linux takes for its own tables). Unlike the table's hash its results
/// may be shown to those who choose the input.
#[inline(always)]
pub const fn sip<const WORDS: usize>(key: Key, words: &[u64; WORDS]) -> u64 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut word = 0;
    while word < WORDS {
        state = absorb(state, words[word]);
        word += 1;
    }
    state = absorb(state, ((WORDS * 8) as u64 & 0xff) << 56);
    state[2] ^= 0xff;
    state = round(round(round(state)));
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline(always)]
const fn absorb([a, b, c, d]: [u64; 4], word: u64) -> [u64; 4] {
    let [a, b, c, d] = round([a, b, c, d ^ word]);
    [a ^ word, b, c, d]
}

#[inline(always)]
const fn round([a, b, c, d]: [u64; 4]) -> [u64; 4] {
    let (a, c) = (a.wrapping_add(b), c.wrapping_add(d));
    let (b, d) = (b.rotate_left(13) ^ a, d.rotate_left(16) ^ c);
    let a = a.rotate_left(32);
    let (c, a) = (c.wrapping_add(b), a.wrapping_add(d));
    let (b, d) = (b.rotate_left(17) ^ c, d.rotate_left(21) ^ a);
    [a, b, c.rotate_left(32), d]
}

/// What a client's SYN offers, as far as a cookie can carry it: 7 bits, MSS 3 | window scale 3 |
/// SACK 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer(pub u32);

/// Window scales that a cookie can carry, besides none, which is number 0. A smaller one than the
/// client's has the backend take its window for smaller than it is, which is safe.
const SCALES: [u16; 8] = [0, 0, 2, 4, 6, 7, 8, 10];

/// Segment sizes that a cookie can carry over IPv4. The least is that of who says nothing (RFC 9293
/// section 3.7.1), the others those of common ways: tunnels, PPPoE, Ethernet, jumbo frames.
const SIZES_V4: [u16; 8] = [536, 1024, 1220, 1360, 1400, 1440, 1460, 8960];
/// The same over IPv6.
const SIZES_V6: [u16; 8] = [1220, 1300, 1340, 1360, 1380, 1400, 1440, 8940];

impl Offer {
    /// The offer that comes next below: `mss` 0 for none, `scale` `None` for no window scaling.
    #[inline(always)]
    pub const fn new(mss: u16, scale: Option<u8>, sack: bool, v4: bool) -> Self {
        let sizes = if v4 { &SIZES_V4 } else { &SIZES_V6 };
        let size = step(mss, sizes);
        let scale = match scale {
            None => 0,
            // Number 0 is for none.
            Some(scale) => match step(scale as u16, &SCALES) {
                0 => 1,
                number => number,
            },
        };
        Self(size << 4 | scale << 1 | sack as u32)
    }

    /// The segment size, host byte order.
    #[inline(always)]
    pub const fn mss(self, v4: bool) -> u16 {
        let number = (self.0 >> 4 & 7) as usize;
        if v4 { SIZES_V4[number] } else { SIZES_V6[number] }
    }

    /// The window scale.
    #[inline(always)]
    pub const fn scale(self) -> Option<u8> {
        match (self.0 >> 1 & 7) as usize {
            0 => None,
            number => Some(SCALES[number] as u8),
        }
    }

    /// Whether selective acknowledgements are understood.
    #[inline(always)]
    pub const fn sack(self) -> bool {
        self.0 & 1 != 0
    }
}

/// The number of the highest step that a value reaches; 0 if it reaches none.
#[inline(always)]
const fn step(value: u16, steps: &[u16; 8]) -> u32 {
    let (mut reached, mut number) = (0, 1);
    while number < steps.len() {
        if value >= steps[number] {
            reached = number;
        }
        number += 1;
    }
    reached as u32
}

/// The sequence number by which a SYN is answered: MAC 24 | offer 7 | key 1, the MAC highest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Cookie(pub u32);

impl Cookie {
    /// Puts it together; only the upper 24 bits of `mac` count.
    #[inline(always)]
    pub const fn new(mac: u32, offer: Offer, key: u32) -> Self {
        Self(mac & !0xff | (offer.0 & 0x7f) << 1 | key & 1)
    }

    /// What the client's SYN offered.
    #[inline(always)]
    pub const fn offer(self) -> Offer {
        Offer(self.0 >> 1 & 0x7f)
    }

    /// Which key has made it: 0 or 1.
    #[inline(always)]
    pub const fn key(self) -> u32 {
        self.0 & 1
    }
}

/// Half-open connections of a VIP in the second that began at a tick: the tick 32 | how many 32,
/// the latter from [`Window::NONE_YET`] on, because it also goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub u64);

impl Window {
    /// What stands for none.
    const NONE_YET: u32 = 1 << 31;

    /// The second that begins with this tick, with its first one.
    #[inline(always)]
    pub const fn begun(tick: u32) -> Self {
        Self((tick as u64) << 32 | (Self::NONE_YET as u64 + 1))
    }

    /// True if the second is over; a `length` in ticks.
    #[inline(always)]
    pub const fn over(self, now: u32, length: u32) -> bool {
        now.wrapping_sub((self.0 >> 32) as u32) >= length
    }

    /// How many there are now.
    #[inline(always)]
    pub const fn half_open(self) -> u32 {
        (self.0 as u32).saturating_sub(Self::NONE_YET)
    }
}

const _: () = assert!(size_of::<CookieKeys>() == 56);

#[cfg(test)]
mod tests {
    use core::hash::Hasher;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_keyed_hash_is_siphash_1_3(key in any::<[u64; 2]>(), words in any::<[u64; 7]>()) {
            let mut oracle = siphasher::sip::SipHasher13::new_with_keys(key[0], key[1]);
            words.iter().for_each(|word| oracle.write(&word.to_le_bytes()));
            prop_assert_eq!(sip(key, &words), oracle.finish());
        }

        #[test]
        fn a_cookie_carries_the_next_lower_offer(
            mss in 536_u16.., scale in prop::option::of(0_u8..15), sack: bool, v4: bool,
            mac: u32, key in 0_u32..2,
        ) {
            let cookie = Cookie::new(mac, Offer::new(mss, scale, sack, v4), key);
            prop_assert_eq!((cookie.0 >> 8 << 8, cookie.key()), (mac >> 8 << 8, key));
            let offer = cookie.offer();
            let least = if v4 { 536 } else { 1220 };
            prop_assert!(offer.mss(v4) <= mss.max(least));
            prop_assert_eq!(offer.scale().is_some(), scale.is_some());
            prop_assert!(offer.scale() <= scale);
            prop_assert_eq!(offer.sack(), sack);
        }
    }

    #[test]
    fn common_offers_are_carried_whole() {
        for (mss, v4) in [(1460, true), (1440, true), (8960, true), (1440, false), (8940, false)] {
            assert_eq!(Offer::new(mss, Some(7), true, v4).mss(v4), mss);
        }
        for scale in [0, 2, 6, 7, 8] {
            assert_eq!(Offer::new(1460, Some(scale), true, true).scale(), Some(scale));
        }
    }

    #[test]
    fn a_second_counts_up_and_down_and_not_below_none() {
        let window = Window::begun(9);
        assert_eq!(window.half_open(), 1);
        assert_eq!(Window(window.0 + 4).half_open(), 5);
        assert_eq!(Window(window.0 - 3).half_open(), 0);
        assert!(!window.over(12, 4) && window.over(13, 4));
        assert!(!Window::begun(u32::MAX).over(2, 4) && Window::begun(u32::MAX).over(3, 4));
    }
}

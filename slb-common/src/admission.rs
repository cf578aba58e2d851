//! Who is let in and how much of him: access lists, token buckets, and why somebody was refused.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::verdict::Verdict;

/// Units of a bucket's word in a nanosecond, as a shift: sixteenths, so that a small packet on a
/// fast line still has a cost.
pub const UNIT_SHIFT: u32 = 4;
/// Units of a second.
pub const SECOND: u64 = 1_000_000_000 << UNIT_SHIFT;
/// What a bucket of bytes takes at once beyond its rate: a fifth of a second's worth.
pub const BYTES_BURST: u64 = SECOND / 5;

/// A bucket that takes a number of things in a second, as one word: the time at which it is full
/// again (GCRA, ITU-T I.371).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket(pub u64);

impl Bucket {
    /// The bucket after one of `rate` things a second at the time `now`; `None`: it has none left.
    /// It holds one second's worth. A `rate` of 0 is no limit.
    #[inline(always)]
    pub const fn take_one(self, now: u64, rate: u32) -> Option<Self> {
        let cost = Self::cost_of_one(rate);
        self.take(now, cost, cost.wrapping_mul(rate.saturating_sub(1) as u64))
    }

    /// The bucket before [`take_one`](Self::take_one).
    #[inline(always)]
    pub const fn cost_of_one(rate: u32) -> u64 {
        if rate == 0 { 0 } else { SECOND / rate as u64 }
    }

    /// The bucket after `bytes` at the time `now`; `None`: they are too many. A packet passes if
    /// the bucket is not in debt, however large it is, and may bring it there: so none is too large
    /// for ever.
    #[inline(always)]
    pub const fn take_bytes(self, now: u64, bytes: u64, rate: u64) -> Option<Self> {
        if rate == 0 {
            return Some(self);
        }
        self.take(now, (bytes & 0xf_ffff) * SECOND / rate, BYTES_BURST)
    }

    /// Takes `cost` if the bucket is full again within `tolerance`, all in the same unit.
    #[inline(always)]
    pub const fn take(self, now: u64, cost: u64, tolerance: u64) -> Option<Self> {
        let full = if self.0 > now { self.0 } else { now };
        if full - now > tolerance { None } else { Some(Self(full + cost)) }
    }
}

/// Prefix bits of a list's number, which comes before the address.
pub const LIST_BITS: u32 = 32;

/// Key of `ACL4` after its prefix length: the list's number, then the address as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AclKey4 {
    /// Number of the list, not 0.
    pub list: u32,
    /// Network byte order.
    pub address: [u8; 4],
}

/// Key of `ACL6` after its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AclKey6 {
    /// Number of the list, not 0.
    pub list: u32,
    /// Network byte order.
    pub address: [u8; 16],
}

/// Key of the map `CLIENTS`: the clients of one prefix at one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ClientKey {
    /// Service.
    pub service: u16,
    /// Prefix length.
    pub prefix: u16,
    /// Always 0.
    pub reserved: u32,
    /// Words as in [`crate::service::Backend::address`], with the bits after the prefix 0.
    pub address: [u64; 2],
}

/// Value of the map `CLIENTS`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ClientState {
    /// Connections: entries, closing ones not counted.
    pub entries: u64,
    /// [`Bucket`] of new connections.
    pub connections: u64,
}

/// The address with the bits after its prefix 0. `v4` tells how the words are meant.
#[inline(always)]
pub const fn masked(address: [u64; 2], prefix: u8, v4: bool) -> [u64; 2] {
    if v4 {
        let mask = leading(prefix as u32 + 32) as u32;
        return [address[0] & mask.to_be() as u64, 0];
    }
    let prefix = prefix as u32;
    let second = prefix.saturating_sub(64);
    [address[0] & leading(prefix).to_be(), address[1] & leading(second).to_be()]
}

/// A word whose first `bits` bits are 1.
const fn leading(bits: u32) -> u64 {
    match bits {
        0 => 0,
        64.. => u64::MAX,
        _ => u64::MAX << (64 - bits),
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $verdict:ident;)+) => {
        /// Why something is refused, as it is counted for each service.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// How the story of a packet ends that is refused for it.
            pub const fn verdict(self) -> Verdict {
                match self { $(Self::$name => Verdict::$verdict),+ }
            }

            /// The reason with this number.
            pub const fn from_number(number: u32) -> Option<Self> {
                if (number as usize) < Self::COUNT { Some(Self::ALL[number as usize]) } else { None }
            }
        }
    };
}

reasons! {
    /// The access list.
    Acl = DropAcl;
    /// The listener's connections.
    Connections = DropConnectionLimit;
    /// The listener's new connections in a second.
    Rate = DropRateLimit;
    /// The connections of the client's prefix.
    ClientConnections = DropClientConnectionLimit;
    /// The new connections of the client's prefix.
    ClientRate = DropClientRateLimit;
    /// The instance's connections.
    InstanceConnections = DropInstanceConnectionLimit;
    /// The instance's new connections in a second.
    InstanceRate = DropInstanceRateLimit;
    /// All backends.
    Backends = DropBackendLimit;
    /// Packets above the bandwidth.
    Bandwidth = DropBandwidth;
}

/// Value of the per-CPU array `COUNT_REFUSED`, by service.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RefusedCounters {
    /// Refused, by [`Reason`].
    pub refused: [u64; Reason::COUNT],
    /// Let in, but only because the listener's limits are a shadow.
    pub shadow: [u64; Reason::COUNT],
}

const _: () = assert!(size_of::<ClientKey>() == 24 && size_of::<ClientState>() == 16);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{v4_words, v6_words};

    #[test]
    fn an_address_is_cut_at_its_prefix() {
        let v4 = v4_words([10, 11, 12, 255]);
        for (prefix, expected) in
            [(32, [10, 11, 12, 255]), (25, [10, 11, 12, 128]), (9, [10, 0, 0, 0]), (1, [0; 4])]
        {
            assert_eq!(masked(v4, prefix, true), v4_words(expected), "{prefix}");
        }
        let full = v6_words([0xff; 16]);
        for prefix in 1..=128_u8 {
            let expected = (u128::MAX << (128 - prefix)).to_be_bytes();
            assert_eq!(masked(full, prefix, false), v6_words(expected), "{prefix}");
        }
    }

    #[test]
    fn a_second_holds_exactly_the_rate() {
        for rate in [1, 2, 3, 7, 1000, 99_999, 1_000_000] {
            let (mut bucket, mut taken) = (Bucket(0), 0);
            let now = 5 * SECOND;
            while let Some(next) = bucket.take_one(now, rate) {
                bucket = next;
                taken += 1;
            }
            assert_eq!(taken, rate);
            // A whole second later all of it is there again.
            let mut again = 0;
            while let Some(next) = bucket.take_one(now + SECOND, rate) {
                bucket = next;
                again += 1;
            }
            assert_eq!(again, rate);
        }
    }

    #[test]
    fn the_largest_packet_passes_the_narrowest_line() {
        let rate = 125_000;
        let once = Bucket(0).take_bytes(SECOND, 65_535, rate).expect("the first one passes");
        assert_eq!(once.take_bytes(SECOND, 1, rate), None, "in debt");
        assert!(once.take_bytes(SECOND + SECOND / 2, 65_535, rate).is_some(), "out of debt");
        assert_eq!(Bucket(7).take_bytes(1, u64::MAX, 0), Some(Bucket(7)), "no limit");
    }
}

//! Where a rewritten frame goes: the Ethernet header that it gets and the interface.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// VLAN tag value that stands for "no tag".
pub const NO_VLAN: u16 = 0;

/// An Ethernet next hop. All of it fits three words that are written one by one: a packet that
/// comes between two writes meets the old or the new value of each.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct NextHop {
    /// MAC address of the neighbour.
    pub destination: [u8; 6],
    /// VLAN id to put on the frame, host byte order; [`NO_VLAN`]: untagged.
    pub vlan: u16,
    /// MAC address of our interface.
    pub source: [u8; 6],
    /// Longest packet that the interface sends, in bytes, link header not counted; 0: not known.
    pub mtu: u16,
    /// Interface to send from; 0: not resolved.
    pub interface: u32,
    /// [`HOP_EMPTY`], [`HOP_CLAIMED`], [`HOP_VALID`] or [`HOP_STALE`].
    pub state: u32,
}

/// Nothing is here.
pub const HOP_EMPTY: u32 = 0;
/// A program is filling it in.
pub const HOP_CLAIMED: u32 = 1;
/// May be used.
pub const HOP_VALID: u32 = 2;
/// Routes or neighbours have changed since it was learnt, or nobody uses it: resolve again, and
/// use it only if nothing better is known.
pub const HOP_STALE: u32 = 3;

/// Places for next hops to clients. A connection keeps the index in 16 bits; 0 is never used.
pub const CLIENT_HOPS: u32 = 16_384;

/// How many places a next hop may take; past them, replies look up the route for every packet.
pub const CLIENT_HOP_PROBES: u32 = 8;

impl NextHop {
    /// Its three words: what is compared and stored.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 3] {
        let (d, v, s) = (self.destination, self.vlan.to_ne_bytes(), self.source);
        let m = self.mtu.to_ne_bytes();
        [
            u64::from_ne_bytes([d[0], d[1], d[2], d[3], d[4], d[5], v[0], v[1]]),
            u64::from_ne_bytes([s[0], s[1], s[2], s[3], s[4], s[5], m[0], m[1]]),
            self.interface as u64 | (self.state as u64) << 32,
        ]
    }

    /// The next hop of three words.
    #[inline(always)]
    pub const fn of_words([first, second, third]: [u64; 3]) -> Self {
        let ([a, b, c, d, e, f, v, w], [g, h, i, j, k, l, m, n]) =
            (first.to_ne_bytes(), second.to_ne_bytes());
        Self {
            destination: [a, b, c, d, e, f],
            vlan: u16::from_ne_bytes([v, w]),
            source: [g, h, i, j, k, l],
            mtu: u16::from_ne_bytes([m, n]),
            interface: third as u32,
            state: (third >> 32) as u32,
        }
    }

    /// True if there is somewhere to send to, up to date or not.
    #[inline(always)]
    pub const fn known(&self) -> bool {
        self.interface != 0 && (self.state == HOP_VALID || self.state == HOP_STALE)
    }

    /// True if it is known and up to date.
    #[inline(always)]
    pub const fn usable(&self) -> bool {
        self.interface != 0 && self.state == HOP_VALID
    }
}

const _: () = assert!(size_of::<NextHop>() == 24);

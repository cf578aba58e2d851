//! Persistence templates: which backend new connections of a client go to, and how long that is
//! remembered. A template belongs to a group of services, mostly of one.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::connection::{EXTRA_SHIFT, PORT_SHIFT, endpoint};

/// Key of `TEMPLATES4` (one word) and `TEMPLATES6` (three words), like an endpoint of a line: the
/// client's address up to the prefix, the group where a port would be, the prefix length above.
pub type Key<const W: usize> = [u64; W];

/// The key of a client's template.
#[inline(always)]
pub const fn key<const W: usize>(address: [u64; 2], group: u16, prefix: u8) -> Key<W> {
    endpoint(masked::<W>(address, prefix), group.to_ne_bytes(), prefix as u16)
}

/// The group of a key.
pub const fn group_of<const W: usize>(key: &Key<W>) -> u16 {
    (key[W - 1] >> PORT_SHIFT) as u16
}

/// The prefix length of a key.
pub const fn prefix_of<const W: usize>(key: &Key<W>) -> u8 {
    (key[W - 1] >> EXTRA_SHIFT) as u8
}

/// The leading bits of an address (words as in [`crate::service::Backend::address`]).
#[inline(always)]
const fn masked<const W: usize>(address: [u64; 2], prefix: u8) -> [u64; 2] {
    let prefix = prefix as u32;
    if W == 1 {
        // The address lies in the low half of the word: its mask is the upper half of one.
        let mask = (leading(prefix) >> 32) as u32;
        [address[0] & mask.to_be() as u64, 0]
    } else if prefix <= 64 {
        [address[0] & leading(prefix).to_be(), 0]
    } else {
        [address[0], address[1] & leading(prefix - 64).to_be()]
    }
}

/// A word whose highest bits are set.
#[inline(always)]
const fn leading(bits: u32) -> u64 {
    match bits {
        0 => 0,
        1..64 => !0 << (64 - bits),
        _ => !0,
    }
}

/// Value of `TEMPLATES4` and `TEMPLATES6`; both words change by compare-and-swap.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Template {
    /// [`Life`].
    pub life: u64,
    /// [`Target`].
    pub target: u64,
}

/// How many connections a template has, and when it was last used.
///
/// Bits: connections 32 | tick 32, the connections highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(pub u64);

impl Life {
    /// Connections of a template that is being deleted: it counts as absent.
    pub const CLAIMED: u32 = u32::MAX;
    /// What is added for each connection.
    pub const ONE: u64 = 1 << 32;

    /// Puts it together.
    #[inline(always)]
    pub const fn new(connections: u32, tick: u32) -> Self {
        Self((connections as u64) << 32 | tick as u64)
    }

    /// Entries that are tied to the template.
    #[inline(always)]
    pub const fn connections(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Tick of the last connection's beginning or end.
    #[inline(always)]
    pub const fn tick(self) -> u32 {
        self.0 as u32
    }

    /// True if its last connection ended longer than the timeout ago.
    #[inline(always)]
    pub const fn expired(self, now: u32, timeout: u32) -> bool {
        let idle = now.wrapping_sub(self.tick());
        // As for entries: another processor may be a tick ahead.
        self.connections() == 0 && idle > timeout && idle < 1 << 31
    }
}

/// Where a template's connections go. The slot is one of any service of the group; another service
/// finds its own by the backend's address.
///
/// Bits: moves 16 | timeout 16 | generation 8 | slot 24, the moves highest. Moves count the
/// changes, so that a compare-and-swap never takes a target for an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(pub u64);

impl Target {
    /// No template: none that is there has a timeout of 0.
    pub const ABSENT: Self = Self(0);
    /// Slot of a template that names no backend: flushed, or expired and taken up again.
    pub const NOBODY: u32 = (1 << 24) - 1;

    /// Puts it together; a timeout in ticks is at least 1 and at most 65535.
    #[inline(always)]
    pub const fn new(slot: u32, generation: u8, timeout: u32) -> Self {
        let timeout = match timeout {
            0 => 1,
            1..=0xffff => timeout,
            _ => 0xffff,
        };
        Self(slot as u64 & 0xff_ffff | (generation as u64) << 24 | (timeout as u64) << 32)
    }

    /// The same as the next one after `before`.
    #[inline(always)]
    pub const fn after(self, before: Self) -> Self {
        let moves = (before.0 >> 48).wrapping_add(1);
        Self(self.0 & 0xffff_ffff_ffff | moves << 48)
    }

    /// The same template without a backend.
    #[inline(always)]
    pub const fn cleared(self) -> Self {
        Self(self.0 | Self::NOBODY as u64).after(self)
    }

    /// The backend's slot when the template was made or used last.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        self.0 as u32 & Self::NOBODY
    }

    /// The slot's generation then.
    #[inline(always)]
    pub const fn generation(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// Ticks that the template outlives its last connection.
    #[inline(always)]
    pub const fn timeout(self) -> u32 {
        (self.0 >> 32) as u32 & 0xffff
    }

    /// True if it names the same use of the same slot for the same time.
    #[inline(always)]
    pub const fn same(self, other: Self) -> bool {
        (self.0 ^ other.0) << 16 == 0
    }
}

/// Key of `SHARED_BACKENDS`, which leads to the slot: for services that share templates.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct SharedBackend {
    /// The backend's address.
    pub address: [u64; 2],
    /// Service id.
    pub service: u64,
}

/// Delete the template if it has expired, or if it has no connection and names no backend.
pub const EXPIRE: u16 = 0;
/// Make the template name no backend: the client's next connection is scheduled anew.
pub const FLUSH: u16 = 1;

/// Operations of one request to the program `template_batch`.
pub const LENGTH: usize = 64;
/// Bytes before the first operation, as in [`crate::connection::batch`].
pub const HEADER: usize = 16;

/// An operation on a template.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Operation {
    /// Key; of an IPv4 template the first word alone.
    pub key: [u64; 3],
    /// 4 or 6; 0: no operation.
    pub family: u16,
    /// [`EXPIRE`] or [`FLUSH`].
    pub kind: u16,
    /// Always 0.
    pub reserved: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{endpoint_address, v4_words, v6_words};

    #[test]
    fn clients_that_agree_up_to_the_prefix_have_one_key() {
        for (prefix, kept) in [
            (32, [10, 171, 205, 239]),
            (31, [10, 171, 205, 238]),
            (24, [10, 171, 205, 0]),
            (9, [10, 128, 0, 0]),
            (8, [10, 0, 0, 0]),
            (1, [0, 0, 0, 0]),
        ] {
            let made: Key<1> = key(v4_words([10, 171, 205, 239]), 7, prefix);
            assert_eq!(endpoint_address(&made), v4_words(kept), "/{prefix}");
            assert_eq!((group_of(&made), prefix_of(&made)), (7, prefix));
        }
    }

    #[test]
    fn an_ipv6_prefix_ends_in_either_word() {
        let full = [0xff; 16];
        for prefix in [1_u8, 7, 8, 56, 63, 64, 65, 72, 127, 128] {
            let mut kept = [0; 16];
            for bit in 0..usize::from(prefix) {
                kept[bit / 8] |= 0x80 >> (bit % 8);
            }
            let made: Key<3> = key(v6_words(full), 0xfedc, prefix);
            assert_eq!(endpoint_address(&made), v6_words(kept), "/{prefix}");
            assert_eq!((group_of(&made), prefix_of(&made)), (0xfedc, prefix));
        }
    }

    #[test]
    fn a_template_expires_only_without_connections_and_after_its_timeout() {
        assert!(!Life::new(1, 100).expired(1000, 5));
        assert!(!Life::new(0, 100).expired(105, 5));
        assert!(Life::new(0, 100).expired(106, 5));
        assert!(!Life::new(0, 100).expired(99, 5), "another processor is a tick ahead");
        assert!(Life::new(0, u32::MAX).expired(9, 5));
    }

    #[test]
    fn a_target_gives_back_what_it_was_made_of_and_differs_from_every_earlier_one() {
        let target = Target::new(0x12_3456, 0xab, 13_412);
        assert_eq!((target.slot(), target.generation()), (0x12_3456, 0xab));
        assert_eq!(target.timeout(), 13_412);
        let again = target.after(target.cleared());
        assert!(again.same(target) && again != target);
        assert_eq!(again.cleared().slot(), Target::NOBODY);
        assert_eq!(again.cleared().timeout(), 13_412);
        assert!(!target.same(Target::new(0x12_3456, 0xac, 13_412)));
        assert!(!target.same(Target::new(0x12_3456, 0xab, 13_413)));
    }

    #[test]
    fn a_template_that_is_there_is_never_taken_for_none() {
        assert_ne!(Target::new(0, 0, 0), Target::ABSENT);
        assert_eq!(Target::new(0, 0, u32::MAX).timeout(), 0xffff);
    }
}

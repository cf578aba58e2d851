//! Replies to datagrams that were scheduled one by one: no entry says to which VIP they belong.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Key of `ONE_PACKET_REPLIES`: a backend's endpoint. It is UDP's, as one-packet scheduling is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct ReplyKey {
    /// Address words as in [`crate::service::Backend::address`].
    pub address: [u64; 2],
    /// Port as on the wire, in the two lowest bytes; 0: every port, where a range of ports goes to
    /// the same ones.
    pub port: u64,
}

/// Value of `ONE_PACKET_REPLIES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reply {
    /// The VIP that its replies come from, in the same words.
    pub vip: [u64; 2],
    /// The backend's slot.
    pub slot: u32,
    /// The VIP's port, network byte order in memory; 0: the backend's.
    pub port: [u8; 2],
    /// Always 0.
    pub reserved: [u8; 2],
}

/// Places of `CLIENT_WAYS`, a power of two: the next hop to the client of a datagram without
/// entry, by a hash of its address. The newest client of a place has it.
pub const CLIENT_WAYS: u32 = 1 << 14;
/// Words of such a place: the hash, whose lowest bit is set while the rest is being written, and
/// the three words of the next hop.
pub const CLIENT_WAY_WORDS: usize = 4;

const _: () = assert!(size_of::<ReplyKey>() == 24 && size_of::<Reply>() == 24);

//! What the benchmarks' own programs read and write. Nothing of it lies in a pinned map.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Words of a frame's beginning, at most, that are written before each run.
pub const WORDS: usize = 9;

/// Bytes of an IPv4 frame before its first word. Words are laid so that each field of a header lies
/// in one of them: a load that needs two stores would have to wait until both are done.
pub const HEAD_V4: usize = 2;
/// Words of an IPv4 frame.
pub const WORDS_V4: usize = 7;
/// Bytes of an IPv6 frame before its first word.
pub const HEAD_V6: usize = 6;
/// Words of an IPv6 frame.
pub const WORDS_V6: usize = 9;

/// The word of an IPv4 frame that holds a time, if the frame is stamped.
pub const STAMP_WORD: usize = 6;

/// What tells one flow's packets from another's, as on the wire: the last four bytes of the client's
/// address, or of what stands for it, its port, and the last two bytes of the backend's address.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Flow(pub u64);

impl Flow {
    /// From its parts in network byte order.
    #[inline(always)]
    pub const fn new(address: [u8; 4], port: [u8; 2], backend: [u8; 2]) -> Self {
        let [a, b, c, d] = address;
        Self(u64::from_ne_bytes([a, b, c, d, port[0], port[1], backend[0], backend[1]]))
    }

    /// The address's bytes as they lie in memory.
    #[inline(always)]
    pub const fn address(self) -> u64 {
        self.0 & 0xffff_ffff
    }

    /// The port's bytes, likewise.
    #[inline(always)]
    pub const fn port(self) -> u64 {
        self.0 >> 32 & 0xffff
    }

    /// The backend's bytes, likewise.
    #[inline(always)]
    pub const fn backend(self) -> u64 {
        self.0 >> 48
    }
}

/// Value of the map `TEMPLATE`: the frame without what varies, whose bytes are 0 in it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Template {
    /// What comes before the words.
    pub head: [u8; 8],
    /// The words, as they lie in memory.
    pub words: [u64; WORDS],
    /// Sum of the IPv4 header's 16-bit words as they lie in memory, but for its checksum.
    pub sum: u32,
    /// Bytes of the frame.
    pub length: u32,
    /// The first of the flows that take turns.
    pub first: u32,
    /// How many they are.
    pub flows: u32,
    /// How much later in the sequence each segment of a flow is than the one before it.
    pub step: u32,
    /// Places of `MEMORY` without one; places are a power of two.
    pub mask: u32,
}

/// Value of the map `PROGRESS`: whose turn it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Progress {
    /// The next flow, counted from the first.
    pub next: u32,
    /// How often all flows have had their turn.
    pub turns: u32,
    /// Where the last dependent load was, and what it gave.
    pub loaded: u64,
    /// Where the first frame of a run began; 0: none has come yet.
    pub start: u64,
    /// Where this one begins, written and read back: a pointer becomes a number that way.
    pub here: u64,
}

/// Value of the map `RECEIVER`: what it is told, and what it has seen.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Receiver {
    /// Where the time stands in a frame; 0: nowhere.
    pub stamp_at: u32,
    /// Interface that the bare redirect leads to.
    pub interface: u32,
    /// Frames received.
    pub frames: u64,
    /// Frames whose time was kept.
    pub kept: u64,
}

/// Words of 32 bits of a spoofed SYN's frame, at most.
pub const SPOOFED_WORDS: usize = 24;
/// Bytes before the frame of a spoofed SYN, which make each word of a header lie in one of these.
pub const SPOOFED_PAD: usize = 2;
/// Words of a spoofed SYN over IPv4 with 20 bytes of options, padding included.
pub const SPOOFED_WORDS_V4: usize = 19;
/// The same over IPv6.
pub const SPOOFED_WORDS_V6: usize = 24;

/// Value of the map `SPOOFED`: what all SYNs of a flood have in common, and how many there were.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Spoofed {
    /// One of them behind [`SPOOFED_PAD`] bytes, as it lies in memory, its checksums right.
    pub words: [u32; SPOOFED_WORDS],
    /// SYNs made so far: each number is another client.
    pub made: u64,
}

/// Value of the map `ANSWERED`: what came to the clients of a flood that are not there.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Answered {
    /// SYN-ACKs that open no window: cookies.
    pub cookies: u64,
    /// Other SYN-ACKs: a backend's.
    pub by_backends: u64,
    /// Other segments.
    pub others: u64,
}

const _: () = assert!(size_of::<Spoofed>() == 104 && size_of::<Answered>() == 24);
const _: () = assert!(size_of::<Template>() == 104 && size_of::<Progress>() == 32);
const _: () = assert!(size_of::<Receiver>() == 24);

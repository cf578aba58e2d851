//! Options of a TCP header (RFC 9293 section 3.1), read, or changed in place: the MSS is lowered,
//! timestamps become no-operations, selective acknowledgements are renumbered. The header keeps its
//! length.

mod offered;
mod sack;

pub use offered::{Offered, read, read_one};

use crate::checksum::Delta;

/// Bytes of options at most.
pub const LONGEST: usize = 40;
/// A buffer of options: a power of two, so that a masked index needs no check.
pub const BUFFER: usize = 64;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const TIMESTAMPS_LENGTH: usize = 10;

/// What becomes of the MSS: at most `limit` (0: as announced), then `less` lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mss {
    /// Host byte order.
    pub limit: u16,
    /// Bytes that somebody adds to segments on the way.
    pub less: u16,
}

impl Mss {
    /// The MSS to announce instead.
    #[inline(always)]
    pub const fn applied(self, announced: u16) -> u16 {
        let limited =
            if self.limit != 0 && announced > self.limit { self.limit } else { announced };
        if limited > self.less { limited - self.less } else { limited }
    }
}

/// What becomes of timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// They stay.
    Keep,
    /// They are no longer offered (RFC 7323 section 1.3: none are used then).
    Strip,
}

/// What becomes of a segment's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The MSS.
    pub mss: Mss,
    /// Timestamps.
    pub timestamps: Timestamps,
    /// What is taken off the numbers in selective acknowledgements (RFC 2018), instead of the rest:
    /// no SYN has such.
    pub sack: u32,
}

/// Of a packed wish: it is about selective acknowledgements.
const OF_SACK: u64 = 1 << 63;

impl Wish {
    /// Nothing.
    pub const NONE: Self =
        Self { mss: Mss { limit: 0, less: 0 }, timestamps: Timestamps::Keep, sack: 0 };

    /// As one number.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        if self.sack != 0 {
            return OF_SACK | self.sack as u64;
        }
        let strip = matches!(self.timestamps, Timestamps::Strip) as u64;
        strip << 32 | (self.mss.limit as u64) << 16 | self.mss.less as u64
    }

    /// From one number.
    #[inline(always)]
    pub const fn unpack(wish: u64) -> Self {
        if wish & OF_SACK != 0 {
            return Self { sack: wish as u32, ..Self::NONE };
        }
        let timestamps = if wish >> 32 == 0 { Timestamps::Keep } else { Timestamps::Strip };
        let mss = Mss { limit: (wish >> 16) as u16, less: wish as u16 };
        Self { mss, timestamps, sack: 0 }
    }
}

/// Kind and size of the option at `at`; `None`: there is none that can be read.
#[inline(always)]
fn option(options: &[u8; BUFFER], at: usize, length: usize) -> Option<(u8, usize)> {
    if at + 1 >= length || at >= LONGEST {
        return None;
    }
    let kind = options[at & (BUFFER - 1)];
    let size = usize::from(options[(at + 1) & (BUFFER - 1)]);
    match kind {
        NO_OPERATION => Some((NO_OPERATION, 1)),
        END => None,
        _ if size < 2 || at + size > length => None,
        kind => Some((kind, size)),
    }
}

/// Edits one option, at `at` of `length` bytes of options. Returns where the next one is, or
/// [`LONGEST`] if there is none that can be read, and what the edit is to the checksum.
#[inline(always)]
pub fn edit_one(
    options: &mut [u8; BUFFER],
    at: usize,
    length: usize,
    wish: Wish,
) -> (usize, Delta) {
    let (kind, size) = match option(options, at, length) {
        Some((NO_OPERATION, _)) => return (at + 1, Delta::NONE),
        Some(option) => option,
        None => return (LONGEST, Delta::NONE),
    };
    let mut delta = Delta::NONE;
    if kind == SACK {
        return (at + size, sack::renumber(options, at + 2, at + size, wish.sack));
    }
    if kind == MSS && size == 4 {
        let announced = u16::from_be_bytes([
            options[(at + 2) & (BUFFER - 1)],
            options[(at + 3) & (BUFFER - 1)],
        ]);
        let [high, low] = wish.mss.applied(announced).to_be_bytes();
        delta = replace(options, at + 2, high, delta);
        delta = replace(options, at + 3, low, delta);
    }
    if kind == TIMESTAMPS
        && size == TIMESTAMPS_LENGTH
        && matches!(wish.timestamps, Timestamps::Strip)
    {
        let mut byte = 0;
        while byte < TIMESTAMPS_LENGTH {
            delta = replace(options, at + byte, NO_OPERATION, delta);
            byte += 1;
        }
    }
    (at + size, delta)
}

/// Edits `length` bytes of options by a function that edits one, as [`edit_one`] does; returns
/// what that is to the checksum. What cannot be read stays as it is from there on.
#[inline(always)]
pub fn edit(mut edit_one: impl FnMut(usize) -> (usize, Delta)) -> Delta {
    let (mut sum, mut turn, mut at) = (Delta::NONE, 0, 0);
    while turn < LONGEST {
        let (next, delta) = edit_one(at);
        sum = sum.and(delta);
        if next >= LONGEST {
            break;
        }
        at = next;
        turn += 1;
    }
    sum
}

/// Replaces a byte; options begin at an even offset of what the checksum sums.
#[inline(always)]
fn replace(options: &mut [u8; BUFFER], at: usize, new: u8, delta: Delta) -> Delta {
    let old = options[at & (BUFFER - 1)];
    options[at & (BUFFER - 1)] = new;
    match at & 1 {
        0 => delta.replace16(u16::from_ne_bytes([old, 0]), u16::from_ne_bytes([new, 0])),
        _ => delta.replace16(u16::from_ne_bytes([0, old]), u16::from_ne_bytes([0, new])),
    }
}

#[cfg(test)]
mod tests;

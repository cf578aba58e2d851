//! Options of a TCP header (RFC 9293 section 3.1), changed in place: the MSS is lowered, timestamps
//! become no-operations. The header keeps its length.

use crate::checksum::Delta;

/// Bytes of options at most.
pub const LONGEST: usize = 40;
/// A buffer of options: a power of two, so that a masked index needs no check.
pub const BUFFER: usize = 64;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;
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
}

impl Wish {
    /// Nothing.
    pub const NONE: Self = Self { mss: Mss { limit: 0, less: 0 }, timestamps: Timestamps::Keep };

    /// As one number.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        let strip = matches!(self.timestamps, Timestamps::Strip) as u64;
        strip << 32 | (self.mss.limit as u64) << 16 | self.mss.less as u64
    }

    /// From one number.
    #[inline(always)]
    pub const fn unpack(wish: u64) -> Self {
        let timestamps = if wish >> 32 == 0 { Timestamps::Keep } else { Timestamps::Strip };
        Self { mss: Mss { limit: (wish >> 16) as u16, less: wish as u16 }, timestamps }
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
    let nothing = (LONGEST, Delta::NONE);
    if at + 1 >= length || at >= LONGEST {
        return nothing;
    }
    let kind = options[at & (BUFFER - 1)];
    if kind == NO_OPERATION {
        return (at + 1, Delta::NONE);
    }
    let size = usize::from(options[(at + 1) & (BUFFER - 1)]);
    if kind == END || size < 2 || at + size > length {
        return nothing;
    }
    let mut delta = Delta::NONE;
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
mod tests {
    use etherparse::{TcpHeader, TcpOptionElement};
    use proptest::prelude::*;

    use super::*;

    fn edited(bytes: &[u8], mss: Mss, timestamps: Timestamps) -> (Vec<u8>, Delta) {
        let mut buffer = [0xee; BUFFER];
        buffer[..bytes.len()].copy_from_slice(bytes);
        let wish = Wish { mss, timestamps };
        assert_eq!(Wish::unpack(wish.pack()), wish);
        let delta = edit(|at| edit_one(&mut buffer, at, bytes.len(), wish));
        assert!(buffer[bytes.len()..].iter().all(|byte| *byte == 0xee), "nothing behind changes");
        (buffer[..bytes.len()].to_vec(), delta)
    }

    fn header(elements: &[TcpOptionElement]) -> TcpHeader {
        let mut header = TcpHeader::new(1, 2, 3, 4);
        header.set_options(elements).expect("they fit");
        header
    }

    #[test]
    fn the_mss_is_lowered_never_raised_and_makes_room() {
        let one = |announced| header(&[TcpOptionElement::MaximumSegmentSize(announced)]);
        for (limit, less, announced, wanted) in [
            (1400, 0, 1460, 1400),
            (1400, 0, 1300, 1300),
            (0, 8, 1460, 1452),
            (0, 20, 1440, 1420),
            (1400, 8, 1460, 1392),
            (0, 0, 1460, 1460),
            (0, 8, 8, 8),
            (0, 8, 0, 0),
        ] {
            let mss = Mss { limit, less };
            let (bytes, _) = edited(one(announced).options.as_slice(), mss, Timestamps::Keep);
            assert_eq!(bytes, one(wanted).options.as_slice(), "{mss:?} {announced}");
        }
    }

    #[test]
    fn timestamps_become_no_operations_and_nothing_else_does() {
        use TcpOptionElement::*;
        let before = header(&[
            MaximumSegmentSize(1460),
            SelectiveAcknowledgementPermitted,
            Timestamp(0x0102_0304, 0x0506_0708),
            Noop,
            WindowScale(7),
        ]);
        let noops = [const { Noop }; 10];
        let after = header(
            &[
                &[MaximumSegmentSize(1460), SelectiveAcknowledgementPermitted][..],
                &noops,
                &[Noop, WindowScale(7)],
            ]
            .concat(),
        );
        let (bytes, _) = edited(before.options.as_slice(), Mss::default(), Timestamps::Strip);
        assert_eq!(bytes, after.options.as_slice());
        let (bytes, _) = edited(before.options.as_slice(), Mss::default(), Timestamps::Keep);
        assert_eq!(bytes, before.options.as_slice());
    }

    #[test]
    fn options_that_lie_about_their_length_stay_as_they_are() {
        let mss = Mss { limit: 500, less: 0 };
        for bytes in [
            &[2, 4, 5, 0xb4, 8, 200, 1, 2][..],
            &[8, 10, 0, 0],
            &[2, 0, 5, 0xb4],
            &[2, 1, 5, 0xb4],
            &[0, 2, 4, 5],
            &[2, 3, 5, 0xb4],
            &[1, 1, 1, 2],
        ] {
            let (after, _) = edited(bytes, mss, Timestamps::Strip);
            let wanted = if bytes[..2] == [2, 4] {
                [&[2, 4, 1, 0xf4], &bytes[4..]].concat()
            } else {
                bytes.to_vec()
            };
            assert_eq!(after, wanted);
        }
    }

    proptest! {
        #[test]
        fn the_checksum_follows_every_change(
            words in 0_usize..=10,
            bytes in prop::collection::vec(prop_oneof![Just(1_u8), Just(2), Just(4), Just(8), Just(10), any::<u8>()], 40),
            limit in 0_u16..2000,
            less in prop_oneof![Just(0_u16), Just(8), Just(20)],
        ) {
            let bytes = &bytes[..words * 4];
            let (after, delta) = edited(bytes, Mss { limit, less }, Timestamps::Strip);
            let of = |options: &[u8]| {
                let mut header = TcpHeader::new(1, 2, 3, 4);
                header.set_options_raw(options).unwrap();
                header.calc_checksum_ipv4_raw([10, 0, 0, 1], [10, 0, 0, 2], &[]).unwrap()
            };
            let stored = |sum: u16| u16::from_ne_bytes(sum.to_be_bytes());
            let (got, wanted) = (delta.apply(stored(of(bytes))), stored(of(&after)));
            prop_assert!(got == wanted || (got ^ wanted) == 0xffff && (got == 0 || wanted == 0));
        }
    }
}

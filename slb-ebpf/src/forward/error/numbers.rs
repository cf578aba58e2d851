//! Sequence numbers that an error quotes of a segment, as its receiver knows them.

use crate::{
    checksum::Delta,
    packet::{Frame, Header, Short},
    parse::icmp::Quote,
};

/// Offset of the sequence number in a TCP header.
const SEQUENCE: u16 = 4;
/// Offset of what it acknowledges.
const ACKNOWLEDGEMENT: u16 = 8;

/// What is added to the numbers of a quoted segment.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Numbers {
    /// To the sequence number, which is always quoted.
    pub sequence: u32,
    /// To what it acknowledges.
    pub acknowledgement: u32,
}

impl Numbers {
    /// Both stay.
    pub const KEPT: Self = Self { sequence: 0, acknowledgement: 0 };

    /// Adds them, as far as the numbers are quoted; returns what has changed by then.
    #[inline(always)]
    pub(super) fn add(self, frame: Frame, quote: &Quote, changed: Delta) -> Result<Delta, Short> {
        let changed = add(changed, frame, quote, SEQUENCE, self.sequence)?;
        add(changed, frame, quote, ACKNOWLEDGEMENT, self.acknowledgement)
    }
}

/// A sequence or acknowledgement number by itself: the quote may end behind it.
#[derive(Clone, Copy)]
#[cfg_attr(target_arch = "bpf", repr(C))]
#[cfg_attr(not(target_arch = "bpf"), repr(C, packed))]
struct Number(u32);

// SAFETY: one integer.
unsafe impl Header for Number {}

/// Adds to a number of a quoted segment, if it is quoted.
#[inline(always)]
fn add(
    changed: Delta,
    frame: Frame,
    quote: &Quote,
    offset: u16,
    more: u32,
) -> Result<Delta, Short> {
    if more == 0 || usize::from(quote.quoted) < usize::from(offset) + size_of::<Number>() {
        return Ok(changed);
    }
    let place = frame.place::<Number>(usize::from(quote.transport + offset))?;
    // SAFETY: `place` has checked that the number lies in the frame.
    unsafe {
        let before = (*place).0;
        let after = u32::from_be(before).wrapping_add(more).to_be();
        (*place).0 = after;
        Ok(changed.replace32(before, after))
    }
}

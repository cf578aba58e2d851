//! The numbers in selective acknowledgements (RFC 2018).

use super::{BUFFER, replace};
use crate::checksum::Delta;

/// Numbers in selective acknowledgements: two for each of at most four blocks.
const NUMBERS: usize = 8;

/// Takes `less` off the numbers from `at` to `end`.
#[inline(always)]
pub(super) fn renumber(options: &mut [u8; BUFFER], at: usize, end: usize, less: u32) -> Delta {
    let (mut delta, mut number, mut at) = (Delta::NONE, 0, at);
    while number < NUMBERS {
        if at + 4 > end {
            break;
        }
        let mut bytes = [0; 4];
        let mut byte = 0;
        while byte < bytes.len() {
            bytes[byte] = options[(at + byte) & (BUFFER - 1)];
            byte += 1;
        }
        let bytes = u32::from_be_bytes(bytes).wrapping_sub(less).to_be_bytes();
        let mut byte = 0;
        while byte < bytes.len() {
            delta = replace(options, at + byte, bytes[byte], delta);
            byte += 1;
        }
        at += bytes.len();
        number += 1;
    }
    delta
}

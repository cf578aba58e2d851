//! What entries hold outside the table, and give back when they end.

use crate::connections::line::Line;

/// Gives back what the entry of a line was tied to; nobody else writes the line meanwhile.
#[inline(always)]
pub fn untie<const W: usize>(line: Line<W>) {
    let _ties = line.ties();
}

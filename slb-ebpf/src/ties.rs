//! What entries hold outside the table, and give back when they end.

use slb_common::connection::offset;

use crate::{connections::line::Line, local_ports};

/// Gives back what the entry of a line was tied to; nobody else writes the line meanwhile.
#[inline(always)]
pub fn untie<const W: usize>(line: Line<W>) {
    let ties = line.ties();
    if ties.local_port() != [0; 2] {
        let backend = line.endpoint(offset::backend::<W>());
        local_ports::release(ties, &backend, line.protocol());
    }
}

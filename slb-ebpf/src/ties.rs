//! What entries hold outside the table, and give back when they end.

use slb_common::connection::{Class, endpoint_address, offset};

use crate::{admission::clients, connections::line::Line, local_ports, verified};

/// Gives back what the entry of a line was tied to, which was of this class last; nobody else writes
/// the line meanwhile.
#[inline(always)]
pub fn untie<const W: usize>(line: Line<W>, former: Class) {
    let ties = line.ties();
    if ties.local_port() != [0; 2] {
        let backend = || line.endpoint(offset::backend::<W>());
        local_ports::release(ties, backend, line.protocol());
    }
    if ties.template_prefix() != 0 {
        let client = endpoint_address(&line.endpoint(offset::CLIENT));
        verified::release::<W>(client, ties.group(), ties.template_prefix());
    }
    // What closes is counted no more.
    if ties.client_prefix() != 0 && former.limited() {
        clients::untie(line, ties.client_prefix());
    }
}

//! TCP options on the way: what SYNs announce, and the client's endpoint for the backend.

use aya_ebpf::programs::XdpContext;
use slb_common::next_hop::NextHop;

use super::{syn, toa};
use crate::{
    connections::{lookup::Entry, store::Side},
    maps::service_of,
    parse::Packet,
    tcp_options::Wish,
    verified,
};

/// Edits those of a segment whose addresses and ports have been rewritten.
#[inline(always)]
pub fn edit<const W: usize>(
    context: &XdpContext,
    packet: &Packet<W>,
    side: Side,
    entry: &Entry<W>,
    hop: &NextHop,
) {
    let (flags, transport) = (packet.ports.flags, packet.network.transport);
    if let Some(service) = service_of(entry.service()) {
        let wish = syn::wish::<W>(service, side, entry.translation.mode(), flags);
        if wish != Wish::NONE {
            verified::edit_options(context, transport, wish.pack());
        }
    }
    if toa::due(entry, side, flags, &packet.network, hop) {
        // The client's, by which the entry was found: of what a pointer leads to, all stays in
        // memory, and the packet's addresses are there already.
        verified::insert_toa(context, &packet.source, packet.link.at(), transport);
    }
    toa::note_reply(entry, side, flags);
}

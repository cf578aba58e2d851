//! Full NAT: both ends are replaced. The backend sees a local address and answers to it, so that
//! replies come back whatever its routes are.

use aya_ebpf::programs::XdpContext;

use super::nat::{self, Rewrite};
use crate::{
    connections::{lookup::Entry, store::Side},
    local_ports,
    packet::{Frame, Step},
    parse::Packet,
};

/// Rewrites a packet of either direction.
#[inline(always)]
pub fn rewrite<const W: usize>(
    context: &XdpContext,
    packet: &Packet<W>,
    side: Side,
    entry: &Entry<W>,
) -> Step<()> {
    let local = local_ports::endpoint_of(entry.ties)?;
    let (source, destination) = match side {
        Side::Vip => (&local, &entry.backend),
        Side::Backend => (&entry.vip, &entry.client),
    };
    let ends = [
        Rewrite { side: Side::Backend, old: &packet.source, new: source },
        Rewrite { side: Side::Vip, old: &packet.destination, new: destination },
    ];
    nat::rewrite(Frame::of(context), packet.link.at(), &packet.network, &ends)
}

//! The next hop of a connection's packet.

use aya_ebpf::programs::XdpContext;
use slb_common::{Verdict, connection::endpoint_address, next_hop::NextHop, service::mode};

use crate::{
    connections::lookup::Entry, forward::tunnel, handover, maps::backend_of, neighbours,
    packet::Step,
};

/// The next hop to a connection's backend, for a packet of this length.
#[inline(always)]
pub fn backend<const W: usize>(entry: &Entry<W>, length: u32, hop: &mut NextHop) -> Step<()> {
    let backend = backend_of(entry.seen.slot()).ok_or(Verdict::DropInternal)?;
    // The slot has another owner by now, whom the connection never met.
    if backend.generation != entry.seen.generation() {
        return Err(Verdict::DropNoBackend);
    }
    if !backend.hop.known() {
        return Err(Verdict::DropNoNextHop);
    }
    let overhead = match entry.translation.mode() {
        mode::TUNNEL => tunnel::overhead(backend.family),
        _ => 0,
    };
    // What is not known to be less is what a length can say.
    let mtu = if backend.hop.mtu == 0 { u16::MAX } else { backend.hop.mtu };
    if length + overhead > u32::from(mtu) {
        return Err(handover::too_big(u32::from(mtu).saturating_sub(overhead)));
    }
    *hop = backend.hop;
    Ok(())
}

/// The next hop to a connection's client: the kept one; if that is out of date, the route's.
#[inline(always)]
pub fn client<const W: usize>(
    context: &XdpContext,
    entry: &Entry<W>,
    hop: &mut NextHop,
) -> Step<()> {
    let kept = neighbours::kept(entry.client_hop());
    if !kept.is_some_and(NextHop::usable)
        && neighbours::by_route(context, endpoint_address(&entry.client), hop)
    {
        entry.set_client_hop(neighbours::keep(hop));
        return Ok(());
    }
    // Out of date or not: nothing better is known where the kernel does not forward.
    *hop = *kept.ok_or(Verdict::DropNoNextHop)?;
    Ok(())
}

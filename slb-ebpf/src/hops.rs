//! The next hop of a connection's packet.

use aya_ebpf::programs::XdpContext;
use slb_common::{
    Verdict,
    connection::endpoint_address,
    next_hop::NextHop,
    service::{BACKEND_DOWN, mode},
};

use crate::{
    connections::lookup::Entry, forward::tunnel, handover, maps::backend_of, neighbours,
    packet::Step, pipeline::Look,
};

/// What a packet does whose entry's backend has failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IfFailed {
    /// It goes there.
    Stays,
    /// It goes the slow path, to another one.
    Leaves,
}

/// The next hop to a connection's backend, for a packet of this length.
#[inline(always)]
pub fn backend<const W: usize>(
    entry: &Entry<W>,
    length: u32,
    if_failed: IfFailed,
) -> Step<&'static NextHop> {
    let backend = backend_of(entry.seen.slot()).ok_or(Verdict::DropInternal)?;
    if if_failed == IfFailed::Leaves && backend.flags & BACKEND_DOWN != 0 {
        return Err(handover::open(Look::First));
    }
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
    fits(length, overhead, &backend.hop)
}

/// The next hop to a connection's client, for a packet of this length: the kept one; if that is out
/// of date, the route's.
#[inline(always)]
pub fn client<const W: usize>(
    context: &XdpContext,
    entry: &Entry<W>,
    length: u32,
) -> Step<&'static NextHop> {
    let kept = neighbours::kept(entry.client_hop());
    let hop = match kept {
        Some(hop) if hop.usable() => hop,
        _ => match neighbours::by_route(context, endpoint_address(&entry.client)) {
            Some(hop) => {
                entry.set_client_hop(neighbours::keep(hop));
                hop
            }
            // Out of date or not: nothing better is known where the kernel does not forward.
            None => kept.ok_or(Verdict::DropNoNextHop)?,
        },
    };
    fits(length, 0, hop)
}

/// Refuses a packet that the way does not carry with `overhead` bytes before it.
#[inline(always)]
fn fits(length: u32, overhead: u32, hop: &'static NextHop) -> Step<&'static NextHop> {
    // What is not known to be less is what a length can say.
    let mtu = u32::from(if hop.mtu == 0 { u16::MAX } else { hop.mtu });
    if length + overhead > mtu {
        return Err(handover::too_big(mtu.saturating_sub(overhead)));
    }
    Ok(hop)
}

//! The slow path, a connection's first packet: service, admission, way back, scheduler, entry. Like
//! the pipeline it only orders stages.

use aya_ebpf::programs::XdpContext;
use slb_common::{
    Verdict,
    connection::{Seen, Ties, Translation, endpoint, endpoint_address, mark},
    fragment::NO_SLOT,
    service::{BACKEND_PRESENT, SERVICE_ONE_PACKET, mode, scheduler},
};

use crate::{
    admission::acl,
    entering::{choose, enter_v4, enter_v6},
    forward::toa,
    fragments::following,
    handover,
    maps::{self, backend_of},
    neighbours,
    packet::{Frame, Step},
    parse::{
        self, Packet,
        link::{self, Link},
    },
    pipeline::{self, Look},
    schedulers::{Draw, NO_SERVER, NOBODY, hash},
    services, syn_defence, verified,
};

/// Opens a connection and hands the packet to the rare pipeline, or says how its story ends.
#[inline(always)]
pub fn run(context: &XdpContext) -> Verdict {
    let opened = match link::link(Frame::of(context)) {
        Ok(Link { ethertype: link::IPV4, .. }) => prepare_v4(context).and_then(|()| enter_v4()),
        Ok(_) => prepare_v6(context).and_then(|()| enter_v6()),
        Err(verdict) => Err(verdict),
    };
    match opened {
        Ok(()) => handover::rare(Look::Opened),
        Err(verdict) => verdict,
    }
}

/// IPv4, on a stack frame of its own.
#[inline(never)]
fn prepare_v4(context: &XdpContext) -> Step<()> {
    let (packet, _) = pipeline::parse::<1, false>(context)?;
    let prepared = prepare(context, &packet);
    elsewhere(Frame::of(context), &packet, prepared)
}

/// IPv6, likewise.
#[inline(never)]
fn prepare_v6(context: &XdpContext) -> Step<()> {
    let (packet, _) = pipeline::parse::<3, false>(context)?;
    let prepared = prepare(context, &packet);
    elsewhere(Frame::of(context), &packet, prepared)
}

/// What is to no listener may be a reply to a client whose address shares a bit with a VIP.
#[inline(always)]
fn elsewhere<const W: usize>(frame: Frame, packet: &Packet<W>, opened: Step<()>) -> Step<()> {
    if opened == Err(Verdict::PassNoListener)
        && packet.network.fragment.first()
        && services::to_vip(&packet.destination)
    {
        // The kernel gets the whole datagram; without a place it gets only this part.
        let _ = following::remember(frame, packet, NO_SLOT);
    }
    match opened {
        Err(Verdict::PassNoListener) if services::from_backend(&packet.source) => {
            Err(handover::rare(Look::Reply))
        }
        opened => opened,
    }
}

/// How the segments of a new connection are translated. One whose client answered a cookie waits
/// for its backend.
#[inline(always)]
fn translation(mode: u8, protocol: u8, look: Look) -> Translation {
    let (plain, marks) = (Translation::of_mode(mode), toa::marks(mode, protocol));
    if look != Look::Proven {
        return plain.with_marks(marks);
    }
    let marks = marks | mark::SPLICED | mark::WAITING | mark::RARE;
    plain.with_marks(marks).with_delta(handover::proven_by().0, 0)
}

/// Service, admission, way back: what stands in the entry besides the backend.
#[inline(always)]
fn prepare<const W: usize>(context: &XdpContext, packet: &Packet<W>) -> Step<()> {
    let (protocol, now) = (packet.network.protocol, maps::tick());
    let (id, service) = services::find(&packet.destination, protocol)?;
    let one_packet = service.flags & SERVICE_ONE_PACKET != 0;
    let later = packet.network.fragment.later();
    if later && !one_packet {
        // Its first one was not forwarded, or the connection has ended since.
        return Err(Verdict::DropFragmentWithoutFirst);
    }
    let (source, vip) = (endpoint_address(&packet.source), endpoint_address(&packet.destination));
    if parse::martian::<W>(source) || parse::same(source, vip) {
        return Err(Verdict::DropMartian);
    }
    let new = maps::opening::<W>().ok_or(Verdict::DropInternal)?;
    new.client = packet.source;
    new.vip = endpoint(vip, packet.ports.destination, id);
    new.ties = Ties::NONE;
    let look = handover::look();
    new.translation = translation(service.mode, protocol, look);
    let admitted = match services::admit(service, protocol, &packet.ports) {
        Err(verdict) if !syn_defence::may_answer(service, packet.ports.flags, now) => {
            return Err(verdict);
        }
        admitted => admitted,
    };
    acl::admit::<W>(id, service, source)?;
    if packet.network.ttl <= 1 {
        return Err(Verdict::DropTtl);
    }
    new.state = syn_defence::admit((id, service), packet, look, now, admitted)?;
    let one_sided = mode::one_sided(service.mode);
    if one_sided {
        new.translation = new.translation.with_opened(now);
    }
    let hop = match neighbours::toward_client(context, source, &packet.link) {
        Ok(hop) => hop,
        // Only what the balancer itself has to say would go there.
        Err(_) if one_sided => 0,
        Err(verdict) => return Err(verdict),
    };
    let kind = service.ring.scheduler();
    let hash = hash::input(kind, source, vip, packet.ports.both());
    let server_id = match kind {
        scheduler::QUIC => verified::server_id(context, packet.network.transport),
        _ => None,
    };
    // The port is whatever backend comes out, and its address.
    new.backend = endpoint([0; 2], [0; 2], hop);
    new.seen = Seen::new(now, 0, 0);
    if later {
        // Where its first one went.
        let slot = following::slot(Frame::of(context), packet)?;
        let backend = backend_of(slot).ok_or(Verdict::DropInternal)?;
        if backend.flags & BACKEND_PRESENT == 0 || backend.service != id {
            return Err(Verdict::DropFragmentWithoutFirst);
        }
        return Err(choose::<W>(slot));
    }
    let server_id = server_id.map_or(NO_SERVER, u32::from);
    *maps::draw().ok_or(Verdict::DropInternal)? =
        Draw { hash, server_id, attempt: 0, refused: NOBODY };
    Ok(())
}

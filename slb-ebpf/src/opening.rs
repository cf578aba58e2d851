//! The slow path, a connection's first packet: service, admission, way back, scheduler, entry. Like
//! the pipeline it only orders stages.

use aya_ebpf::programs::XdpContext;
use slb_common::{
    Verdict,
    connection::{
        Seen, Ties, Translation, endpoint, endpoint_address, endpoint_extra, endpoint_port,
    },
    fragment::NO_SLOT,
    service::{
        BACKEND_PRESENT, BACKEND_SAME_PORT, Backend, SERVICE_ONE_PACKET, Service, mode, scheduler,
    },
};

use crate::{
    admission::{acl, backends, limits},
    connections::insert::{New, Refused, open},
    forward::toa,
    fragments::following,
    handover, local_ports,
    maps::{self, Maps, backend_of, service_of},
    neighbours, one_packet,
    packet::{Frame, Step},
    parse::{
        self, Packet,
        link::{self, Link},
    },
    pipeline::{self, Look},
    schedulers::{Draw, NO_SERVER, NOBODY, hash},
    services, stats, verified,
};

/// Draws for one new connection: a backend that cannot be taken leaves one more.
const ATTEMPTS: u32 = 2;

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
    if parse::martian::<W>(source) || same(source, vip) {
        return Err(Verdict::DropMartian);
    }
    let new = maps::opening::<W>().ok_or(Verdict::DropInternal)?;
    new.client = packet.source;
    new.vip = endpoint(vip, packet.ports.destination, id);
    new.ties = Ties::NONE;
    new.translation =
        Translation::of_mode(service.mode).with_marks(toa::marks(service.mode, protocol));
    new.state = services::admit(service, protocol, &packet.ports)?;
    acl::admit::<W>(id, service, source)?;
    if packet.network.ttl <= 1 {
        return Err(Verdict::DropTtl);
    }
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

/// IPv4, on a stack frame of its own beside that of all before: the chain of calls from here is the
/// longest.
#[inline(never)]
fn enter_v4() -> Step<()> {
    enter::<1>()
}

/// IPv6, likewise.
#[inline(never)]
fn enter_v6() -> Step<()> {
    enter::<3>()
}

/// Limits, backend and entry. What the connection was tied to is given back if none was made.
#[inline(always)]
fn enter<const W: usize>() -> Step<()> {
    let new = maps::opening::<W>().ok_or(Verdict::DropInternal)?;
    let (id, client) = (endpoint_extra(&new.vip), endpoint_address(&new.client));
    let service = service_of(id).ok_or(Verdict::DropInternal)?;
    let ticket = limits::enter(id, service, client)?;
    new.ties = ticket.tied(new.ties);
    let entered = draw_and_open(id, service, new);
    if entered != Ok(Entered::Here) {
        verified::give_back(new);
    }
    limits::leave(id, service, ticket, client, entered == Ok(Entered::Here));
    entered.map(|_| ())
}

/// What became of a backend that was drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entered {
    /// This packet made the entry.
    Here,
    /// Another packet of the connection was quicker.
    Elsewhere,
    /// The slot is somebody else's by now.
    Gone,
    /// The client reaches it already, by another VIP.
    TupleInUse,
}

/// Draws a backend and makes the entry.
#[inline(always)]
fn draw_and_open<const W: usize>(id: u16, service: &Service, new: &mut New<W>) -> Step<Entered> {
    let drawing = maps::draw().ok_or(Verdict::DropInternal)?;
    let (mut attempt, mut refused) = (0, NOBODY);
    while attempt < ATTEMPTS {
        let draw = Draw { attempt, refused, ..*drawing };
        let drawn = match verified::choose(new, draw) {
            Some(slot) => slot,
            None => return Err(backends::nobody(id, service, refused)),
        };
        let (slot, held) = backends::enter(id, service, drawn, drawing.hash)?;
        attempt += 1;
        let entered = open_at(id, service, slot, new);
        backends::leave(slot, held);
        match entered? {
            Entered::Gone => {}
            Entered::TupleInUse => refused = slot,
            entered => return Ok(entered),
        }
    }
    Err(if refused == NOBODY { Verdict::DropNoBackend } else { Verdict::DropTupleInUse })
}

/// Makes the entry toward one backend.
#[inline(always)]
fn open_at<const W: usize>(
    id: u16,
    service: &Service,
    slot: u32,
    new: &mut New<W>,
) -> Step<Entered> {
    let now = new.seen.tick();
    let backend = backend_of(slot).ok_or(Verdict::DropInternal)?;
    if backend.flags & BACKEND_PRESENT == 0 || backend.service != id {
        return Ok(Entered::Gone);
    }
    let full_nat = new.translation.mode() == mode::FULL_NAT;
    if same(backend.address, endpoint_address(&new.client)) && !full_nat {
        return Err(Verdict::DropHairpin);
    }
    if service.flags & SERVICE_ONE_PACKET != 0 {
        stats::connection(id, slot);
        return Err(choose::<W>(slot));
    }
    new.backend = answering(new, backend);
    new.seen = Seen::new(now, slot, backend.generation);
    local_ports::tie(new)?;
    let opened = open(Maps, new, now);
    local_ports::settle(new, opened);
    match opened {
        Ok(_line) => {
            stats::connection(id, slot);
            Ok(Entered::Here)
        }
        Err(Refused::Exists) => Ok(Entered::Elsewhere),
        Err(Refused::TupleInUse) => Ok(Entered::TupleInUse),
        Err(Refused::ClientFull) => Err(Verdict::DropClientFull),
        Err(Refused::Full) => Err(Verdict::DropTableFull),
        Err(Refused::Contended) => Err(Verdict::DropContended),
    }
}

/// Sends a datagram that gets no entry to a backend; returns who goes on with it.
#[inline(always)]
fn choose<const W: usize>(slot: u32) -> Verdict {
    if W == 1 { choose_v4(slot) } else { choose_v6(slot) }
}

/// IPv4, on a stack frame beside that of entries.
#[inline(never)]
fn choose_v4(slot: u32) -> Verdict {
    chosen::<1>(slot)
}

/// IPv6, likewise.
#[inline(never)]
fn choose_v6(slot: u32) -> Verdict {
    chosen::<3>(slot)
}

#[inline(always)]
fn chosen<const W: usize>(slot: u32) -> Verdict {
    let (Some(new), Some(backend)) = (maps::opening::<W>(), backend_of(slot)) else {
        return Verdict::DropInternal;
    };
    let [first, second] = endpoint_address(&new.client);
    one_packet::note_way(first, second, endpoint_extra(&new.backend));
    new.backend = answering(new, backend);
    new.seen = Seen::new(new.seen.tick(), slot, backend.generation);
    handover::rare(Look::Chosen)
}

/// The endpoint that a backend answers by: in dr and tunnel the VIP's. Extra: the next hop to the
/// client, as it was.
#[inline(always)]
fn answering<const W: usize>(new: &New<W>, backend: &Backend) -> [u64; W] {
    let (asked, hop) = (endpoint_port(&new.vip), endpoint_extra(&new.backend));
    if mode::one_sided(new.translation.mode()) {
        return endpoint(endpoint_address(&new.vip), asked, hop);
    }
    let port = if backend.flags & BACKEND_SAME_PORT != 0 { asked } else { backend.port };
    endpoint(backend.address, port, hop)
}

/// Equality without `memcmp`, which would be a call.
#[inline(always)]
const fn same(a: [u64; 2], b: [u64; 2]) -> bool {
    (a[0] ^ b[0]) | (a[1] ^ b[1]) == 0
}

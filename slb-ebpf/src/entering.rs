//! The second half of the slow path: limits, backend and entry of a connection that has been
//! prepared.

use slb_common::{
    Verdict,
    connection::{Seen, endpoint, endpoint_address, endpoint_extra, endpoint_port},
    service::{BACKEND_PRESENT, BACKEND_SAME_PORT, Backend, SERVICE_ONE_PACKET, Service, mode},
};

use crate::{
    admission::{backends, limits},
    connections::insert::{New, Refused, open},
    handover, local_ports,
    maps::{self, Maps, backend_of, service_of},
    one_packet,
    packet::Step,
    parse::same,
    pipeline::Look,
    schedulers::{Draw, NOBODY},
    stats, verified,
};

/// Draws for one new connection: a backend that cannot be taken leaves one more.
const ATTEMPTS: u32 = 2;

/// IPv4, on a stack frame of its own beside that of all before: the chain of calls from here is the
/// longest.
#[inline(never)]
pub fn enter_v4() -> Step<()> {
    enter::<1>()
}

/// IPv6, likewise.
#[inline(never)]
pub fn enter_v6() -> Step<()> {
    enter::<3>()
}

/// Limits, backend and entry. What the connection was tied to is given back if none was made.
#[inline(always)]
fn enter<const W: usize>() -> Step<()> {
    let new = maps::opening::<W>().ok_or(Verdict::DropInternal)?;
    let id = endpoint_extra(&new.vip);
    let service = service_of(id).ok_or(Verdict::DropInternal)?;
    let ticket = limits::enter(id, service, endpoint_address(&new.client))?;
    new.ties = ticket.tied(new.ties);
    let entered = draw_and_open(id, service, new);
    if entered != Ok(Entered::Here) {
        verified::give_back(new);
    }
    // Read anew: kept since the beginning it would take room on the stack.
    let client = endpoint_address(&new.client);
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
pub fn choose<const W: usize>(slot: u32) -> Verdict {
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

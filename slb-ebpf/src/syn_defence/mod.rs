//! SYN-flood defence: under a flood no SYN leaves anything behind here. In nat and full NAT it is
//! answered by a cookie, and the client's next segment opens the connection if it proves to be the
//! answer to one ([`stage`]). In dr and tunnel, where nobody could translate sequence numbers, it is
//! answered by a challenge, and who passes that is let in for a while.
//!
//! This file decides, on the slow path, which packets that is for.

mod backends;
mod clients;
mod keys;
pub mod offer;
mod segments;
pub mod stage;

use slb_common::{
    Verdict,
    connection::endpoint_address,
    cookie::LIFETIME_S,
    service::{SERVICE_COOKIES_ALWAYS, SERVICE_COOKIES_AUTO, Service, mode},
};

use crate::{
    admission::acl,
    connections::tcp_state::tcp,
    flood, handover,
    maps::{self, CHALLENGED, service_of},
    packet::Step,
    parse::{Packet, TCP},
    pipeline::Look,
    services,
};

/// The window scale that clients are told, whatever their backends will have.
const SCALE: u8 = 7;
/// Ticks that answers to cookies are taken for after the last one was given.
const GRACE: u64 = slb_common::connection::ticks(LIFETIME_S) as u64;
/// Flags that tell what a segment is to the defence.
const KINDS: u8 = tcp::SYN | tcp::ACK | tcp::RST;

/// True if a segment without connection may be the answer to a cookie or challenge.
#[inline(always)]
pub const fn may_answer(service: &Service, flags: u8, now: u32) -> bool {
    let reply = if mode::one_sided(service.mode) { tcp::RST } else { tcp::ACK };
    flags & KINDS == reply && guarded(service, now)
}

/// True for services that have SYNs answered, or have had it until not long ago.
#[inline(always)]
const fn guarded(service: &Service, now: u32) -> bool {
    service.flags & (SERVICE_COOKIES_AUTO | SERVICE_COOKIES_ALWAYS) != 0
        || service.answers_until > now
}

/// Has the segments that the defence is for go on in its stage; the others may do what they might
/// without it.
#[inline(always)]
pub fn admit<const W: usize>(
    (id, service): (u16, &Service),
    packet: &Packet<W>,
    look: Look,
    now: u32,
    admitted: Step<u8>,
) -> Step<u8> {
    // Who reuses a connection's ports takes no new place, and who has proven itself need not again.
    let known = look == Look::Anew || look == Look::Proven;
    if packet.network.protocol != TCP || !guarded(service, now) || known {
        return admitted;
    }
    let ([vip, vip_rest], [client, client_rest]) =
        (endpoint_address(&packet.destination), endpoint_address(&packet.source));
    let what = u64::from(packet.ports.flags & KINDS) << 24 | (W as u64) << 16 | u64::from(id);
    if defends(what, vip, vip_rest, client, client_rest) != 0 {
        return Err(Verdict::ToCookie);
    }
    admitted
}

/// [`admit`], on a stack frame of its own: 1 if the packet goes on in the defence's stage, which is
/// told what to do.
#[inline(never)]
fn defends(what: u64, vip: u64, vip_rest: u64, client: u64, client_rest: u64) -> u32 {
    let (id, flags, client) = (what as u16, (what >> 24) as u8, [client, client_rest]);
    let Some(service) = service_of(id) else { return 0 };
    let v4 = what >> 16 & 0xff == 1;
    let exempt = match (service.exempt, v4) {
        (0, _) => false,
        (list, true) => acl::contains::<1>(list, client),
        (list, false) => acl::contains::<3>(list, client),
    };
    if exempt {
        return 0;
    }
    let Some(state) = services::vip_place([vip, vip_rest]) else { return 0 };
    let (now, always) = (maps::tick(), service.flags & SERVICE_COOKIES_ALWAYS != 0);
    let one_sided = mode::one_sided(service.mode);
    if flags & tcp::SYN == 0 {
        let taken = always || service.answers_until > now;
        // SAFETY: the map gave the pointer to the VIP's state.
        if !taken && !unsafe { flood::was_on(state, now, GRACE) } {
            return 0;
        }
        return told(if one_sided { handover::remember() } else { handover::prove() });
    }
    let auto = service.flags & SERVICE_COOKIES_AUTO != 0;
    // SAFETY: as above.
    let on = always || auto && unsafe { flood::opens(state, now, service.cookie_threshold) };
    // Without a backend there is nothing to promise.
    if !on || service.ring.length() == 0 || one_sided && remembered(client) {
        return 0;
    }
    told(match one_sided {
        true => handover::challenge(),
        false => handover::answer(announced(service, v4)),
    })
}

/// 1 if the defence's stage could be told what to do.
#[inline(always)]
fn told(told: Verdict) -> u32 {
    u32::from(told == Verdict::ToCookie)
}

/// Notes that a connection's handshake is complete; on a stack frame of its own.
#[inline(never)]
pub fn completed(service: u16, vip: u64, vip_rest: u64) -> u32 {
    let auto = |id| service_of(id).is_some_and(|one| one.flags & SERVICE_COOKIES_AUTO != 0);
    if !auto(service) {
        return 0;
    }
    let Some(state) = services::vip_place([vip, vip_rest]) else { return 0 };
    // SAFETY: the map gave the pointer to the VIP's state.
    unsafe { flood::completes(state) };
    1
}

/// True for a client that has passed a challenge not long ago.
#[inline(always)]
fn remembered(client: [u64; 2]) -> bool {
    // SAFETY: the value is a word that is replaced whole.
    unsafe { CHALLENGED.get(&client) }.is_some_and(|until| maps::now_ns() < *until)
}

/// The MSS that a SYN-ACK announces for a backend that has not been asked: what Ethernet takes, or
/// what the listener says, less the room for the client's endpoint.
#[inline(always)]
fn announced(service: &Service, v4: bool) -> u16 {
    let (ethernet, option) = if v4 { (1460, 8) } else { (1440, 20) };
    let limited = if service.mss != 0 && service.mss < ethernet { service.mss } else { ethernet };
    if service.mode == mode::FULL_NAT { limited.saturating_sub(option) } else { limited }
}

//! Local ports of full NAT. The map of taken ports is what replies are found by: taking one is
//! inserting its key, which the kernel lets one processor do, so that no two connections share one.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::generated::{bpf_get_prandom_u32, bpf_get_smp_processor_id},
};
use slb_common::{
    Verdict,
    connection::{Ties, endpoint, endpoint_address, endpoint_extra, endpoint_port},
    service::mode,
    vip::{LOCAL_PORT_TAKEN, LOCAL_TAKES_NEW, LOCALS_V6, LocalAddress, LocalKey},
};

use crate::{
    atomic,
    connections::{
        insert::{New, Refused},
        line::Line,
    },
    maps::{LOCAL_PORTS4, LOCAL_PORTS6, LOCALS, SETTINGS},
    packet::Step,
    parse::same,
    port_search::{PROBES, PortSearch},
    verified,
};

/// The map is full (`asm-generic/errno-base.h`).
const E2BIG: i64 = 7;

/// What came of trying to take a port.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Claim {
    /// It is ours.
    Taken,
    /// Somebody else's, or the address takes no new connections.
    Refused,
    /// The map is full.
    Full,
}

/// Takes a local port for a connection about to be made, if its mode wants one.
#[inline(always)]
pub fn tie<const W: usize>(new: &mut New<W>) -> Step<()> {
    if new.translation.mode() != mode::FULL_NAT {
        return Ok(());
    }
    let (place, port) = verified::take_port(&new.backend, endpoint_extra(&new.client))?;
    new.ties = new.ties.with_local(place, port);
    Ok(())
}

/// Says which line the port belongs to, or gives it back if no entry was made.
#[inline(always)]
pub fn settle<const W: usize>(new: &New<W>, outcome: Result<u32, Refused>) {
    if new.ties.local_port() == [0; 2] {
        return;
    }
    let protocol = endpoint_extra(&new.client);
    match outcome {
        Ok(line) => verified::assign_port(new.ties, &new.backend, protocol, line),
        Err(_) => verified::release_port(new.ties, &new.backend, protocol),
    }
}

/// The line of the connection that a backend sends to a local endpoint for; the extras of both are
/// the protocol.
#[inline(always)]
pub fn locate<const W: usize>(local: &[u64; W], backend: &[u64; W]) -> Option<u32> {
    let owner = owner(&LocalKey { local: *local, backend: *backend })?;
    // SAFETY: the map gave the pointer to an aligned word.
    let line = unsafe { atomic::load(owner) };
    (line & LOCAL_PORT_TAKEN == 0).then_some(line as u32)
}

/// True if a line's connection has this local endpoint: the port may have changed hands since it
/// was looked up.
#[inline(always)]
pub fn owns<const W: usize>(line: Line<W>, local: &[u64; W]) -> bool {
    let ties = line.ties();
    ties.local_port() == endpoint_port(local)
        && line.protocol() == endpoint_extra(local)
        && address(ties).is_some_and(|known| same(known.address, endpoint_address(local)))
}

/// The local endpoint of an entry.
#[inline(always)]
pub fn endpoint_of<const W: usize>(ties: Ties) -> Step<[u64; W]> {
    let local = address(ties).ok_or(Verdict::DropInternal)?;
    Ok(endpoint(local.address, ties.local_port(), 0))
}

/// Searches a free port toward a backend: its place in `LOCALS` and the port as on the wire.
#[inline(always)]
pub fn search<const W: usize>(backend: &[u64; W], protocol: u16) -> Step<(u16, [u8; 2])> {
    let settings = SETTINGS.get_ptr(0).ok_or(Verdict::DropInternal)?;
    // SAFETY: the map gave the pointer; the daemon writes these words before services need them.
    let (v4, v6, processors) =
        unsafe { ((*settings).locals_v4, (*settings).locals_v6, (*settings).processors) };
    let (base, count) = if W == 1 { (0, v4) } else { (LOCALS_V6, v6) };
    if count == 0 {
        return Err(Verdict::DropNoLocalPort);
    }
    // SAFETY: the helpers take nothing and return numbers.
    let (first, second, processor) =
        unsafe { (bpf_get_prandom_u32(), bpf_get_prandom_u32(), bpf_get_smp_processor_id()) };
    let random = u64::from(first) << 32 | u64::from(second);
    let search = PortSearch::new(random, processor, processors);
    let mut probe = 0;
    while probe < PROBES {
        let turn = (first & 0xffff).wrapping_add(probe).checked_rem(count);
        let place = base + turn.unwrap_or(0);
        let port = search.port(probe).to_be_bytes();
        match verified::claim_port(place as u16, port, backend, protocol) {
            Claim::Taken => return Ok((place as u16, port)),
            Claim::Refused => probe += 1,
            Claim::Full => return Err(Verdict::DropTableFull),
        }
    }
    Err(Verdict::DropNoLocalPort)
}

/// Takes a port, if it is free.
#[inline(always)]
pub fn claim<const W: usize>(ties: Ties, backend: &[u64; W], protocol: u16) -> Claim {
    let new = address(ties).is_some_and(|local| local.flags & LOCAL_TAKES_NEW != 0);
    let key = key(ties, || *backend, protocol).filter(|_| new);
    let Some(key) = key else { return Claim::Refused };
    let flags = u64::from(BPF_NOEXIST);
    let taken = match W {
        1 => LOCAL_PORTS4.insert(narrow(&key), token(), flags),
        _ => LOCAL_PORTS6.insert(narrow(&key), token(), flags),
    };
    match taken {
        Ok(()) => Claim::Taken,
        Err(error) if i64::from(error) == -E2BIG => Claim::Full,
        Err(_) => Claim::Refused,
    }
}

/// Notes whose the port is that this processor has just taken. If the entry has ended already,
/// its port is free or somebody else's by now, and stays that.
#[inline(always)]
pub fn assign<const W: usize>(ties: Ties, backend: &[u64; W], protocol: u16, line: u32) {
    if let Some(owner) = key(ties, || *backend, protocol).as_ref().and_then(owner) {
        // SAFETY: the map gave the pointer to an aligned word.
        unsafe { atomic::compare_and_swap(owner, token(), u64::from(line)) };
    }
}

/// Gives a port back.
#[inline(always)]
pub fn release<const W: usize>(ties: Ties, backend: impl FnOnce() -> [u64; W], protocol: u16) {
    let Some(key) = key(ties, backend, protocol) else { return };
    let _gone =
        if W == 1 { LOCAL_PORTS4.remove(narrow(&key)) } else { LOCAL_PORTS6.remove(narrow(&key)) };
}

/// Stands in the map between taking and assigning a port. This processor does nothing else
/// meanwhile, so whatever it meets there with its own number is its own.
#[inline(always)]
fn token() -> u64 {
    // SAFETY: the helper takes nothing and returns a number.
    LOCAL_PORT_TAKEN | u64::from(unsafe { bpf_get_smp_processor_id() })
}

#[inline(always)]
fn address(ties: Ties) -> Option<&'static LocalAddress> {
    // SAFETY: elements of an array live as long as the program.
    LOCALS.get_ptr(u32::from(ties.local_address())).map(|local| unsafe { &*local })
}

/// The backend is read last: the stack has no room for it beside the call that finds the address.
#[inline(always)]
fn key<const W: usize>(
    ties: Ties,
    backend: impl FnOnce() -> [u64; W],
    protocol: u16,
) -> Option<LocalKey<W>> {
    let local = endpoint(address(ties)?.address, ties.local_port(), protocol);
    let backend = backend();
    let backend = endpoint(endpoint_address(&backend), endpoint_port(&backend), protocol);
    Some(LocalKey { local, backend })
}

#[inline(always)]
fn owner<const W: usize>(key: &LocalKey<W>) -> Option<*mut u64> {
    match W {
        1 => LOCAL_PORTS4.get_ptr_mut(narrow(key)),
        _ => LOCAL_PORTS6.get_ptr_mut(narrow(key)),
    }
}

/// The key of the family that `W` stands for, under the type of its map.
#[inline(always)]
fn narrow<const W: usize, const F: usize>(key: &LocalKey<W>) -> &LocalKey<F> {
    // SAFETY: called with F = W only; a reference to another type is never read.
    unsafe { &*core::ptr::from_ref(key).cast() }
}

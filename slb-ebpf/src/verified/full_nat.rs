//! Full NAT: taking local ports and giving them back.

use slb_common::{Verdict, connection::Ties};

use super::table::Endpoint;
use crate::{
    local_ports::{self, Claim},
    packet::{Step, unknown},
};

/// A bit that tells a verdict's number from a result.
const FAILED: u64 = 1 << 63;

/// Searches and takes a local port toward a backend: [`local_ports::search`].
#[inline(always)]
pub fn take_port<const W: usize>(backend: &[u64; W], protocol: u16) -> Step<(u16, [u8; 2])> {
    let backend: *const [u64; W] = backend;
    let packed = unknown(match W {
        1 => global_take_port_v4(backend.cast(), u32::from(protocol)),
        _ => global_take_port_v6(backend.cast(), u32::from(protocol)),
    });
    if packed & FAILED != 0 {
        return Err(Verdict::from_index(packed as u32).unwrap_or(Verdict::DropInternal));
    }
    Ok(((packed >> 16) as u16, (packed as u16).to_ne_bytes()))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_take_port_v4(backend: *const Endpoint<1>, protocol: u32) -> u64 {
    taken(backend, protocol)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_take_port_v6(backend: *const Endpoint<3>, protocol: u32) -> u64 {
    taken(backend, protocol)
}

#[inline(always)]
fn taken<const W: usize>(backend: *const Endpoint<W>, protocol: u32) -> u64 {
    // SAFETY: the verifier knows the size of what a pointer argument points to.
    let found = match unsafe { backend.as_ref() } {
        Some(backend) => local_ports::search(&backend.0, protocol as u16),
        None => Err(Verdict::DropInternal),
    };
    match found {
        Ok((place, port)) => u64::from(place) << 16 | u64::from(u16::from_ne_bytes(port)),
        Err(verdict) => FAILED | u64::from(verdict.index()),
    }
}

/// Takes one local port, if it is free: [`local_ports::claim`].
#[inline(always)]
pub fn claim_port<const W: usize>(
    place: u16,
    port: [u8; 2],
    backend: &[u64; W],
    protocol: u16,
) -> Claim {
    let backend: *const [u64; W] = backend;
    let ties = Ties::NONE.with_local(place, port).0;
    let claim = unknown(u64::from(match W {
        1 => global_claim_port_v4(ties, backend.cast(), u32::from(protocol)),
        _ => global_claim_port_v6(ties, backend.cast(), u32::from(protocol)),
    }));
    match claim {
        0 => Claim::Taken,
        1 => Claim::Refused,
        _ => Claim::Full,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_claim_port_v4(ties: u64, backend: *const Endpoint<1>, protocol: u32) -> u32 {
    // SAFETY: as in `taken`.
    let backend = unsafe { backend.as_ref() };
    let claim = |backend: &Endpoint<1>| local_ports::claim(Ties(ties), &backend.0, protocol as u16);
    backend.map_or(Claim::Refused, claim) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_claim_port_v6(ties: u64, backend: *const Endpoint<3>, protocol: u32) -> u32 {
    // SAFETY: as in `taken`.
    let backend = unsafe { backend.as_ref() };
    let claim = |backend: &Endpoint<3>| local_ports::claim(Ties(ties), &backend.0, protocol as u16);
    backend.map_or(Claim::Refused, claim) as u32
}

/// Notes whose a port is: [`local_ports::assign`].
#[inline(always)]
pub fn assign_port<const W: usize>(ties: Ties, backend: &[u64; W], protocol: u16, line: u32) {
    change_port(ties, backend, protocol, u64::from(line));
}

/// Gives a port back: [`local_ports::release`].
#[inline(always)]
pub fn release_port<const W: usize>(ties: Ties, backend: &[u64; W], protocol: u16) {
    change_port(ties, backend, protocol, u64::MAX);
}

/// The line to assign, or all ones to release.
#[inline(always)]
fn change_port<const W: usize>(ties: Ties, backend: &[u64; W], protocol: u16, line: u64) {
    let backend: *const [u64; W] = backend;
    let protocol = u32::from(protocol);
    unknown(u64::from(match W {
        1 => global_change_port_v4(ties.0, backend.cast(), protocol, line),
        _ => global_change_port_v6(ties.0, backend.cast(), protocol, line),
    }));
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_change_port_v4(
    ties: u64,
    backend: *const Endpoint<1>,
    protocol: u32,
    line: u64,
) -> u32 {
    changed(Ties(ties), backend, protocol as u16, line)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_change_port_v6(
    ties: u64,
    backend: *const Endpoint<3>,
    protocol: u32,
    line: u64,
) -> u32 {
    changed(Ties(ties), backend, protocol as u16, line)
}

#[inline(always)]
fn changed<const W: usize>(
    ties: Ties,
    backend: *const Endpoint<W>,
    protocol: u16,
    line: u64,
) -> u32 {
    // SAFETY: as in `taken`.
    if let Some(backend) = unsafe { backend.as_ref() } {
        match line {
            u64::MAX => local_ports::release(ties, || backend.0, protocol),
            _ => local_ports::assign(ties, &backend.0, protocol, line as u32),
        }
    }
    0
}

//! Whose packet it is: VIPs and backends by bitmap, the service of a VIP's port by key.

use aya_ebpf::btf_maps::lpm_trie::Key;
use slb_common::{
    Verdict,
    connection::{endpoint_address, endpoint_port},
    range::RangeKey,
    service::{
        BITMAP_WORDS, SERVICE_ADOPT, SERVICE_STOPPED, Service, ServiceKey4, ServiceKey6,
        address_bit,
    },
    vip::{VIP_STOPPED, VipState},
};

use crate::{
    atomic,
    connections::{store::Side, tcp_state::tcp},
    maps::{BITMAPS, RANGES, SERVICES4, SERVICES6, VIP_STATES, VIPS, service_of},
    packet::Step,
    parse::{Addresses, Ports, UDP},
};

/// Index of the VIPs' bitmap.
const VIP_BITS: u32 = 0;
/// Index of the backends' bitmap.
const BACKEND_BITS: u32 = 1;
/// Index of the local addresses' bitmap.
const LOCAL_BITS: u32 = 2;

/// Says whether a packet may be from a client to a VIP or from a backend to a client, or to the
/// local address that stands for one.
#[inline(always)]
pub fn side(addresses: &Addresses) -> Step<Side> {
    if may_be(VIP_BITS, addresses.destination) {
        Ok(Side::Vip)
    } else if may_be(LOCAL_BITS, addresses.destination) || may_be(BACKEND_BITS, addresses.source) {
        Ok(Side::Backend)
    } else {
        Err(Verdict::PassNotOurs)
    }
}

/// True if an endpoint may be a backend's.
#[inline(always)]
pub fn from_backend<const W: usize>(source: &[u64; W]) -> bool {
    may_be(BACKEND_BITS, endpoint_address(source))
}

/// True if an endpoint may be a local one of full NAT.
#[inline(always)]
pub fn to_local<const W: usize>(destination: &[u64; W]) -> bool {
    may_be(LOCAL_BITS, endpoint_address(destination))
}

/// True if an endpoint is a VIP's for certain.
#[inline(always)]
pub fn to_vip<const W: usize>(destination: &[u64; W]) -> bool {
    let [first, second] = endpoint_address(destination);
    vip(first, second) != 0
}

/// The verdict over a packet that cannot be read further: dropped only if it is to a VIP for
/// certain. A bit may be another address's, and what a backend sends besides its connections is
/// none of our business.
#[inline(always)]
pub fn if_ours(verdict: Verdict, side: Side, addresses: &Addresses) -> Verdict {
    let [first, second] = addresses.destination;
    match side {
        Side::Backend => Verdict::PassNoConnection,
        Side::Vip if vip(first, second) != 0 => verdict,
        Side::Vip => Verdict::PassNotOurs,
    }
}

/// Looks an address up among the VIPs: its place in `VIP_STATES` + 1; 0 if it is none.
#[inline(never)]
fn vip(first: u64, second: u64) -> u32 {
    // SAFETY: the value is a number that the daemon replaces whole.
    unsafe { VIPS.get(&[first, second]) }.map_or(0, |place| *place + 1)
}

/// What is noted of an address, if it is a VIP's.
#[inline(always)]
pub fn vip_state(address: [u64; 2]) -> Option<&'static VipState> {
    // SAFETY: the map gave the pointer, and elements of an array live as long as the program.
    vip_place(address).map(|state| unsafe { &*state })
}

/// The same, for who notes something there.
#[inline(always)]
pub fn vip_place(address: [u64; 2]) -> Option<*mut VipState> {
    VIP_STATES.get_ptr_mut(vip(address[0], address[1]).checked_sub(1)?)
}

/// The verdict over a packet to a VIP that the host would answer: nothing is answered while all
/// listeners of the VIP are stopped.
#[inline(always)]
pub fn unless_stopped(verdict: Verdict, address: [u64; 2]) -> Verdict {
    match vip_state(address) {
        Some(state) if state.flags & VIP_STOPPED != 0 => Verdict::DropStopped,
        _ => verdict,
    }
}

#[inline(always)]
fn may_be(map: u32, address: [u64; 2]) -> bool {
    let bit = address_bit(address);
    let Some(bitmap) = BITMAPS.get_ptr(map) else { return false };
    let word = (bit / 64) as usize & (BITMAP_WORDS - 1);
    // SAFETY: the word lies in the bitmap, whose pointer the map gave.
    let word = unsafe { atomic::load((&raw const (*bitmap).words).cast::<u64>().add(word)) };
    word >> (bit % 64) & 1 != 0
}

/// The service of a VIP endpoint: by its port, else by a range of ports that holds it.
#[inline(always)]
pub fn find<const W: usize>(vip: &[u64; W], protocol: u8) -> Step<(u16, &'static Service)> {
    let (address, port) = (endpoint_address(vip), endpoint_port(vip));
    // SAFETY: the value is a number that the daemon replaces whole.
    let id = unsafe {
        if W == 1 {
            let vip = (address[0] as u32).to_ne_bytes();
            SERVICES4.get(&ServiceKey4 { vip, port, protocol, reserved: 0 })
        } else {
            let mut vip = [0; 16];
            vip[..8].copy_from_slice(&address[0].to_ne_bytes());
            vip[8..].copy_from_slice(&address[1].to_ne_bytes());
            SERVICES6.get(&ServiceKey6 { vip, port, protocol, reserved: 0 })
        }
    };
    let id = match id {
        Some(id) => *id as u16,
        None => {
            let family = if W == 1 { 4 } else { 6 };
            let port = u16::from_ne_bytes(port);
            let what = u32::from(port) | u32::from(protocol) << 16 | family << 24;
            match by_range(address[0], address[1], what) {
                NOBODY => return Err(unless_stopped(Verdict::PassNoListener, address)),
                id => id as u16,
            }
        }
    };
    Ok((id, service_of(id).ok_or(Verdict::PassNoListener)?))
}

/// What no service has for a number.
const NOBODY: u32 = u32::MAX;

/// Looks a port up among the ranges, on a stack frame of its own: the VIP's words, and in one word
/// port, protocol and family.
#[inline(never)]
fn by_range(first: u64, second: u64, what: u32) -> u32 {
    let key = RangeKey {
        vip: [first, second],
        protocol: (what >> 16) as u8,
        family: (what >> 24) as u8,
        port: (what as u16).to_ne_bytes(),
        reserved: [0; 4],
    };
    RANGES.get(&Key::new(RangeKey::PORT, key)).copied().unwrap_or(NOBODY)
}

/// Says whether a packet without entry may open a connection, and in which state.
#[inline(always)]
pub fn admit(service: &Service, protocol: u8, ports: &Ports) -> Step<u8> {
    use slb_common::connection::state;
    if service.flags & SERVICE_STOPPED != 0 {
        return Err(Verdict::DropStopped);
    }
    if protocol == UDP {
        return Ok(state::UDP_NEW);
    }
    match ports.flags & (tcp::SYN | tcp::ACK | tcp::RST) {
        tcp::SYN => Ok(state::SYN),
        tcp::ACK if service.flags & SERVICE_ADOPT != 0 => Ok(state::SYN),
        _ => Err(Verdict::DropNoConnection),
    }
}

//! Next hops to clients. A connection keeps the index of one; it is learnt when the connection is
//! opened: the route's, or, where the kernel does not forward or has no neighbour entry, the way
//! that the client's first packet came.

use aya_ebpf::{
    bindings::{BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as FibLookup},
    helpers::generated::{bpf_check_mtu, bpf_fib_lookup},
    programs::XdpContext,
};
use slb_common::{
    Verdict,
    hash::mix,
    next_hop::{CLIENT_HOP_PROBES, CLIENT_HOPS, HOP_CLAIMED, HOP_EMPTY, HOP_VALID, NextHop},
};

use crate::{
    atomic,
    headers::Ethernet,
    maps::{EGRESS, HOPS_CLIENTS, hop_by_route},
    packet::{Frame, Short, Step},
    parse::link::Link,
};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The next hop that is kept under an index, up to date or not.
#[inline(always)]
pub fn kept(index: u16) -> Option<&'static NextHop> {
    let hop = HOPS_CLIENTS.get_ptr(u32::from(index))?;
    // SAFETY: elements of an array live as long as the program; a torn read of a hop that the
    // daemon replaces meanwhile gives the old or the new of each word.
    let hop = unsafe { &*hop };
    (index != 0 && hop.known()).then_some(hop)
}

/// The index of the next hop to a client whose first packet this is; 0: no place is left for it.
#[inline(always)]
pub fn toward_client(context: &XdpContext, client: [u64; 2], link: &Link) -> Step<u16> {
    Ok(match by_route(context, client) {
        Some(hop) => keep(hop),
        None => keep(&way_back(context, link)?),
    })
}

/// The route's next hop to an address, until the next one is asked for; `None`: the kernel knows
/// none that XDP can send to.
#[inline(always)]
pub fn by_route(context: &XdpContext, address: [u64; 2]) -> Option<&'static NextHop> {
    // An IPv4 address has nothing in the second word; an IPv6 address that has not is no client.
    let family = if address[1] == 0 { AF_INET } else { AF_INET6 };
    if route(context, address[0], address[1], family) == 0 {
        return None;
    }
    // SAFETY: the map gave the pointer to this processor's own copy.
    hop_by_route().map(|hop| unsafe { &*hop })
}

/// Asks the kernel's routing table, on a stack frame of its own, and leaves the answer in
/// [`hop_by_route`].
#[inline(never)]
fn route(context: &XdpContext, first: u64, second: u64, family: u8) -> u32 {
    let Some(hop) = hop_by_route() else { return 0 };
    // SAFETY: all zeroes is a value of this plain C struct.
    let mut query: FibLookup = unsafe { core::mem::zeroed() };
    // SAFETY: the context is the kernel's; reading its interface is what it is for.
    query.ifindex = unsafe { (*context.ctx).ingress_ifindex };
    query.family = family;
    // The IPv4 address lies where the IPv6 one begins.
    query.__bindgen_anon_4.ipv6_dst =
        [first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32];
    // SAFETY: the struct is on the stack and its size is given.
    let result = unsafe {
        bpf_fib_lookup(
            context.ctx.cast(),
            (&raw mut query).cast(),
            size_of::<FibLookup>() as i32,
            0,
        )
    };
    if result != i64::from(BPF_FIB_LKUP_RET_SUCCESS) {
        return 0;
    }
    let (mut interface, mut vlan) = (query.ifindex, 0);
    // SAFETY: the daemon replaces values whole.
    if let Some([parent, tag]) = unsafe { EGRESS.get(&interface) } {
        // XDP sends from the parent of a VLAN interface, and from a bridge not at all.
        (interface, vlan) = (*parent, *tag as u16);
    }
    let answer = NextHop {
        destination: query.dmac,
        vlan,
        source: query.smac,
        // SAFETY: both members of the union are this number; since Linux 5.12 it is the route's MTU.
        mtu: unsafe { query.__bindgen_anon_1.mtu_result },
        interface,
        state: HOP_VALID,
    };
    // SAFETY: the map gave the pointer to this processor's own copy.
    unsafe { *hop = answer };
    u32::from(interface != 0)
}

/// The way back over which a packet came.
#[inline(always)]
fn way_back(context: &XdpContext, link: &Link) -> Step<NextHop> {
    let ethernet =
        Frame::of(context).read::<Ethernet>(0).map_err(|Short| Verdict::DropTruncated)?;
    if link.tags() > 1 {
        // A next hop has room for one tag.
        return Err(Verdict::DropNoNextHop);
    }
    // SAFETY: the context is the kernel's.
    let interface = unsafe { (*context.ctx).ingress_ifindex };
    Ok(NextHop {
        destination: bytes(ethernet.source),
        vlan: link.vlan,
        source: bytes(ethernet.destination),
        mtu: mtu(context, interface) as u16,
        interface,
        state: HOP_VALID,
    })
}

/// The MTU of an interface, on a stack frame of its own; 0: not known, or more than a length says.
#[inline(never)]
fn mtu(context: &XdpContext, interface: u32) -> u32 {
    let mut mtu = 0;
    // SAFETY: the helper writes one word, which is on the stack. Whether this packet would fit it
    // is not the question.
    unsafe { bpf_check_mtu(context.ctx.cast(), interface, &raw mut mtu, 0, 0) };
    if mtu > u32::from(u16::MAX) { 0 } else { mtu }
}

#[inline(always)]
const fn bytes(mac: [u16; 3]) -> [u8; 6] {
    let ([a, b], [c, d], [e, f]) =
        (mac[0].to_ne_bytes(), mac[1].to_ne_bytes(), mac[2].to_ne_bytes());
    [a, b, c, d, e, f]
}

/// The index under which a next hop is kept; 0 if all its places are taken by others.
#[inline(never)]
pub fn keep(hop: &NextHop) -> u16 {
    let wanted = hop.words();
    let hash = mix(wanted[0] ^ mix(wanted[2]));
    let mut probe = 0;
    while probe < CLIENT_HOP_PROBES {
        let index = (hash as u32).wrapping_add(probe) & (CLIENT_HOPS - 1);
        probe += 1;
        if index == 0 {
            continue;
        }
        let Some(place) = HOPS_CLIENTS.get_ptr_mut(index) else { return 0 };
        let place = place.cast::<u64>();
        // SAFETY: a next hop is three aligned words, whose pointer the map gave.
        unsafe {
            let state = place.add(2);
            let claimed = u64::from(HOP_CLAIMED) << 32;
            if atomic::load(state) == u64::from(HOP_EMPTY)
                && atomic::compare_and_swap(state, u64::from(HOP_EMPTY), claimed)
            {
                atomic::store(place, wanted[0]);
                atomic::store(place.add(1), wanted[1]);
                atomic::publish(state, wanted[2]);
                return index as u16;
            }
            let seen = atomic::load(state);
            let same = seen as u32 == hop.interface
                && atomic::load(place) == wanted[0]
                && atomic::load(place.add(1)) == wanted[1];
            // A stale one that has been resolved again to the same is good again, unless the
            // daemon has just given the place away.
            if same && (seen == wanted[2] || atomic::compare_and_swap(state, seen, wanted[2])) {
                return index as u16;
            }
        }
    }
    0
}

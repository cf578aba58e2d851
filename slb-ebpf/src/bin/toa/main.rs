//! TOA on a backend: the option that a balancer puts into a client's first segments becomes what
//! `accept` and `getpeername` answer. `slb toa attach` loads it; the daemon has nothing to do with
//! it.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod maps;
#[path = "../../object.rs"]
mod object;
// Not by the library: the linker keeps whatever lies beside what is used of it, and with the
// library's maps the object would make those of the data plane.
#[path = "../../toa/mod.rs"]
#[allow(unreachable_pub)]
mod option;
mod segment;

use aya_ebpf::{
    bindings::{
        BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG,
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, bpf_sock,
    },
    macros::{cgroup_sock_addr, sock_ops},
    programs::{SockAddrContext, SockOpsContext},
};
use slb_common::toa::{Client, Counter, state};

use crate::{
    maps::{count, is_balancer, storage},
    option::{Found, find},
    segment::{Segment, is_ipv4, sender},
};

/// What every program of a cgroup answers: go on.
const GO_ON: u32 = 1;
/// The socket's flag that every segment is a callback.
const EVERY_SEGMENT: u32 = BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;
/// Storage is made if there is none.
const MAKE: u32 = BPF_SK_STORAGE_GET_F_CREATE;

/// The events of every socket of the cgroup.
#[sock_ops]
pub fn toa_options(context: SockOpsContext) -> u32 {
    match context.op() {
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => established(&context),
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB => later(&context),
        _ => {}
    }
    GO_ON
}

/// The segment that ends a handshake: its last ACK, or data if that was lost.
#[inline(always)]
fn established(context: &SockOpsContext) {
    let segment = Segment::of(context);
    let is_believed = is_balancer(sender(context));
    match find(segment) {
        Found::Malformed => count(Counter::Malformed),
        Found::Client(_) if !is_believed => count(Counter::NotBelieved),
        Found::Client(client) => keep(context, &client),
        Found::Nothing if !is_believed => {}
        Found::Nothing if segment.has_data() => count(Counter::Absent),
        Found::Nothing => wait_for_data(context),
    }
}

/// Any later segment of a connection that waits for the option, or that another program asked for.
#[inline(always)]
fn later(context: &SockOpsContext) {
    let Some(kept) = storage(socket(context), 0) else { return };
    if kept.state != state::AWAITED {
        return;
    }
    let segment = Segment::of(context);
    // SAFETY: the context is the kernel's.
    let received = unsafe { (*context.ops).bytes_received };
    // The kernel's fast path makes no callbacks: data may have come before, without the option.
    let found = if received > 0 { Found::Nothing } else { find(segment) };
    if found == Found::Nothing && received == 0 && !segment.has_data() {
        return;
    }
    kept.state = state::UNKNOWN;
    match found {
        Found::Nothing => count(Counter::Absent),
        Found::Malformed => count(Counter::Malformed),
        Found::Client(client) => keep(context, &client),
    }
    let _ = context.set_cb_flags((context.cb_flags() & !EVERY_SEGMENT) as i32);
}

/// Asks for the segments that follow: the first data may bring the option, if the last ACK was
/// another way here than the balancer's, or made by it.
#[inline(always)]
fn wait_for_data(context: &SockOpsContext) {
    let flags = context.cb_flags();
    // Whoever else asked for all segments would miss them once they are no use to us.
    if flags & EVERY_SEGMENT != 0 {
        return count(Counter::Absent);
    }
    let Some(kept) = storage(socket(context), MAKE) else { return count(Counter::NoMemory) };
    kept.state = state::AWAITED;
    let _ = context.set_cb_flags((flags | EVERY_SEGMENT) as i32);
}

/// Keeps a client, if the socket can show an address of its family.
#[inline(always)]
fn keep(context: &SockOpsContext, client: &Client) {
    if client.state == state::V6 && is_ipv4(context) {
        return count(Counter::Malformed);
    }
    let Some(kept) = storage(socket(context), MAKE) else { return count(Counter::NoMemory) };
    *kept = *client;
    count(if client.state == state::V4 { Counter::ClientV4 } else { Counter::ClientV6 });
}

#[inline(always)]
fn socket(context: &SockOpsContext) -> *mut bpf_sock {
    // SAFETY: the context is the kernel's.
    unsafe { (*context.ops).__bindgen_anon_2.sk }
}

/// The client of a socket whose peer is asked for.
#[inline(always)]
fn client(context: &SockAddrContext) -> Option<Client> {
    // SAFETY: the context is the kernel's.
    let socket = unsafe { (*context.sock_addr).__bindgen_anon_1.sk };
    storage(socket, 0).map(|kept| *kept)
}

/// `accept` and `getpeername` of IPv4 sockets.
#[cgroup_sock_addr(getpeername4)]
pub fn toa_peer_v4(context: SockAddrContext) -> i32 {
    if let Some(client) = client(&context)
        && client.state == state::V4
    {
        let answer = context.sock_addr;
        // SAFETY: the context is the kernel's, which takes the answer by whole words.
        unsafe {
            (&raw mut (*answer).user_ip4).write_volatile(client.address[3]);
            (&raw mut (*answer).user_port).write_volatile(u32::from(client.port));
        }
    }
    GO_ON as i32
}

/// `accept` and `getpeername` of IPv6 sockets, those with an IPv4 peer too.
#[cgroup_sock_addr(getpeername6)]
pub fn toa_peer_v6(context: SockAddrContext) -> i32 {
    if let Some(client) = client(&context)
        && matches!(client.state, state::V4 | state::V6)
    {
        let answer = context.sock_addr;
        let [a, b, c, d] = client.address;
        // SAFETY: as above.
        unsafe {
            (&raw mut (*answer).user_ip6[0]).write_volatile(a);
            (&raw mut (*answer).user_ip6[1]).write_volatile(b);
            (&raw mut (*answer).user_ip6[2]).write_volatile(c);
            (&raw mut (*answer).user_ip6[3]).write_volatile(d);
            (&raw mut (*answer).user_port).write_volatile(u32::from(client.port));
        }
    }
    GO_ON as i32
}

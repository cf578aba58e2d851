//! Programs for benchmarks, by test run or on the far end of a wire. Those of `vary` write a frame
//! anew, of another flow each time, and go on in the program of `NEXT`, as a test run repeats what
//! the run before it has left. Those of `spoof` are a flood of SYNs, and where its answers end. The
//! others are floors: what a packet costs without a balancer.
#![no_std]
#![no_main]

mod floors;
mod maps;
#[path = "../../object.rs"]
mod object;
mod places;
mod receiver;
mod spoof;
mod vary;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_TX},
    macros::xdp,
    programs::XdpContext,
};
use places::End;
use vary::Payload;

/// From a client over IPv4.
#[xdp]
pub fn from_client_v4(context: XdpContext) -> u32 {
    vary::run::<1>(&context, End::Client, Payload::Constant)
}

/// From a backend over IPv4.
#[xdp]
pub fn from_backend_v4(context: XdpContext) -> u32 {
    vary::run::<1>(&context, End::Backend, Payload::Constant)
}

/// From a client over IPv6.
#[xdp]
pub fn from_client_v6(context: XdpContext) -> u32 {
    vary::run::<3>(&context, End::Client, Payload::Constant)
}

/// From a backend over IPv6.
#[xdp]
pub fn from_backend_v6(context: XdpContext) -> u32 {
    vary::run::<3>(&context, End::Backend, Payload::Constant)
}

/// From a client over IPv4, with the time in it.
#[xdp]
pub fn stamped_v4(context: XdpContext) -> u32 {
    vary::run::<1>(&context, End::Client, Payload::Stamped)
}

/// Looks at nothing.
#[xdp]
pub fn bare_drop(_: XdpContext) -> u32 {
    XDP_DROP
}

/// Looks at nothing.
#[xdp]
pub fn bare_transmit(_: XdpContext) -> u32 {
    XDP_TX
}

/// Looks at nothing, and sends out of the interface of `RECEIVER`.
#[xdp]
pub fn bare_redirect(_: XdpContext) -> u32 {
    receiver::redirect()
}

/// Calls a function that does nothing sixteen times: what a return costs here.
#[xdp]
pub fn bare_calls(_: XdpContext) -> u32 {
    floors::calls()
}

/// Reads the coarse clock sixteen times: what a helper costs that the kernel does not inline.
#[xdp]
pub fn bare_clock(_: XdpContext) -> u32 {
    floors::clock()
}

/// Parses as far as the ports and exchanges both ends.
#[xdp]
pub fn swap(context: XdpContext) -> u32 {
    floors::swap(&context).unwrap_or(XDP_DROP)
}

/// The same after one load from `MEMORY`, whose place follows from what the load before gave.
#[xdp]
pub fn swap_after_load(context: XdpContext) -> u32 {
    floors::load().and_then(|()| floors::swap(&context)).unwrap_or(XDP_DROP)
}

/// The same after a lookup of the flow in the kernel's hash table.
#[xdp]
pub fn swap_after_hash(context: XdpContext) -> u32 {
    floors::swap_found(&context, floors::in_hash).unwrap_or(XDP_DROP)
}

/// The same after a lookup of the flow in the kernel's table of the recently used.
#[xdp]
pub fn swap_after_lru(context: XdpContext) -> u32 {
    floors::swap_found(&context, floors::in_lru).unwrap_or(XDP_DROP)
}

/// Puts the flow into both of the kernel's tables.
#[xdp]
pub fn fill(context: XdpContext) -> u32 {
    floors::fill(&context).unwrap_or(XDP_DROP)
}

/// Counts what arrives, and how long it was under way.
#[xdp]
pub fn receive(context: XdpContext) -> u32 {
    receiver::receive(&context)
}

/// The SYN of a client over IPv4 that does not exist, sent back out of where it came in.
#[xdp]
pub fn spoofed_v4(context: XdpContext) -> u32 {
    spoof::send::<1>(&context)
}

/// The same over IPv6.
#[xdp]
pub fn spoofed_v6(context: XdpContext) -> u32 {
    spoof::send::<3>(&context)
}

/// Counts what comes to clients that do not exist.
#[xdp]
pub fn absorb(context: XdpContext) -> u32 {
    spoof::absorb(&context)
}

/// Counts datagrams, and leaves all else to the kernel.
#[xdp]
pub fn arrive(context: XdpContext) -> u32 {
    receiver::arrive(&context)
}

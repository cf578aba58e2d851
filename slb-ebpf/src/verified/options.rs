//! Options of TCP: what SYNs announce, and the client's endpoint.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};

use super::table::Endpoint;
use crate::{
    checksum::Delta,
    forward::{syn, toa},
    packet::unknown,
    syn_defence::offer,
    tcp_options::Offered,
};

/// Edits the options of a segment: [`syn::edit`].
#[inline(always)]
pub fn edit_options(context: &XdpContext, transport: u16, wish: u64) {
    unknown(u64::from(global_edit_options(context.ctx, u32::from(transport), wish)));
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_edit_options(context: *mut xdp_md, transport: u32, wish: u64) -> u32 {
    let context = XdpContext::new(context);
    u32::from(syn::edit(&context, transport as usize, wish).is_ok())
}

/// Edits one option of a segment: [`syn::edit_loaded`].
#[inline(always)]
pub fn edit_option(at: usize, length: usize, wish: u64) -> (usize, Delta) {
    let packed = unknown(global_edit_option(at as u32, length as u32, wish));
    ((packed & 0xff) as usize, Delta::of_sum(packed >> 8))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_edit_option(at: u32, length: u32, wish: u64) -> u64 {
    let (next, delta) = syn::edit_loaded(at as usize & 0xff, length as usize & 0xff, wish);
    delta.sum() << 8 | next as u64 & 0xff
}

/// Reads one option of a SYN: [`offer::read_loaded`].
#[inline(always)]
pub fn read_option(at: usize, length: usize, offered: Offered) -> (usize, Offered) {
    let packed = unknown(global_read_option(at as u32, length as u32, offered.pack()));
    ((packed & 0xff) as usize, Offered::unpack(packed >> 8))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_read_option(at: u32, length: u32, offered: u64) -> u64 {
    let offered = Offered::unpack(offered);
    let (next, offered) = offer::read_loaded(at as usize & 0xff, length as usize & 0xff, offered);
    offered.pack() << 8 | next as u64 & 0xff
}

/// Puts the client's endpoint into a segment: [`toa::insert`].
#[inline(always)]
pub fn insert_toa<const W: usize>(
    context: &XdpContext,
    client: &[u64; W],
    network: usize,
    transport: u16,
) {
    let client: *const [u64; W] = client;
    let at = (network as u32) << 16 | u32::from(transport);
    unknown(u64::from(match W {
        1 => global_insert_toa_v4(context.ctx, client.cast(), at),
        _ => global_insert_toa_v6(context.ctx, client.cast(), at),
    }));
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_insert_toa_v4(
    context: *mut xdp_md,
    client: *const Endpoint<1>,
    at: u32,
) -> u32 {
    inserted(context, client, at)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_insert_toa_v6(
    context: *mut xdp_md,
    client: *const Endpoint<3>,
    at: u32,
) -> u32 {
    inserted(context, client, at)
}

#[inline(always)]
fn inserted<const W: usize>(context: *mut xdp_md, client: *const Endpoint<W>, at: u32) -> u32 {
    // SAFETY: the verifier knows the size of what a pointer argument points to.
    let Some(client) = (unsafe { client.as_ref() }) else { return 0 };
    let (network, transport) = ((at >> 16) as usize, at as usize & 0xffff);
    toa::insert(&XdpContext::new(context), &client.0, network, transport).is_ok().into()
}

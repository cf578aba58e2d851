//! What a SYN or SYN-ACK offers by its options.

use aya_ebpf::programs::XdpContext;

use crate::{
    forward::syn,
    maps::SCRATCH,
    packet::Short,
    tcp_options::{self, BUFFER, LONGEST, Offered},
    verified,
};

/// Reads the options of the segment whose header begins at `transport`; what cannot be read offers
/// nothing.
#[inline(always)]
pub fn read(context: &XdpContext, transport: u16) -> Offered {
    match syn::load(context, usize::from(transport)) {
        Ok(length) => tcp_options::read(|at, offered| verified::read_option(at, length, offered)),
        Err(Short) => Offered::NOTHING,
    }
}

/// Reads one option of those that [`read`] has loaded.
#[inline(always)]
pub fn read_loaded(at: usize, length: usize, offered: Offered) -> (usize, Offered) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return (LONGEST, offered) };
    // SAFETY: the map gave the pointer to this processor's own copy; nobody else holds a reference to it.
    let options = unsafe { &*scratch.cast::<[u8; BUFFER]>() };
    tcp_options::read_one(options, at, length, offered)
}

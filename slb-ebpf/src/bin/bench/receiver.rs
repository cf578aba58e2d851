//! The far end of a wire, and a way to it.

use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS},
    helpers::generated::{bpf_ktime_get_ns, bpf_redirect},
    programs::XdpContext,
};
use slb_ebpf::{
    headers::{Ethernet, Ipv4},
    packet::{Frame, Header},
    parse::{IPV4_IN_IP, UDP, link::IPV4},
};

use crate::maps::{LATENCIES, RECEIVER};

/// A time in a frame.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Stamp(u64);

// SAFETY: an integer.
unsafe impl Header for Stamp {}

/// Sends out of the interface that leads to the far end.
#[inline(always)]
pub(crate) fn redirect() -> u32 {
    let Some(receiver) = RECEIVER.get_ptr(0) else { return XDP_ABORTED };
    // SAFETY: the map gave the pointer; the helper takes numbers.
    unsafe { bpf_redirect((*receiver).interface, 0) as u32 }
}

/// Counts a frame, and keeps how long it was under way if it says when it began.
#[inline(always)]
pub(crate) fn receive(context: &XdpContext) -> u32 {
    let Some(receiver) = RECEIVER.get_ptr_mut(0) else { return XDP_ABORTED };
    // SAFETY: the map gave the pointer, and frames arrive on one processor.
    unsafe {
        (*receiver).frames += 1;
        let at = (*receiver).stamp_at;
        if at != 0
            && let Ok(Stamp(sent)) = Frame::of(context).read::<Stamp>(at as usize)
            && let Some(place) = LATENCIES.get_ptr_mut((*receiver).kept as u32)
        {
            *place = bpf_ktime_get_ns().wrapping_sub(sent);
            (*receiver).kept += 1;
        }
    }
    XDP_DROP
}

/// Counts and drops what is UDP over IPv4, also behind another IPv4 header; all else goes on to the
/// kernel.
#[inline(always)]
pub(crate) fn arrive(context: &XdpContext) -> u32 {
    let frame = Frame::of(context);
    let Ok(ethernet) = frame.read::<Ethernet>(0) else { return XDP_PASS };
    let Ok(header) = frame.read::<Ipv4>(size_of::<Ethernet>()) else { return XDP_PASS };
    if ethernet.ethertype != IPV4 || !matches!(header.protocol, UDP | IPV4_IN_IP) {
        return XDP_PASS;
    }
    receive(context)
}

//! The XDP program and the daemon's batch program: entry, count, action.
#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    helpers::generated::bpf_redirect,
    macros::xdp,
    programs::XdpContext,
};
use slb_common::{Action, Verdict};
use slb_ebpf::{batch, pipeline, stats};

/// Every packet that an interface receives.
#[xdp]
pub fn slb(context: XdpContext) -> u32 {
    let (verdict, action) = match pipeline::run(&context) {
        Ok(interface) => forward(&context, interface),
        Err(verdict) if verdict.action() == Action::Pass => (verdict, XDP_PASS),
        Err(verdict) => (verdict, XDP_DROP),
    };
    stats::verdict(verdict);
    #[cfg(feature = "log")]
    if verdict.action() != Action::Forward {
        report(&context, verdict);
    }
    action
}

/// Says what became of a packet, on a stack frame of its own. The number is the verdict's place in
/// `slb drops --all`.
#[cfg(feature = "log")]
#[inline(never)]
fn report(context: &XdpContext, verdict: Verdict) {
    aya_log_ebpf::debug!(context, "verdict {}", verdict.index());
}

/// Sends the frame back or out of another interface.
#[inline(always)]
fn forward(context: &XdpContext, interface: u32) -> (Verdict, u32) {
    // SAFETY: the context is the kernel's; reading its interface is what it is for.
    if interface == unsafe { (*context.ctx).ingress_ifindex } {
        return (Verdict::Transmitted, XDP_TX);
    }
    // SAFETY: the helper takes numbers.
    (Verdict::Redirected, unsafe { bpf_redirect(interface, 0) } as u32)
}

/// Ends entries for the daemon, by test run only; never attached.
#[xdp]
pub fn table_batch(context: XdpContext) -> u32 {
    batch::run(&context)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // The verifier proves that nothing reaches this.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

//! The XDP programs and the daemon's batch program: entry, count, action.
#![no_std]
#![no_main]

mod object;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    helpers::generated::bpf_redirect,
    macros::xdp,
    programs::XdpContext,
};
use slb_common::{Action, Verdict, stage::Stage};
use slb_ebpf::{
    answer, batch, handover, icmp,
    maps::STAGES,
    opening,
    packet::Step,
    pipeline::{self, Look},
    stats, syn_defence, template_batch,
};

/// Every packet that an interface receives.
#[xdp]
pub fn slb(context: XdpContext) -> u32 {
    end(&context, pipeline::enter::<false>(&context, Look::First))
}

/// [`slb_common::stage::Stage::Ipv6`].
#[xdp]
pub fn slb_ipv6(context: XdpContext) -> u32 {
    end(&context, pipeline::run::<3, false>(&context, Look::First))
}

/// [`slb_common::stage::Stage::Rare`].
#[xdp]
pub fn slb_rare(context: XdpContext) -> u32 {
    end(&context, pipeline::enter::<true>(&context, handover::look()))
}

/// [`slb_common::stage::Stage::RareIpv6`].
#[xdp]
pub fn slb_rare_ipv6(context: XdpContext) -> u32 {
    end(&context, pipeline::run::<3, true>(&context, handover::look()))
}

/// [`slb_common::stage::Stage::Open`].
#[xdp]
pub fn slb_open(context: XdpContext) -> u32 {
    end(&context, Err(opening::run(&context)))
}

/// [`slb_common::stage::Stage::Answer`].
#[xdp]
pub fn slb_answer(context: XdpContext) -> u32 {
    let verdict = handover::refused();
    let answer = answer::make(&context, verdict);
    count(&context, verdict, if answer.is_some() { XDP_TX } else { XDP_DROP })
}

/// [`slb_common::stage::Stage::Icmp`].
#[xdp]
pub fn slb_icmp(context: XdpContext) -> u32 {
    end(&context, icmp::run(&context))
}

/// [`slb_common::stage::Stage::Cookie`].
#[xdp]
pub fn slb_cookie(context: XdpContext) -> u32 {
    end(&context, Err(syn_defence::stage::run(&context)))
}

/// Does with a packet what a pipeline says: sends it, hands it over, or lets its story end.
#[inline(always)]
fn end(context: &XdpContext, outcome: Step<u32>) -> u32 {
    let verdict = match outcome {
        Ok(interface) => {
            let (verdict, action) = forward(context, interface);
            return count(context, verdict, action);
        }
        Err(verdict) => verdict,
    };
    match verdict.action() {
        Action::Pass => count(context, verdict, XDP_PASS),
        Action::Answer => count(context, verdict, XDP_TX),
        Action::Refuse => {
            handover::refuse(verdict);
            hand_over(context, Stage::Answer);
            count(context, verdict, XDP_DROP)
        }
        Action::HandOver => {
            if let Some(stage) = verdict.stage() {
                hand_over(context, stage);
            }
            count(context, Verdict::DropInternal, XDP_DROP)
        }
        Action::Forward | Action::Drop => count(context, verdict, XDP_DROP),
    }
}

/// Goes on in another program, which begins with an empty stack; comes back only if that one is
/// not there.
#[inline(always)]
fn hand_over(context: &XdpContext, stage: Stage) {
    // SAFETY: nothing is left here that wants to be dropped.
    unsafe { STAGES.tail_call(context, stage as u32) };
}

/// Counts the end of a packet's story.
#[inline(always)]
fn count(_context: &XdpContext, verdict: Verdict, action: u32) -> u32 {
    stats::verdict(verdict);
    #[cfg(feature = "log")]
    if verdict.action() != Action::Forward {
        report(_context, verdict);
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

/// Flushes templates and deletes expired ones for the daemon, likewise.
#[xdp]
pub fn template_batch(context: XdpContext) -> u32 {
    template_batch::run(&context)
}

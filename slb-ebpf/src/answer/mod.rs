//! Answers to refused packets: the packet itself becomes the answer and goes back where it came
//! from. The sender learns at once what a time-out would tell it late.
//!
//! Who must not be answered is not (RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 e, RFC 9293
//! section 3.10.7.1): RSTs, ICMP, fragments but the first, whatever came as a multicast or from an
//! address that nobody has. [`limit`] keeps the program from being anybody's reflector.

mod icmp;
mod limit;
mod reset;

pub use self::icmp::turn_round;

use aya_ebpf::programs::XdpContext;
use slb_common::{Answer, Verdict, service::SERVICE_SILENT};

use crate::{
    headers::{Ethernet, Ipv4},
    packet::Frame,
    parse::{
        self, Addresses, Network, TCP, UDP,
        link::{self, Link},
        transport,
    },
    services, stats,
};

/// A refused packet that may be answered.
struct Refused {
    link: Link,
    addresses: Addresses,
    network: Network,
}

/// Turns a refused packet into the answer to it; `None`: none is due, the packet is as it was or
/// worth nothing any more.
#[inline(always)]
pub fn make(context: &XdpContext, verdict: Verdict) -> Option<Answer> {
    match link::link(Frame::of(context)).ok()?.ethertype {
        link::IPV4 => make_v4(context, verdict),
        link::IPV6 => make_v6(context, verdict),
        _ => None,
    }
}

/// IPv4, on a stack frame of its own.
#[inline(never)]
fn make_v4(context: &XdpContext, verdict: Verdict) -> Option<Answer> {
    of_family::<1>(context, verdict)
}

/// IPv6, likewise.
#[inline(never)]
fn make_v6(context: &XdpContext, verdict: Verdict) -> Option<Answer> {
    of_family::<3>(context, verdict)
}

#[inline(always)]
fn of_family<const W: usize>(context: &XdpContext, verdict: Verdict) -> Option<Answer> {
    let frame = Frame::of(context);
    let link = link::link(frame).ok()?;
    let addresses = parse::addresses::<W>(frame, link.at()).ok()?;
    let network = parse::network::<W>(frame, link.at()).ok()?;
    let packet = Refused { link, addresses, network };
    if !answerable::<W>(frame, &packet) {
        return None;
    }
    let answer = due::<W>(frame, &packet, verdict)?;
    if !limit::allows(answer) {
        stats::answer(Answer::Suppressed);
        return None;
    }
    match answer {
        Answer::Reset => reset::make::<W>(context, &packet)?,
        answer => icmp::make::<W>(context, &packet, answer)?,
    }
    stats::answer(answer);
    Some(answer)
}

/// True for packets that may be answered at all.
#[inline(always)]
fn answerable<const W: usize>(frame: Frame, packet: &Refused) -> bool {
    let Ok(ethernet) = frame.read::<Ethernet>(0) else { return false };
    let group = ethernet.destination[0].to_ne_bytes()[0] & 1 != 0;
    let known = packet.network.protocol == TCP || packet.network.protocol == UDP;
    if group || !known || parse::martian::<W>(packet.addresses.source) {
        return false;
    }
    // Behind the first fragment there is nothing that the sender would know again.
    W != 1
        || frame
            .read::<Ipv4>(packet.link.at())
            .is_ok_and(|header| header.fragment & 0x1fff_u16.to_be() == 0)
}

/// What the sender is to be told.
#[inline(always)]
fn due<const W: usize>(frame: Frame, packet: &Refused, verdict: Verdict) -> Option<Answer> {
    let tcp = packet.network.protocol == TCP;
    match verdict {
        Verdict::DropTtl => Some(Answer::TimeExceeded),
        Verdict::DropTooBig => Some(Answer::TooBig),
        Verdict::DropNoConnection if tcp => Some(Answer::Reset),
        Verdict::DropNoBackend if silent::<W>(frame, packet) => None,
        Verdict::DropNoBackend => Some(if tcp { Answer::Reset } else { Answer::Unreachable }),
        _ => None,
    }
}

/// True if the listener wants to be silent when it has no backend.
#[inline(always)]
fn silent<const W: usize>(frame: Frame, packet: &Refused) -> bool {
    use slb_common::connection::endpoint;
    let Ok(ports) = transport::ports(frame, &packet.network) else { return true };
    let vip: [u64; W] = endpoint(packet.addresses.destination, ports.destination, 0);
    match services::find(&vip, packet.network.protocol) {
        Ok((_, service)) => service.flags & SERVICE_SILENT != 0,
        // The listener has gone, its connections have not.
        Err(_) => false,
    }
}

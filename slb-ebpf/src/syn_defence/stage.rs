//! The stage of cookies: what [`Stage::Cookie`](slb_common::stage::Stage::Cookie) is told to do with
//! a segment. It leaves an answer, or a segment that the other stages take for an ordinary one.

use aya_ebpf::programs::XdpContext;
use slb_common::{
    Verdict,
    connection::{Translation, mark},
    stage::cookie_task::{ACKNOWLEDGE, ANSWER, CHALLENGE, PROVE, REMEMBER, REPEAT, SPLICE},
};

use super::segments::BARE;
use crate::{
    connections::line::Line,
    handover,
    headers::Tcp,
    maps::Maps,
    packet::{Frame, Short, Step},
    parse::{
        self, Addresses, Packet,
        link::{self, Link},
    },
    pipeline,
};

/// Follows a packet to its end, or to the stage that goes on with it.
#[inline(always)]
pub fn run(context: &XdpContext) -> Verdict {
    let done = match link::link(Frame::of(context)) {
        Ok(Link { ethertype: link::IPV4, .. }) => run_v4(context),
        Ok(_) => run_v6(context),
        Err(verdict) => Err(verdict),
    };
    done.unwrap_or_else(|verdict| verdict)
}

/// IPv4, on a stack frame of its own.
#[inline(never)]
fn run_v4(context: &XdpContext) -> Step<Verdict> {
    of_family::<1>(context)
}

/// IPv6, likewise.
#[inline(never)]
fn run_v6(context: &XdpContext) -> Step<Verdict> {
    of_family::<3>(context)
}

#[inline(always)]
fn of_family<const W: usize>(context: &XdpContext) -> Step<Verdict> {
    let (packet, _) = pipeline::parse::<W, false>(context)?;
    let frame = Frame::of(context);
    let addresses = parse::addresses::<W>(frame, packet.link.at());
    let segment = frame.read::<Tcp>(usize::from(packet.network.transport));
    let (Ok(addresses), Ok(segment)) = (addresses, segment) else {
        return Err(Verdict::DropTruncated);
    };
    let came = Came { context, packet: &packet, addresses, segment };
    let told = handover::read().ok_or(Verdict::DropInternal)?;
    let done = match told.cookie_task {
        ANSWER => came.answer(told.announced_mss as u16),
        CHALLENGE => came.challenge(),
        PROVE => came.prove(),
        REMEMBER => came.remember(),
        REPEAT => came.repeat(told.line),
        SPLICE => came.splice(told.line),
        ACKNOWLEDGE => came.acknowledge(told.line),
        _ => Ok(Verdict::DropInternal),
    };
    done.map_err(|Short| Verdict::DropTruncated)
}

/// A segment that came.
pub(super) struct Came<'a, const W: usize> {
    pub(super) context: &'a XdpContext,
    pub(super) packet: &'a Packet<W>,
    pub(super) addresses: Addresses,
    pub(super) segment: Tcp,
}

impl<const W: usize> Came<'_, W> {
    /// A line whose client waits for its backend's answer.
    #[inline(always)]
    pub(super) fn waiting(number: u32) -> Step<(Line<W>, Translation)> {
        let line = Line::<W>::of_slot(Maps, number).ok_or(Verdict::DropInternal)?;
        let translation = line.translation();
        if translation.marks() & mark::WAITING == 0 {
            // Another processor was quicker with the same, or it is somebody else's by now.
            return Err(Verdict::DropContended);
        }
        Ok((line, translation))
    }

    /// A segment in the other direction, without numbers.
    #[inline(always)]
    pub(super) const fn back(&self, flags: u8) -> Tcp {
        let Tcp { source, destination, .. } = self.segment;
        Tcp {
            source: destination,
            destination: source,
            sequence: 0,
            acknowledgement: 0,
            length: BARE,
            flags,
            window: 0,
            checksum: 0,
            urgent: 0,
        }
    }

    /// The same in this direction.
    #[inline(always)]
    pub(super) const fn along(&self, flags: u8) -> Tcp {
        let Tcp { source, destination, .. } = self.segment;
        Tcp { source, destination, ..self.back(flags) }
    }
}

//! ICMP: an error that quotes a packet of a connection goes to the side that sent the packet, and
//! speaks of it as that side knows it. Like the pipeline this only orders stages.
//!
//! Errors change nothing of the connection: whoever can guess its ports can forge one (RFC 5927).

mod errand;
mod tunnelled;

use aya_ebpf::programs::XdpContext;
use slb_common::Verdict;

pub use errand::Errand;
use tunnelled::Outer;

use crate::{
    connections::store::Side,
    forward::{
        self, Way,
        error::{self, Translation},
        mtu,
        nat::Rewrite,
    },
    maps,
    packet::{Frame, Short, Step},
    parse::{IPV4_IN_IP, link},
};

/// Follows an ICMP packet to its end.
#[inline(always)]
pub fn run(context: &XdpContext) -> Step<u32> {
    match link::link(Frame::of(context))?.ethertype {
        link::IPV4 => run_v4(context),
        _ => run_v6(context),
    }
}

/// IPv4: what is to be done is found, and done, on stack frames of their own.
#[inline(never)]
fn run_v4(context: &XdpContext) -> Step<u32> {
    find_v4(context)?;
    match tunnelled::outer::<1>(Frame::of(context))? {
        Some(outer) => tell(context, &outer),
        None => send_v4(context),
    }
}

/// IPv6, likewise.
#[inline(never)]
fn run_v6(context: &XdpContext) -> Step<u32> {
    find_v6(context)?;
    match tunnelled::outer::<3>(Frame::of(context))? {
        Some(outer) => tell(context, &outer),
        None => send_v6(context),
    }
}

/// What is about a tunnel's packet becomes an error about the one inside.
#[inline(always)]
fn tell(context: &XdpContext, outer: &Outer) -> Step<u32> {
    match outer.carries {
        IPV4_IN_IP => tell_v4(context, outer),
        _ => tell_v6(context, outer),
    }
}

#[inline(never)]
fn tell_v4(context: &XdpContext, outer: &Outer) -> Step<u32> {
    tunnelled::tell::<1>(context, outer)
}

#[inline(never)]
fn tell_v6(context: &XdpContext, outer: &Outer) -> Step<u32> {
    tunnelled::tell::<3>(context, outer)
}

#[inline(never)]
fn find_v4(context: &XdpContext) -> Step<()> {
    errand::find::<1>(context)
}

#[inline(never)]
fn find_v6(context: &XdpContext) -> Step<()> {
    errand::find::<3>(context)
}

#[inline(never)]
fn send_v4(context: &XdpContext) -> Step<u32> {
    send::<1>(context)
}

#[inline(never)]
fn send_v6(context: &XdpContext) -> Step<u32> {
    send::<3>(context)
}

/// Makes the error speak of what its receiver knows, and sends it there.
#[inline(always)]
fn send<const W: usize>(context: &XdpContext) -> Step<u32> {
    let errand = maps::errand::<W>().ok_or(Verdict::DropInternal)?;
    let link = link::link(Frame::of(context))?;
    let source = |old, new| Rewrite { side: Side::Backend, old, new };
    let destination = |old, new| Rewrite { side: Side::Vip, old, new };
    let translation = Translation {
        outer: [
            source(&errand.speaker, &errand.known_speaker),
            destination(&errand.sender, &errand.known_sender),
        ],
        quoted: [
            source(&errand.sender, &errand.known_sender),
            destination(&errand.receiver, &errand.known_receiver),
        ],
        numbers: errand.numbers,
    };
    if errand.added != 0 {
        let told = mtu::lessen::<W>(Frame::of(context), errand.message, errand.added);
        told.map_err(|Short| Verdict::DropTruncated)?;
    }
    error::rewrite(Frame::of(context), link.at(), errand.message, &errand.quote, &translation)?;
    let way =
        Way { mode: errand.mode as u8, slot: errand.slot, flow: errand.flow, hop: &errand.hop };
    forward::send::<W>(context, &link, errand.length, &way)?;
    Ok(errand.hop.interface)
}

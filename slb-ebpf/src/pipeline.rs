//! The order of the stages of a connection's packets, and nothing else. A stage returns what the next ones need or ends the
//! packet's story with a verdict; stages never call each other.

use aya_ebpf::programs::XdpContext;
use slb_common::{Verdict, connection::endpoint, service::mode};

use crate::{
    admission::{bandwidth, blackhole},
    connections::{store::Side, tcp_state::tcp, transition::track},
    entries,
    forward::{self, Way},
    fragments::following,
    handover, hops,
    maps::{self, Maps},
    one_packet,
    packet::{Frame, Short, Step},
    parse::{self, Packet, TCP, icmp, link, transport},
    sequences, services, splice, stats,
};

/// Where a packet's connection is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Look {
    /// By the direction that its addresses suggest.
    First = slb_common::stage::look::FIRST,
    /// Once more, after the slow path has opened it.
    Opened = slb_common::stage::look::OPENED,
    /// As a reply: the client's address only shared a bit with a VIP.
    Reply = slb_common::stage::look::REPLY,
    /// Nowhere: the slow path has chosen a backend for this datagram alone.
    Chosen = slb_common::stage::look::CHOSEN,
    /// By the slow path: the connection on these ports has ended.
    Anew = slb_common::stage::look::ANEW,
    /// By the slow path: the client has proven itself.
    Proven = slb_common::stage::look::PROVEN,
}

/// Follows a packet to its end: the interface to send it from, or why it is not sent. Returns from
/// calls are dear and each takes of 512 bytes of stack, so IPv4 takes place here and IPv6 in a program
/// of its own.
#[inline(always)]
pub fn enter<const RARE: bool>(context: &XdpContext, look: Look) -> Step<u32> {
    match link::link(Frame::of(context))?.ethertype {
        link::IPV4 => run::<1, RARE>(context, look),
        link::IPV6 => Err(if RARE { Verdict::ToRareIpv6 } else { Verdict::ToIpv6 }),
        _ => Err(Verdict::PassNotIp),
    }
}

/// One family. What is `RARE` is left to a program of its own, which is this pipeline with it.
#[inline(always)]
pub fn run<const W: usize, const RARE: bool>(context: &XdpContext, look: Look) -> Step<u32> {
    let (packet, side) =
        if RARE { parse::<W, false>(context)? } else { parse::<W, true>(context)? };
    balance::<W, RARE>(context, &packet, side, look)
}

/// A packet that may be ours. `FIRST`: no program has seen it before.
#[inline(always)]
pub fn parse<const W: usize, const FIRST: bool>(context: &XdpContext) -> Step<(Packet<W>, Side)> {
    let frame = Frame::of(context);
    let link = link::link(frame)?;
    let addresses = parse::addresses::<W>(frame, link.at()).map_err(|Short| Verdict::PassShort)?;
    let side = match services::side(&addresses) {
        Ok(side) => side,
        // A router between us and a backend may tell a client something.
        Err(_) if icmp::follows::<W>(frame, link.at()) => return Err(Verdict::ToIcmp),
        Err(verdict) => return Err(verdict),
    };
    if FIRST && side == Side::Vip {
        blackhole::watch(addresses.destination, frame.length().wrapping_sub(link.at()) as u64)?;
    }
    let mut network = parse::network::<W>(frame, link.at())
        .map_err(|verdict| services::if_ours(verdict, side, &addresses))?;
    if network.protocol == icmp::protocol::<W>() {
        // The kernel puts echoes together; errors come in one piece.
        let whole = network.fragment.whole();
        return Err(if whole { Verdict::ToIcmp } else { Verdict::PassOtherProtocol });
    }
    if FIRST && !network.fragment.whole() {
        return Err(handover::rare(Look::First));
    }
    let ports = if FIRST || network.fragment.whole() {
        transport::ports(frame, &network)
    } else {
        following::ports::<W>(frame, link.at(), &mut network)
    };
    let ports = ports.map_err(|verdict| services::if_ours(verdict, side, &addresses))?;
    let protocol = u16::from(network.protocol);
    let packet = Packet {
        source: endpoint(addresses.source, ports.source, protocol),
        destination: endpoint(addresses.destination, ports.destination, protocol),
        link,
        network,
        ports,
    };
    Ok((packet, side))
}

/// What both families have in common: the whole rest.
#[inline(always)]
fn balance<const W: usize, const RARE: bool>(
    context: &XdpContext,
    packet: &Packet<W>,
    side: Side,
    look: Look,
) -> Step<u32> {
    let side = if look == Look::Reply { Side::Backend } else { side };
    let now = maps::tick();
    let found = match look {
        Look::Chosen if RARE => one_packet::chosen(),
        _ if RARE => entries::connection::<W, false>(&packet.key(side), side, now),
        _ => entries::connection::<W, true>(&packet.key(side), side, now),
    };
    let entry = match found {
        Some(entry) => entry,
        None if look == Look::Opened => return Err(Verdict::DropContended),
        None if side == Side::Vip => return Err(handover::open(Look::First)),
        None => entries::without_entry::<W, RARE>(packet, look, now)?,
    };
    let one_sided = mode::one_sided(entry.translation.mode());
    if one_sided && side == Side::Backend {
        // It answers the client itself, whatever way that takes.
        return Err(Verdict::PassNoConnection);
    }
    if !RARE && entries::is_rare(packet, &entry) {
        return Err(handover::rare(look));
    }
    if RARE && look == Look::First && entries::begins_anew(packet, side, &entry) {
        return Err(handover::open(Look::Anew));
    }
    if RARE {
        splice::handshake(packet, side, &entry)?;
    }
    if packet.network.ttl <= 1 {
        return Err(Verdict::DropTtl);
    }
    let bytes = u64::from(packet.network.length);
    bandwidth::pass(entry.service(), side, bytes)?;
    let hop = match side {
        Side::Vip => {
            let if_failed = entries::if_failed::<W, RARE>(packet, &entry, look);
            hops::backend(&entry, packet.network.length, if_failed)?
        }
        Side::Backend => hops::client(context, &entry, packet.network.length)?,
    };
    if RARE && packet.network.fragment.first() {
        following::remember(Frame::of(context), packet, entry.seen.slot())?;
    }
    let opened = look == Look::Opened;
    if RARE && sequences::begins_another(Frame::of(context), packet, &entry, opened) {
        stats::connection(entry.service(), entry.seen.slot());
    }
    let later = RARE && packet.network.fragment.later();
    if !later && sequences::note(Frame::of(context), packet, &entry, side, opened) {
        // Where nobody sees an answer, what opens a connection does not establish it as well.
        let flags = if one_sided && opened { tcp::SYN } else { packet.ports.flags };
        track(Maps, &entry, side, flags, now);
        entries::note_completed(packet, side, &entry);
    } else {
        entry.line.touch(entry.seen, now);
    }
    if RARE {
        splice::translate(context, packet, side, &entry)?;
    }
    forward::rewrite(context, packet, &entry, side)?;
    if RARE && packet.network.protocol == TCP && packet.network.fragment.whole() {
        forward::options::edit(context, packet, side, &entry, hop);
    }
    let way = Way {
        mode: entry.translation.mode(),
        slot: entry.seen.slot(),
        flow: entry.control.tag(),
        hop,
    };
    forward::send::<W>(context, &packet.link, packet.network.length as u16, &way)?;
    stats::packet(side, entry.service(), entry.seen.slot(), bytes);
    Ok(hop.interface)
}

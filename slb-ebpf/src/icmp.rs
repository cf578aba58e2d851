//! ICMP: an error that quotes a packet of a connection goes to the side that sent the packet, and
//! speaks of it as that side knows it. Like the pipeline this only orders stages.
//!
//! Errors change nothing of the connection: whoever can guess its ports can forge one (RFC 5927).

use aya_ebpf::programs::XdpContext;
use slb_common::{
    Verdict,
    connection::{endpoint, endpoint_address},
    next_hop::NextHop,
    service::mode,
};

use crate::{
    connections::{
        lookup::Entry,
        store::{Key, Side},
    },
    forward::{
        error::{self, Translation},
        nat::Rewrite,
        send,
    },
    headers::Udp,
    local_ports, maps,
    packet::{Frame, Short, Step},
    parse::{
        self, Addresses, Network,
        icmp::{self, Message, Quote},
        link::{self, Link},
    },
    pipeline, services,
};

/// Follows an ICMP packet to its end.
#[inline(always)]
pub fn run(context: &XdpContext) -> Step<u32> {
    match link::link(Frame::of(context))?.ethertype {
        link::IPV4 => run_v4(context),
        _ => run_v6(context),
    }
}

/// IPv4, on a stack frame of its own.
#[inline(never)]
fn run_v4(context: &XdpContext) -> Step<u32> {
    follow::<1>(context)
}

/// IPv6, likewise.
#[inline(never)]
fn run_v6(context: &XdpContext) -> Step<u32> {
    follow::<3>(context)
}

/// An error, where it was found and what it quotes.
struct Quoting<const W: usize> {
    link: Link,
    network: Network,
    addresses: Addresses,
    quote: Quote,
    /// Who sent the quoted packet; extra: protocol.
    sender: [u64; W],
    /// To whom; extra: protocol.
    receiver: [u64; W],
}

#[inline(always)]
fn follow<const W: usize>(context: &XdpContext) -> Step<u32> {
    let frame = Frame::of(context);
    let link = link::link(frame)?;
    let addresses = parse::addresses::<W>(frame, link.at()).map_err(|Short| Verdict::PassShort)?;
    let vip = services::vip_state(addresses.destination).is_some();
    // What becomes of it if it concerns no connection.
    let otherwise = match services::side(&addresses) {
        _ if vip => Verdict::PassOtherProtocol,
        Ok(Side::Backend) => Verdict::PassNoConnection,
        _ => Verdict::PassNotOurs,
    };
    let network = parse::network::<W>(frame, link.at())
        .map_err(|verdict| if vip { verdict } else { otherwise })?;
    match icmp::message::<W>(frame, &network) {
        Message::Error => {}
        Message::EchoRequest if vip => {
            return Err(services::unless_stopped(otherwise, addresses.destination));
        }
        _ => return Err(otherwise),
    }
    let otherwise = if vip { Verdict::PassIcmpNoConnection } else { otherwise };
    let (quote, inner, ports) = quoted::<W>(frame, &network).ok_or(otherwise)?;
    // An error goes to the sender of what it quotes.
    if differ(inner.source, addresses.destination) {
        return Err(otherwise);
    }
    let protocol = u16::from(quote.protocol);
    let quoting = Quoting::<W> {
        link,
        network,
        addresses,
        quote,
        sender: endpoint(inner.source, ports.0, protocol),
        receiver: endpoint(inner.destination, ports.1, protocol),
    };
    let (side, key) = if vip {
        (Side::Vip, Key { client: &quoting.receiver, server: &quoting.sender })
    } else if services::from_backend(&quoting.receiver) {
        (Side::Backend, Key { client: &quoting.sender, server: &quoting.receiver })
    } else {
        return Err(otherwise);
    };
    let entry = pipeline::connection(&key, side, maps::tick()).ok_or(otherwise)?;
    forward(context, &quoting, side, &entry)
}

/// The quoted packet: where it lies, its addresses and ports.
#[inline(always)]
fn quoted<const W: usize>(
    frame: Frame,
    network: &Network,
) -> Option<(Quote, Addresses, ([u8; 2], [u8; 2]))> {
    let quote = icmp::quote::<W>(frame, network)?;
    let inner = parse::addresses::<W>(frame, usize::from(quote.network)).ok()?;
    // The ports of TCP lie where those of UDP do.
    let ports = frame.read::<Udp>(usize::from(quote.transport)).ok()?;
    Some((quote, inner, (ports.source.to_ne_bytes(), ports.destination.to_ne_bytes())))
}

/// Sends the error to the backend (`Side::Vip`: it came to the VIP) or to the client.
#[inline(always)]
fn forward<const W: usize>(
    context: &XdpContext,
    quoting: &Quoting<W>,
    side: Side,
    entry: &Entry<W>,
) -> Step<u32> {
    if quoting.network.ttl <= 1 {
        return Err(Verdict::DropTtl);
    }
    let mut hop = NextHop::default();
    match side {
        Side::Vip => pipeline::backend_hop(entry, &mut hop)?,
        Side::Backend => pipeline::client_hop(context, entry, &mut hop)?,
    }
    let mut known = Known { sender: entry.backend, receiver: quoting.receiver };
    match (side, entry.translation.mode()) {
        (Side::Backend, _) => known = Known { sender: entry.client, receiver: entry.vip },
        (Side::Vip, mode::FULL_NAT) => known.receiver = local_ports::endpoint_of(entry.ties)?,
        (Side::Vip, _) => {}
    }
    translate(context, quoting, &known)?;
    send::address(context, &quoting.link, &hop)?;
    Ok(hop.interface)
}

/// The ends of the quoted packet as the error's receiver knows them.
struct Known<const W: usize> {
    sender: [u64; W],
    receiver: [u64; W],
}

/// Makes the error speak of what its receiver knows.
#[inline(always)]
fn translate<const W: usize>(
    context: &XdpContext,
    quoting: &Quoting<W>,
    known: &Known<W>,
) -> Step<()> {
    let Quoting { sender, receiver, addresses, .. } = quoting;
    let speaker = endpoint(addresses.source, [0; 2], 0);
    // The receiver itself has another address to who hears of it; a router is who it is.
    let itself = !differ(addresses.source, endpoint_address(receiver));
    let speaks = if itself { &known.receiver } else { &speaker };
    let source = |old, new| Rewrite { side: Side::Backend, old, new };
    let destination = |old, new| Rewrite { side: Side::Vip, old, new };
    let translation = Translation {
        outer: [source(&speaker, speaks), destination(sender, &known.sender)],
        quoted: [source(sender, &known.sender), destination(receiver, &known.receiver)],
    };
    let frame = Frame::of(context);
    error::rewrite(frame, quoting.link.at(), &quoting.network, &quoting.quote, &translation)
}

/// Inequality without `memcmp`, which would be a call.
#[inline(always)]
const fn differ(a: [u64; 2], b: [u64; 2]) -> bool {
    (a[0] ^ b[0]) | (a[1] ^ b[1]) != 0
}

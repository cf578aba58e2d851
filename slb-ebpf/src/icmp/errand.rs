//! What becomes of an ICMP packet: whether it is an error about a connection, whose, and which
//! addresses its receiver knows.

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
    entries,
    forward::{error::Numbers, toa},
    headers::Udp,
    hops::{self, IfFailed},
    local_ports, maps,
    packet::{Frame, Short, Step},
    parse::{
        self, Addresses, Network, TCP,
        icmp::{self, Message, Quote},
        link,
    },
    services, splice,
};

/// What becomes of an error. Extras of the quoted packet's ends are the protocol.
#[repr(C)]
pub struct Errand<const W: usize> {
    /// Who sent the quoted packet, as it is quoted.
    pub(super) sender: [u64; W],
    /// To whom.
    pub(super) receiver: [u64; W],
    /// The sender as the error's receiver knows it.
    pub(super) known_sender: [u64; W],
    /// The receiver, likewise.
    pub(super) known_receiver: [u64; W],
    /// Who reports the error; the port means nothing.
    pub(super) speaker: [u64; W],
    /// The same as the error's receiver knows it.
    pub(super) known_speaker: [u64; W],
    /// What becomes of the quoted segment's numbers.
    pub(super) numbers: Numbers,
    /// Where the error goes.
    pub(super) hop: NextHop,
    /// What it quotes.
    pub(super) quote: Quote,
    /// Offset of the ICMP header.
    pub(super) message: u16,
    /// Bytes of the whole packet.
    pub(super) length: u16,
    /// Forwarding mode in which it leaves.
    pub(super) mode: u16,
    /// Bytes that are added to the quoted packets on their way through here.
    pub(super) added: u16,
    /// Backend slot.
    pub(super) slot: u32,
    /// A number that all packets of the connection have.
    pub(super) flow: u32,
}

const _: () = assert!(size_of::<Errand<3>>() == 6 * 24 + 8 + 24 + 24 && size_of::<Quote>() == 8);

/// Finds out what becomes of an ICMP packet.
#[inline(always)]
pub(super) fn find<const W: usize>(context: &XdpContext) -> Step<()> {
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
    let errand = maps::errand::<W>().ok_or(Verdict::DropInternal)?;
    let (quote, inner, ports) = quoted::<W>(frame, &network).ok_or(otherwise)?;
    // An error goes to the sender of what it quotes.
    if !parse::same(inner.source, addresses.destination) {
        return Err(otherwise);
    }
    let protocol = u16::from(quote.protocol);
    errand.sender = endpoint(inner.source, ports.0, protocol);
    errand.receiver = endpoint(inner.destination, ports.1, protocol);
    errand.speaker = endpoint(addresses.source, [0; 2], 0);
    (errand.quote, errand.message) = (quote, network.transport);
    errand.length = network.length as u16;
    if quote.carries_packet() {
        // Only tunnels to backends are ours.
        return services::from_backend(&errand.receiver).then_some(()).ok_or(otherwise);
    }
    let (side, client, server) = if vip {
        (Side::Vip, &errand.receiver, &errand.sender)
    } else if services::from_backend(&errand.receiver) {
        (Side::Backend, &errand.sender, &errand.receiver)
    } else {
        return Err(otherwise);
    };
    let key = Key { client, server };
    let entry = entries::connection::<W, false>(&key, side, maps::tick()).ok_or(otherwise)?;
    if network.ttl <= 1 {
        return Err(Verdict::DropTtl);
    }
    decide(context, errand, side, &entry)
}

/// To the backend (`Side::Vip`: it came to the VIP) or to the client, and whom that knows.
#[inline(always)]
fn decide<const W: usize>(
    context: &XdpContext,
    errand: &mut Errand<W>,
    side: Side,
    entry: &Entry<W>,
) -> Step<()> {
    errand.hop = *match side {
        Side::Vip => hops::backend(entry, u32::from(errand.length), IfFailed::Stays)?,
        Side::Backend => hops::client(context, entry, u32::from(errand.length))?,
    };
    errand.numbers = splice::quoted(side, entry);
    (errand.slot, errand.flow) = (entry.seen.slot(), entry.control.tag());
    // Only what goes to a backend goes by tunnel.
    errand.mode = match side {
        Side::Vip => u16::from(entry.translation.mode()),
        Side::Backend => u16::from(mode::NAT),
    };
    errand.added = match (side, entry.translation.mode()) {
        (Side::Backend, mode::FULL_NAT) if errand.quote.protocol == TCP => toa::size::<W>(),
        _ => 0,
    };
    (errand.known_sender, errand.known_receiver) = match (side, entry.translation.mode()) {
        (Side::Backend, _) => (entry.client, entry.vip),
        (Side::Vip, mode::FULL_NAT) => (entry.backend, local_ports::endpoint_of(entry.ties)?),
        (Side::Vip, _) => (entry.backend, errand.receiver),
    };
    // The receiver itself has another address to who hears of it; a router is who it is.
    let itself = parse::same(endpoint_address(&errand.speaker), endpoint_address(&errand.receiver));
    errand.known_speaker = if itself { errand.known_receiver } else { errand.speaker };
    Ok(())
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

//! Errors about the outer packets of tunnels. A router between here and a backend speaks to the
//! balancer, of a packet that the client never sent; the client is told of its own, by the VIP.

use aya_ebpf::programs::XdpContext;
use slb_common::{
    Verdict,
    connection::{endpoint, endpoint_address},
    next_hop::{NO_VLAN, NextHop},
    service::mode,
};

use crate::{
    connections::store::{Key, Side},
    entries,
    forward::{message, send, tunnel},
    headers::{Ethernet, Icmp, Ipv4, Udp, VlanTag},
    hops,
    maps::{self, backend_of},
    packet::{Frame, Short, Step},
    parse::{
        self, Addresses,
        icmp::{
            self,
            tunnelled::{Trouble, about_inner, trouble},
        },
        ipv4,
        link::{IPV4, IPV6, Link},
    },
};

/// How the story ends of an error that no client can be told of.
const NOBODY: Verdict = Verdict::PassIcmpNoConnection;

/// A quoted outer packet, and what is said about it.
pub(super) struct Outer {
    /// Who sent it.
    source: [u64; 2],
    /// To which backend.
    backend: [u64; 2],
    /// What is said.
    trouble: Trouble,
    /// Offset of the inner packet.
    at: u16,
    /// Bytes of it that are there.
    quoted: u16,
    /// Protocol number of the inner packet.
    pub(super) carries: u8,
}

/// The outer packet that an error quotes; `None`: it quotes one that is in no tunnel.
#[inline(always)]
pub(super) fn outer<const W: usize>(frame: Frame) -> Step<Option<Outer>> {
    let errand = maps::errand::<W>().ok_or(Verdict::DropInternal)?;
    if !errand.quote.carries_packet() {
        return Ok(None);
    }
    let header = frame.read::<Icmp>(usize::from(errand.message)).map_err(|Short| NOBODY)?;
    Ok(Some(Outer {
        source: endpoint_address(&errand.sender),
        backend: endpoint_address(&errand.receiver),
        trouble: trouble::<W>(&header).ok_or(NOBODY)?,
        at: errand.quote.transport,
        quoted: errand.quote.quoted,
        carries: errand.quote.protocol,
    }))
}

/// Turns the error into one to the client about its own packet.
#[inline(always)]
pub(super) fn tell<const W: usize>(context: &XdpContext, outer: &Outer) -> Step<u32> {
    let frame = Frame::of(context);
    let at = usize::from(outer.at);
    let addresses = parse::addresses::<W>(frame, at).map_err(|Short| NOBODY)?;
    let quote = icmp::packet::<W>(frame, at, outer.quoted).ok_or(NOBODY)?;
    let ports = frame.read::<Udp>(usize::from(quote.transport)).map_err(|Short| NOBODY)?;
    let protocol = u16::from(quote.protocol);
    let client: [u64; W] = endpoint(addresses.source, ports.source.to_ne_bytes(), protocol);
    let vip = endpoint(addresses.destination, ports.destination.to_ne_bytes(), protocol);
    let key = Key { client: &client, server: &vip };
    let entry = entries::connection::<W, false>(&key, Side::Vip, maps::tick()).ok_or(NOBODY)?;
    let backend = backend_of(entry.seen.slot()).ok_or(Verdict::DropInternal)?;
    // Who forges it must know more than the client's connection.
    if entry.translation.mode() != mode::TUNNEL
        || backend.generation != entry.seen.generation()
        || !parse::same(backend.address, outer.backend)
        || !tunnel::source(backend.family, entry.control.tag())
            .is_ok_and(|source| parse::same(source, outer.source))
        || !wants::<W>(frame, at, outer.trouble)
    {
        return Err(NOBODY);
    }
    let header = about_inner::<W>(outer.trouble, tunnel::overhead(backend.family));
    let quoted = message::quoted::<W>(usize::from(outer.quoted));
    let ahead = message::headers::<W>();
    let hop = hops::client(context, &entry, (ahead + quoted) as u32)?;
    message::trim(context, at + quoted).ok_or(Verdict::DropTruncated)?;
    let ethertype = if W == 1 { IPV4 } else { IPV6 };
    let link = Link { network: outer.at, ethertype, vlan: NO_VLAN };
    send::address_before(context, &link, hop, ahead as u16)?;
    let tag = if hop.vlan == NO_VLAN { 0 } else { size_of::<VlanTag>() };
    let ends = Addresses { source: addresses.destination, destination: addresses.source };
    message::write::<W>(context, size_of::<Ethernet>() + tag, &ends, header, quoted)
        .ok_or(Verdict::DropTruncated)?;
    Ok(hop.interface)
}

/// True unless the client lets routers fragment: then it does not want to know what does not fit.
#[inline(always)]
fn wants<const W: usize>(frame: Frame, at: usize, trouble: Trouble) -> bool {
    W != 1
        || trouble == Trouble::Unreachable
        || frame.read::<Ipv4>(at).is_ok_and(|header| header.fragment & ipv4::DONT_FRAGMENT != 0)
}

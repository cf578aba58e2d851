//! Tunnels: the packet goes into another one to the backend, of the backend's family (RFC 2003,
//! RFC 2473, RFC 4213). The inner packet has lost one hop already, as behind any router.

use aya_ebpf::programs::XdpContext;
use slb_common::{Verdict, next_hop::NO_VLAN, vip::TunnelSource};

use super::{Way, send};
use crate::{
    headers::{Ethernet, Ipv4, Ipv6, VlanTag},
    maps::{SETTINGS, backend_of},
    packet::{Frame, Short, Step},
    parse::{
        Addresses, IPV4_IN_IP, IPV6_IN_IP, ipv4, ipv6,
        link::{IPV4, IPV6, Link},
    },
};

/// Bytes that the outer header to a backend of this family (4 or 6) takes.
#[inline(always)]
pub const fn overhead(family: u8) -> u32 {
    if family == 4 { size_of::<Ipv4>() as u32 } else { size_of::<Ipv6>() as u32 }
}

/// Puts a packet of this length into one to its backend, with its frame.
#[inline(always)]
pub fn encapsulate<const W: usize>(
    context: &XdpContext,
    link: &Link,
    length: u16,
    way: &Way<'_>,
) -> Step<()> {
    let backend = backend_of(way.slot).ok_or(Verdict::DropInternal)?;
    // DSCP and ECN are the inner packet's (RFC 6040).
    let class =
        class::<W>(Frame::of(context), link.at()).map_err(|Short| Verdict::DropTruncated)?;
    let carries = (class, if W == 1 { IPV4_IN_IP } else { IPV6_IN_IP });
    let addresses =
        Addresses { source: source(backend.family, way.flow)?, destination: backend.address };
    let v4 = backend.family == 4;
    let header = overhead(backend.family) as u16;
    // The outer packet begins so much earlier.
    let link = Link { ethertype: if v4 { IPV4 } else { IPV6 }, ..*link };
    send::address_before(context, &link, way.hop, header)?;
    let tag = if way.hop.vlan == NO_VLAN { 0 } else { size_of::<VlanTag>() };
    let at = size_of::<Ethernet>() + tag;
    let frame = Frame::of(context);
    let written = if v4 {
        ipv4::write(frame, at, &addresses, carries, length)
    } else {
        ipv6::write(frame, at, &addresses, carries, length)
    };
    written.map_err(|Short| Verdict::DropTruncated)
}

/// Traffic class of a packet: DSCP and ECN.
#[inline(always)]
fn class<const W: usize>(frame: Frame, at: usize) -> Result<u8, Short> {
    Ok(if W == 1 {
        frame.read::<Ipv4>(at)?.service
    } else {
        (u32::from_be(frame.read::<Ipv6>(at)?.version_class_flow) >> 20) as u8
    })
}

/// The outer source toward backends of a family: an address, or one of a prefix, always the same
/// for a flow. So what receives the packets can spread them, which sees outer headers only.
#[inline(always)]
pub fn source(family: u8, flow: u32) -> Step<[u64; 2]> {
    let settings = SETTINGS.get_ptr(0).ok_or(Verdict::DropInternal)?;
    // SAFETY: the map gave the pointer; the daemon replaces words whole.
    let TunnelSource { address, spread } =
        unsafe { if family == 4 { (*settings).tunnel_v4 } else { (*settings).tunnel_v6 } };
    if address[0] | address[1] == 0 {
        return Err(Verdict::DropNoTunnelSource);
    }
    let flow = flow as u64 | (flow as u64) << 32;
    Ok([address[0] | flow & spread[0], address[1] | flow & spread[1]])
}

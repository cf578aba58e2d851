//! Ethernet and up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use slb_common::Verdict;

use crate::{
    headers::{Ethernet, VlanTag},
    packet::{Frame, Step},
};

/// Ethertype of IPv4, as it lies in memory.
pub const IPV4: u16 = 0x0800_u16.to_be();
/// Ethertype of IPv6, as it lies in memory.
pub const IPV6: u16 = 0x86dd_u16.to_be();
/// Ethertype of a customer tag, as it lies in memory.
pub const VLAN: u16 = 0x8100_u16.to_be();
/// Ethertype of a service tag, as it lies in memory.
const SERVICE_VLAN: u16 = 0x88a8_u16.to_be();

/// What lies under the network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Offset of the network header: 14, 18 or 22.
    pub network: u16,
    /// What it is, as it lies in memory.
    pub ethertype: u16,
    /// Outer VLAN id, host byte order; 0: none.
    pub vlan: u16,
}

impl Link {
    /// VLAN tags before the network header.
    #[inline(always)]
    pub const fn tags(&self) -> usize {
        (self.at() - size_of::<Ethernet>()) / size_of::<VlanTag>()
    }

    /// Offset of the network header, to read there.
    #[inline(always)]
    pub const fn at(&self) -> usize {
        self.network as usize
    }
}

/// Reads the link header.
#[inline(always)]
pub fn link(frame: Frame) -> Step<Link> {
    let Ok(ethernet) = frame.read::<Ethernet>(0) else { return Err(Verdict::PassShort) };
    let mut link =
        Link { network: size_of::<Ethernet>() as u16, ethertype: ethernet.ethertype, vlan: 0 };
    if is_tag(link.ethertype) {
        link = tagged_link(frame, link).ok_or(Verdict::PassShort)?;
    }
    Ok(link)
}

/// The link header of a frame with one or two tags; `None`: the frame ends before it does.
#[inline(always)]
pub fn skip_tags(frame: Frame, link: Link) -> Option<Link> {
    let outer = tagged(frame, link)?;
    if !is_tag(outer.ethertype) {
        return Some(outer);
    }
    Some(Link { vlan: outer.vlan, ..tagged(frame, outer)? })
}

#[cfg(target_arch = "bpf")]
use crate::verified::skip_tags as tagged_link;
#[cfg(not(target_arch = "bpf"))]
use skip_tags as tagged_link;

#[inline(always)]
fn tagged(frame: Frame, link: Link) -> Option<Link> {
    let tag = frame.read::<VlanTag>(usize::from(link.network)).ok()?;
    Some(Link {
        network: link.network + size_of::<VlanTag>() as u16,
        ethertype: tag.ethertype,
        vlan: u16::from_be(tag.control) & 0x0fff,
    })
}

#[inline(always)]
const fn is_tag(ethertype: u16) -> bool {
    ethertype == VLAN || ethertype == SERVICE_VLAN
}

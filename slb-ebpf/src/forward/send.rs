//! Giving the rewritten packet its Ethernet header and sending it on its way.

use aya_ebpf::{helpers::generated::bpf_xdp_adjust_head, programs::XdpContext};
use slb_common::{
    Verdict,
    next_hop::{NO_VLAN, NextHop},
};

use crate::{
    headers::{Ethernet, VlanTag},
    packet::{Frame, Short, Step},
    parse::link::{Link, VLAN},
};

/// Writes the link header for a next hop; the frame may move, so nothing read before counts.
#[inline(always)]
pub fn address(context: &XdpContext, link: &Link, hop: &NextHop) -> Step<()> {
    address_before(context, link, hop, 0)
}

/// The same with room for `header` bytes between the link header and the packet, which `link` must
/// describe already.
#[inline(always)]
pub fn address_before(context: &XdpContext, link: &Link, hop: &NextHop, header: u16) -> Step<()> {
    let tag = if hop.vlan == NO_VLAN { 0 } else { size_of::<VlanTag>() };
    let wanted = size_of::<Ethernet>() + tag + usize::from(header);
    if wanted != link.at() {
        let shift = i32::from(link.network) - wanted as i32;
        // SAFETY: the helper checks head room; it invalidates pointers, of which none is kept.
        if unsafe { bpf_xdp_adjust_head(context.ctx, shift) } != 0 {
            return Err(Verdict::DropNoHeadroom);
        }
    }
    write(Frame::of(context), link.ethertype, hop).map_err(|Short| Verdict::DropTruncated)
}

#[inline(always)]
fn write(frame: Frame, ethertype: u16, hop: &NextHop) -> Result<(), Short> {
    let header = frame.place::<Ethernet>(0)?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        (*header).destination = words(hop.destination);
        (*header).source = words(hop.source);
        (*header).ethertype = if hop.vlan == NO_VLAN { ethertype } else { VLAN };
    }
    if hop.vlan != NO_VLAN {
        let tag = frame.place::<VlanTag>(size_of::<Ethernet>())?;
        // SAFETY: as above.
        unsafe {
            (*tag).control = hop.vlan.to_be();
            (*tag).ethertype = ethertype;
        }
    }
    Ok(())
}

#[inline(always)]
const fn words(mac: [u8; 6]) -> [u16; 3] {
    [
        u16::from_ne_bytes([mac[0], mac[1]]),
        u16::from_ne_bytes([mac[2], mac[3]]),
        u16::from_ne_bytes([mac[4], mac[5]]),
    ]
}

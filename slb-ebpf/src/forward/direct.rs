//! Direct routing: the packet stays as it is, to the VIP, and only the frame is addressed to the
//! backend. TTL or hop limit goes down by one, as behind any router; the pipeline has seen that
//! there is one left.

use slb_common::Verdict;

use crate::{
    checksum::Delta,
    headers::{Ipv4, Ipv6},
    packet::{Frame, Short, Step},
};

/// Takes one hop off the packet whose network header is at `at`.
#[inline(always)]
pub fn rewrite<const W: usize>(frame: Frame, at: usize) -> Step<()> {
    let done = if W == 1 { ipv4(frame, at) } else { ipv6(frame, at) };
    done.map_err(|Short| Verdict::DropTruncated)
}

#[inline(always)]
fn ipv4(frame: Frame, at: usize) -> Result<(), Short> {
    let header = frame.place::<Ipv4>(at)?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        let (ttl, protocol) = ((*header).ttl, (*header).protocol);
        let delta = Delta::NONE.replace16(
            u16::from_ne_bytes([ttl, protocol]),
            u16::from_ne_bytes([ttl.wrapping_sub(1), protocol]),
        );
        (*header).ttl = ttl.wrapping_sub(1);
        (*header).checksum = delta.apply((*header).checksum);
    }
    Ok(())
}

#[inline(always)]
fn ipv6(frame: Frame, at: usize) -> Result<(), Short> {
    let header = frame.place::<Ipv6>(at)?;
    // SAFETY: as above.
    unsafe { (*header).hop_limit = (*header).hop_limit.wrapping_sub(1) };
    Ok(())
}

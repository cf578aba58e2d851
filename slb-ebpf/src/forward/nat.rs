//! NAT: the destination of the client's packets becomes the backend, the source of the replies
//! becomes the VIP again. Full NAT replaces the other end too. TTL or hop limit goes down by one, as
//! behind any router; the pipeline has seen that there is one left.

use slb_common::{
    Verdict,
    connection::{endpoint_address, endpoint_port},
};

use crate::{
    checksum::Delta,
    connections::store::Side,
    headers::{Ipv4, Ipv6, Tcp, Udp},
    packet::{Frame, Short, Step},
    parse::{Network, TCP},
};

/// Which endpoint of a packet a rewrite replaces, and by what.
#[derive(Clone, Copy)]
pub struct Rewrite<'a, const W: usize> {
    /// [`Side::Vip`]: the destination; [`Side::Backend`]: the source.
    pub side: Side,
    /// What stands there.
    pub old: &'a [u64; W],
    /// What shall stand there.
    pub new: &'a [u64; W],
}

/// Rewrites addresses, ports and checksums in place: of one end, or of both.
#[inline(always)]
pub fn rewrite<const W: usize, const ENDS: usize>(
    frame: Frame,
    at: usize,
    network: &Network,
    ends: &[Rewrite<'_, W>; ENDS],
) -> Step<()> {
    let mut delta = Delta::NONE;
    let mut end = 0;
    while end < ENDS {
        let Rewrite { old, new, .. } = &ends[end];
        delta = delta.replace_address(endpoint_address(old), endpoint_address(new)).replace16(
            u16::from_ne_bytes(endpoint_port(old)),
            u16::from_ne_bytes(endpoint_port(new)),
        );
        end += 1;
    }
    self::network(frame, at, ends)?;
    if network.fragment.later() {
        return Ok(());
    }
    transport(frame, network, ends, delta).map_err(|Short| Verdict::DropTruncated)
}

/// Rewrites the network header alone: the addresses of these ends, and one hop less.
#[inline(always)]
pub fn network<const W: usize, const ENDS: usize>(
    frame: Frame,
    at: usize,
    ends: &[Rewrite<'_, W>; ENDS],
) -> Step<()> {
    if W == 1 { ipv4(frame, at, ends) } else { ipv6(frame, at, ends) }
}

#[inline(always)]
fn transport<const W: usize, const ENDS: usize>(
    frame: Frame,
    network: &Network,
    ends: &[Rewrite<'_, W>; ENDS],
    delta: Delta,
) -> Result<(), Short> {
    // SAFETY of the blocks below: `place` has checked that the header lies in the frame.
    if network.protocol == TCP {
        let header = frame.place::<Tcp>(usize::from(network.transport))?;
        // SAFETY: see above.
        unsafe {
            set_ports(&raw mut (*header).source, &raw mut (*header).destination, ends);
            (*header).checksum = delta.apply((*header).checksum);
        }
    } else {
        let header = frame.place::<Udp>(usize::from(network.transport))?;
        // SAFETY: see above.
        unsafe {
            set_ports(&raw mut (*header).source, &raw mut (*header).destination, ends);
            // No checksum stays none (RFC 768).
            if (*header).checksum != 0 {
                (*header).checksum = delta.apply_udp((*header).checksum);
            }
        }
    }
    Ok(())
}

/// Writes the new ports.
///
/// # Safety
/// The places must be those of a header in the frame.
#[inline(always)]
pub(super) unsafe fn set_ports<const W: usize, const ENDS: usize>(
    source: *mut u16,
    destination: *mut u16,
    ends: &[Rewrite<'_, W>; ENDS],
) {
    let mut end = 0;
    while end < ENDS {
        let place = match ends[end].side {
            Side::Vip => destination,
            Side::Backend => source,
        };
        // SAFETY: the caller vouches for the places.
        unsafe { *place = u16::from_ne_bytes(endpoint_port(ends[end].new)) };
        end += 1;
    }
}

/// Rewrites addresses and TTL of an IPv4 header.
#[inline(always)]
pub(super) fn ipv4<const W: usize, const ENDS: usize>(
    frame: Frame,
    at: usize,
    ends: &[Rewrite<'_, W>; ENDS],
) -> Step<()> {
    let header = frame.place::<Ipv4>(at).map_err(|Short| Verdict::DropTruncated)?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        let (ttl, protocol) = ((*header).ttl, (*header).protocol);
        let mut delta = Delta::NONE.replace16(
            u16::from_ne_bytes([ttl, protocol]),
            u16::from_ne_bytes([ttl.wrapping_sub(1), protocol]),
        );
        let mut end = 0;
        while end < ENDS {
            let place = match ends[end].side {
                Side::Vip => &raw mut (*header).destination,
                Side::Backend => &raw mut (*header).source,
            };
            let address = endpoint_address(ends[end].new)[0] as u32;
            delta = delta.replace32(*place, address);
            *place = address;
            end += 1;
        }
        (*header).ttl = ttl.wrapping_sub(1);
        (*header).checksum = delta.apply((*header).checksum);
    }
    Ok(())
}

/// Rewrites addresses and hop limit of an IPv6 header.
#[inline(always)]
pub(super) fn ipv6<const W: usize, const ENDS: usize>(
    frame: Frame,
    at: usize,
    ends: &[Rewrite<'_, W>; ENDS],
) -> Step<()> {
    let header = frame.place::<Ipv6>(at).map_err(|Short| Verdict::DropTruncated)?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        let mut end = 0;
        while end < ENDS {
            let address = endpoint_address(ends[end].new);
            let words = [
                address[0] as u32,
                (address[0] >> 32) as u32,
                address[1] as u32,
                (address[1] >> 32) as u32,
            ];
            match ends[end].side {
                Side::Vip => (*header).destination = words,
                Side::Backend => (*header).source = words,
            }
            end += 1;
        }
        (*header).hop_limit -= 1;
    }
    Ok(())
}

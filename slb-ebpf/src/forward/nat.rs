//! NAT: the destination of the client's packets becomes the backend, the source of the replies
//! becomes the VIP again. TTL or hop limit goes down by one, as behind any router; the pipeline has
//! seen that there is one left.

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
pub struct Rewrite<'a, const W: usize> {
    /// [`Side::Vip`]: the destination; [`Side::Backend`]: the source.
    pub side: Side,
    /// What stands there.
    pub old: &'a [u64; W],
    /// What shall stand there.
    pub new: &'a [u64; W],
}

/// Rewrites addresses, port and checksums in place.
#[inline(always)]
pub fn rewrite<const W: usize>(
    frame: Frame,
    at: usize,
    network: &Network,
    rewrite: &Rewrite<'_, W>,
) -> Step<()> {
    let (old, new) = (endpoint_address(rewrite.old), endpoint_address(rewrite.new));
    let (old_port, new_port) = (
        u16::from_ne_bytes(endpoint_port(rewrite.old)),
        u16::from_ne_bytes(endpoint_port(rewrite.new)),
    );
    let delta = Delta::NONE.replace_address(old, new).replace16(old_port, new_port);
    if W == 1 {
        ipv4(frame, at, rewrite.side, new[0] as u32)?;
    } else {
        ipv6(frame, at, rewrite.side, new)?;
    }
    transport(frame, network, rewrite.side, new_port, delta).map_err(|Short| Verdict::DropTruncated)
}

#[inline(always)]
fn transport(
    frame: Frame,
    network: &Network,
    side: Side,
    port: u16,
    delta: Delta,
) -> Result<(), Short> {
    // SAFETY of the blocks below: `place` has checked that the header lies in the frame.
    if network.protocol == TCP {
        let header = frame.place::<Tcp>(usize::from(network.transport))?;
        // SAFETY: see above.
        unsafe {
            match side {
                Side::Vip => (*header).destination = port,
                Side::Backend => (*header).source = port,
            }
            (*header).checksum = delta.apply((*header).checksum);
        }
    } else {
        let header = frame.place::<Udp>(usize::from(network.transport))?;
        // SAFETY: see above.
        unsafe {
            match side {
                Side::Vip => (*header).destination = port,
                Side::Backend => (*header).source = port,
            }
            // No checksum stays none (RFC 768).
            if (*header).checksum != 0 {
                (*header).checksum = delta.apply_udp((*header).checksum);
            }
        }
    }
    Ok(())
}

#[inline(always)]
fn ipv4(frame: Frame, at: usize, side: Side, address: u32) -> Step<()> {
    let header = frame.place::<Ipv4>(at).map_err(|Short| Verdict::DropTruncated)?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        let old_address = match side {
            Side::Vip => (*header).destination,
            Side::Backend => (*header).source,
        };
        let (ttl, protocol) = ((*header).ttl, (*header).protocol);
        let delta = Delta::NONE.replace32(old_address, address).replace16(
            u16::from_ne_bytes([ttl, protocol]),
            u16::from_ne_bytes([ttl.wrapping_sub(1), protocol]),
        );
        match side {
            Side::Vip => (*header).destination = address,
            Side::Backend => (*header).source = address,
        }
        (*header).ttl = ttl.wrapping_sub(1);
        (*header).checksum = delta.apply((*header).checksum);
    }
    Ok(())
}

#[inline(always)]
fn ipv6(frame: Frame, at: usize, side: Side, address: [u64; 2]) -> Step<()> {
    let header = frame.place::<Ipv6>(at).map_err(|Short| Verdict::DropTruncated)?;
    let words = [
        address[0] as u32,
        (address[0] >> 32) as u32,
        address[1] as u32,
        (address[1] >> 32) as u32,
    ];
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        match side {
            Side::Vip => (*header).destination = words,
            Side::Backend => (*header).source = words,
        }
        (*header).hop_limit -= 1;
    }
    Ok(())
}

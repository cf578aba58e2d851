//! TCP and UDP headers: ports and flags.

use slb_common::Verdict;

use super::{Network, Ports, TCP, UDP};
use crate::{
    connections::tcp_state::nonsense,
    headers::{Tcp, Udp},
    packet::{Frame, Short, Step},
};

/// Reads and judges the transport header, which is not there in later fragments. What it says of
/// the length is the whole datagram's.
#[inline(always)]
pub fn ports(frame: Frame, network: &Network) -> Step<Ports> {
    match network.protocol {
        TCP => tcp(frame, network),
        UDP => udp(frame, network),
        _ => Err(Verdict::PassOtherProtocol),
    }
}

#[inline(always)]
fn tcp(frame: Frame, network: &Network) -> Step<Ports> {
    if usize::from(network.payload) < size_of::<Tcp>() {
        return Err(cut_off(network, Verdict::DropTruncated));
    }
    let header = frame
        .read::<Tcp>(usize::from(network.transport))
        .map_err(|Short| Verdict::DropTruncated)?;
    let length = usize::from(header.length >> 4) * 4;
    if length < size_of::<Tcp>() {
        return Err(Verdict::DropBadLength);
    }
    if length > usize::from(network.payload) {
        return Err(cut_off(network, Verdict::DropBadLength));
    }
    if nonsense(header.flags) {
        return Err(Verdict::DropBadFlags);
    }
    Ok(Ports {
        source: header.source.to_ne_bytes(),
        destination: header.destination.to_ne_bytes(),
        flags: header.flags,
    })
}

#[inline(always)]
fn udp(frame: Frame, network: &Network) -> Step<Ports> {
    if usize::from(network.payload) < size_of::<Udp>() {
        return Err(cut_off(network, Verdict::DropTruncated));
    }
    let header = frame
        .read::<Udp>(usize::from(network.transport))
        .map_err(|Short| Verdict::DropTruncated)?;
    let length = usize::from(u16::from_be(header.length));
    let whole = network.fragment.whole();
    if length < size_of::<Udp>() || whole && length > usize::from(network.payload) {
        return Err(Verdict::DropBadLength);
    }
    Ok(Ports {
        source: header.source.to_ne_bytes(),
        destination: header.destination.to_ne_bytes(),
        flags: 0,
    })
}

/// The verdict over a header that does not fit into the packet: a fragment is made to be like that.
#[inline(always)]
const fn cut_off(network: &Network, whole: Verdict) -> Verdict {
    if network.fragment.whole() { whole } else { Verdict::DropTinyFragment }
}

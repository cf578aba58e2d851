//! ICMP errors (RFC 792, RFC 1191, RFC 4443): new headers before the start of the packet that they
//! are about.

use aya_ebpf::{helpers::generated::bpf_xdp_adjust_head, programs::XdpContext};
use slb_common::{Answer, vip::interface_key};

use super::Refused;
use crate::{
    forward::message,
    handover,
    headers::{Ethernet, Icmp, Ipv4, VlanTag},
    maps::ADDRESSES,
    packet::Frame,
    parse::{Addresses, icmp, ipv4},
    services,
};

/// Turns a packet into an ICMP error about it.
#[inline(always)]
pub(super) fn make<const W: usize>(
    context: &XdpContext,
    packet: &Refused,
    answer: Answer,
) -> Option<()> {
    let at = packet.link.at();
    let header = header::<W>(Frame::of(context), at, answer)?;
    let source = source::<W>(context, packet, answer)?;
    let addresses = Addresses { source, destination: packet.addresses.source };
    let quoted = message::quoted::<W>(packet.network.length as usize);
    message::trim(context, at + quoted)?;
    let before = Before::read(Frame::of(context), packet.link.tags())?;
    let inserted = message::headers::<W>();
    // SAFETY: the helper checks head room; it invalidates pointers, of which none is kept.
    if unsafe { bpf_xdp_adjust_head(context.ctx, -(inserted as i32)) } != 0 {
        return None;
    }
    let frame = Frame::of(context);
    before.write(frame)?;
    turn_round(frame)?;
    message::write::<W>(context, at, &addresses, header, quoted)
}

/// The ICMP header, its checksum left out; `None`: nobody is told.
#[inline(always)]
fn header<const W: usize>(frame: Frame, at: usize, answer: Answer) -> Option<Icmp> {
    let (kind, code) = match (answer, W) {
        (Answer::Unreachable, 1) => (icmp::v4::UNREACHABLE, icmp::v4::PORT),
        (Answer::Unreachable, _) => (icmp::v6::UNREACHABLE, icmp::v6::PORT),
        (Answer::TimeExceeded, 1) => (icmp::v4::TIME_EXCEEDED, 0),
        (Answer::TimeExceeded, _) => (icmp::v6::TIME_EXCEEDED, 0),
        (Answer::TooBig, 1) => (icmp::v4::UNREACHABLE, icmp::v4::FRAGMENTATION_NEEDED),
        (Answer::TooBig, _) => (icmp::v6::TOO_BIG, 0),
        _ => return None,
    };
    let mut rest = 0;
    if answer == Answer::TooBig {
        // Who lets routers fragment does not want to know; nothing is fragmented here.
        if W == 1 && frame.read::<Ipv4>(at).ok()?.fragment & ipv4::DONT_FRAGMENT == 0 {
            return None;
        }
        // Over IPv4 the upper half is unused (RFC 1191), over IPv6 it is 0 for any MTU here.
        rest = handover::mtu().to_be();
    }
    Some(Icmp { kind, code, checksum: 0, rest })
}

/// Who the error is from: a port is unreachable at the address that was asked; otherwise the
/// balancer speaks, by the interface's address or, if it has none, by the VIP's.
#[inline(always)]
fn source<const W: usize>(
    context: &XdpContext,
    packet: &Refused,
    answer: Answer,
) -> Option<[u64; 2]> {
    let asked = packet.addresses.destination;
    if answer == Answer::Unreachable {
        return Some(asked);
    }
    // SAFETY: the context is the kernel's; reading its interface is what it is for.
    let interface = unsafe { (*context.ctx).ingress_ifindex };
    let key = interface_key(interface, packet.link.vlan);
    // SAFETY: the daemon replaces values whole.
    if let Some(own) = unsafe { ADDRESSES.get(&key) } {
        let own = if W == 1 { own.v4 } else { own.v6 };
        if own[0] | own[1] != 0 {
            return Some(own);
        }
    }
    services::vip_state(asked).map(|_| asked)
}

/// Swaps the Ethernet addresses.
#[inline(always)]
pub fn turn_round(frame: Frame) -> Option<()> {
    let header = frame.place::<Ethernet>(0).ok()?;
    // SAFETY: `place` has checked that the header lies in the frame.
    unsafe {
        let destination = (*header).destination;
        (*header).destination = (*header).source;
        (*header).source = destination;
    }
    Some(())
}

/// The link header as it was, to be put before a packet that begins elsewhere.
struct Before {
    ethernet: Ethernet,
    tags: [Option<VlanTag>; 2],
}

impl Before {
    #[inline(always)]
    fn read(frame: Frame, tags: usize) -> Option<Self> {
        let tag = |number: usize| {
            let at = size_of::<Ethernet>() + number * size_of::<VlanTag>();
            if number < tags { frame.read(at).ok() } else { None }
        };
        Some(Self { ethernet: frame.read(0).ok()?, tags: [tag(0), tag(1)] })
    }

    #[inline(always)]
    fn write(&self, frame: Frame) -> Option<()> {
        let place = frame.place::<Ethernet>(0).ok()?;
        // SAFETY: `place` has checked that the header lies in the frame.
        unsafe { place.write(self.ethernet) };
        let mut number = 0;
        while number < self.tags.len() {
            if let Some(tag) = self.tags[number] {
                let at = size_of::<Ethernet>() + number * size_of::<VlanTag>();
                let place = frame.place::<VlanTag>(at).ok()?;
                // SAFETY: as above.
                unsafe { place.write(tag) };
            }
            number += 1;
        }
        Some(())
    }
}

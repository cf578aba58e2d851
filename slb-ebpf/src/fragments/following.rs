//! Fragments of packets: where the ports of those come from that have none.

use slb_common::{
    Verdict,
    fragment::{Followed, LIFETIME_NS, NO_SLOT},
};

use super::{Datagram, bucket::Bucket};
use crate::{
    connections::store::Store,
    headers::Tcp,
    maps::{self, Maps},
    packet::{Frame, Short, Step},
    parse::{self, Fragment, Network, Packet, Part, Ports, TCP, UDP, ipv6, transport},
    verified,
};

/// The ports of a fragment: its own, or those of its first one, from which alone the protocol of a
/// later one of IPv6 is known.
#[inline(always)]
pub fn ports<const W: usize>(frame: Frame, at: usize, network: &mut Network) -> Step<Ports> {
    let later = network.fragment.later();
    let known = network.protocol == TCP || network.protocol == UDP;
    if !known && (W == 1 || !later || !ipv6::is_extension(network.protocol)) {
        return Err(Verdict::PassOtherProtocol);
    }
    if !verified::may_carry::<W>(frame, network.fragment, network.payload) {
        return Err(Verdict::DropBadLength);
    }
    if !later {
        return transport::ports(frame, network);
    }
    let followed = verified::recall::<W>(frame, at, network.fragment)?;
    network.protocol = followed.protocol();
    Ok(Ports { source: followed.source(), destination: followed.destination(), flags: 0 })
}

/// The slot that a later fragment's first one went to.
#[inline(always)]
pub fn slot<const W: usize>(frame: Frame, packet: &Packet<W>) -> Step<u32> {
    let followed = verified::recall::<W>(frame, packet.link.at(), packet.network.fragment)?;
    match followed.slot() {
        NO_SLOT => Err(Verdict::DropFragmentWithoutFirst),
        slot => Ok(slot),
    }
}

/// Remembers a first fragment that goes to a backend slot or comes from it.
#[inline(always)]
pub fn remember<const W: usize>(frame: Frame, packet: &Packet<W>, slot: u32) -> Step<()> {
    let ports = &packet.ports;
    let followed = Followed::new(ports.source, ports.destination, slot, packet.network.protocol);
    match verified::remember::<W>(frame, packet.link.at(), packet.network.fragment, followed) {
        true => Ok(()),
        false => Err(Verdict::DropFragmentTableFull),
    }
}

/// What the first fragment told of a later one: [`super::recall`].
#[inline(always)]
pub fn recall<const W: usize>(frame: Frame, at: usize, fragment: Fragment) -> Step<Followed> {
    let now = maps::now_ns();
    let (offset, datagram) =
        datagram::<W>(frame, at, fragment).map_err(|Short| Verdict::DropTruncated)?;
    let hash = datagram.hash(Store::<W>::seed(Maps));
    let followed = super::recall(bucket::<W>, hash, &datagram, now)
        .ok_or(Verdict::DropFragmentWithoutFirst)?;
    // It would begin inside of a header that has been judged already.
    if followed.protocol() == TCP && usize::from(offset) * 8 < size_of::<Tcp>() {
        return Err(Verdict::DropTinyFragment);
    }
    Ok(followed)
}

/// Remembers what a first fragment told: [`super::remember`].
#[inline(always)]
pub fn store<const W: usize>(
    frame: Frame,
    at: usize,
    fragment: Fragment,
    followed: Followed,
) -> bool {
    let now = maps::now_ns();
    let Ok((_, datagram)) = datagram::<W>(frame, at, fragment) else { return false };
    let hash = datagram.hash(Store::<W>::seed(Maps));
    super::remember(bucket::<W>, hash, &datagram, followed, now)
}

/// The offset of a fragment in units of 8 bytes, and whose it is.
#[inline(always)]
fn datagram<const W: usize>(
    frame: Frame,
    at: usize,
    fragment: Fragment,
) -> Result<(u16, Datagram), Short> {
    let addresses = parse::addresses::<W>(frame, at)?;
    let Part { offset, identification, .. } = Part::read::<W>(frame, fragment.at())?;
    let datagram = Datagram::new(addresses.source, addresses.destination, identification);
    Ok((offset, datagram))
}

/// A bucket of the family's half of the table.
#[inline(always)]
fn bucket<const W: usize>(place: u32) -> Option<Bucket> {
    let mask = maps::fragment_mask();
    let half = if W == 1 { 0 } else { mask.wrapping_add(1) };
    let words = maps::FRAGMENTS.get_ptr_mut((place & mask).wrapping_add(half))?;
    // SAFETY: the map gave the pointer to the words of one bucket.
    Some(unsafe { Bucket::new(words.cast()) })
}

const _: () = assert!(LIFETIME_NS < i64::MAX as u64);

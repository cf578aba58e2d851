//! Which entry a packet belongs to, and whether it goes on with it.

use slb_common::{
    Verdict,
    connection::{endpoint_address, mark, state},
};

use crate::{
    connections::{
        lookup::{Entry, at, find, find_at_home},
        sight,
        store::{Key, Side, Store},
        tcp_state::{reopens, tcp},
    },
    handover,
    hops::IfFailed,
    local_ports,
    maps::Maps,
    one_packet,
    packet::Step,
    parse::{Packet, TCP, UDP},
    pipeline::Look,
    services, syn_defence,
};

/// Finds a packet's connection; a reply of full NAT by its local endpoint. `HOT`: on the hot path.
#[inline(always)]
pub fn connection<const W: usize, const HOT: bool>(
    key: &Key<'_, W>,
    side: Side,
    now: u32,
) -> Option<Entry<W>> {
    let local = match side {
        Side::Backend if services::to_local(key.client) => {
            local_ports::locate(key.client, key.server)
        }
        _ => None,
    };
    match local {
        Some(number) => {
            at(Maps, number, side, key.server, now, |line| local_ports::owns(line, key.client))
        }
        // The bit may be another address's, of a client.
        None if HOT => find_at_home(Maps, key, side, now),
        None => find(Maps, key, side, now),
    }
}

/// What stands for the entry of a packet from a backend that has none: it may be the reply to a
/// datagram that was scheduled by itself.
#[inline(always)]
pub fn without_entry<const W: usize, const RARE: bool>(
    packet: &Packet<W>,
    look: Look,
    now: u32,
) -> Step<Entry<W>> {
    let nobody = match look {
        Look::Reply => Verdict::PassNoListener,
        _ => Verdict::PassNoConnection,
    };
    if packet.network.protocol != UDP {
        return Err(nobody);
    }
    if RARE {
        return one_packet::replied(packet, now).ok_or(nobody);
    }
    Err(if one_packet::answers(&packet.source) { handover::rare(look) } else { nobody })
}

/// True for packets that the hot path leaves alone.
#[inline(always)]
pub fn is_rare<const W: usize>(packet: &Packet<W>, entry: &Entry<W>) -> bool {
    packet.ports.flags & tcp::SYN != 0 || entry.translation.marks() & mark::RARE != 0
}

/// True for a client's SYN on a connection that has ended: new, on the same ports.
#[inline(always)]
pub fn begins_anew<const W: usize>(packet: &Packet<W>, side: Side, entry: &Entry<W>) -> bool {
    side == Side::Vip
        && packet.network.protocol == TCP
        && packet.ports.flags & (tcp::SYN | tcp::ACK) == tcp::SYN
        && reopens(entry.control.state())
}

/// Notes a handshake that this packet of the client has completed: it was no flood.
#[inline(always)]
pub fn note_completed<const W: usize>(packet: &Packet<W>, side: Side, entry: &Entry<W>) {
    if side == Side::Vip
        && entry.control.state() == state::SYN
        && packet.network.protocol == TCP
        && entry.line.control().state() == state::ESTABLISHED
    {
        let [vip, rest] = endpoint_address(&entry.vip);
        syn_defence::completed(entry.service(), vip, rest);
    }
}

/// A failed backend is left by datagrams, and by SYNs where [`sight::may_leave`] says so: they are
/// opened anew.
#[inline(always)]
pub fn if_failed<const W: usize, const RARE: bool>(
    packet: &Packet<W>,
    entry: &Entry<W>,
    look: Look,
) -> IfFailed {
    let opens = packet.network.protocol == UDP
        || RARE
            && packet.ports.flags & (tcp::SYN | tcp::ACK) == tcp::SYN
            && sight::may_leave(entry.control.state(), entry.translation.mode());
    if look == Look::First && opens { IfFailed::Leaves } else { IfFailed::Stays }
}

//! The server id that a QUIC connection ID carries in plain text (draft-ietf-quic-load-balancers-21,
//! section 5: config rotation 3 bits, length or random 5 bits, server id, nonce).
//!
//! Here a server id has two octets and there is one configuration, whatever the rotation bits say;
//! 0b111 is the draft's sign for a connection ID that names nobody. What is not QUIC may be read
//! as if it were, and then names a backend by chance or none.

use crate::{
    headers::{Quic, Udp},
    packet::Frame,
};

/// Fewest bytes of a connection ID that carries a server id: first octet, id, nonce.
const SHORTEST: u8 = 1 + 2 + 4;
/// Fewest bytes of a datagram that this reads: UDP header, and a packet that the receiver can
/// remove header protection from.
const DATAGRAM: u16 = 8 + 1 + SHORTEST as u16 + 4 + 16;
/// The first octet's rotation bits, all set: unroutable.
const ROTATION: u8 = 0b1110_0000;

/// Reads the server id of the datagram whose UDP header lies at `transport`; `None`: it has none.
#[inline(always)]
pub fn server_id(frame: Frame, transport: usize) -> Option<u16> {
    let udp = frame.read::<Udp>(transport).ok()?;
    if u16::from_be(udp.length) < DATAGRAM {
        return None;
    }
    let packet = frame.read::<Quic>(transport + size_of::<Udp>()).ok()?;
    let [octet, high, low, _] = match packet.first & 0x80 {
        0 => packet.second,
        _ if packet.length < SHORTEST || chosen_by_client(packet.first, packet.second) => {
            return None;
        }
        _ => packet.third,
    };
    (octet & ROTATION != ROTATION).then_some(u16::from_be_bytes([high, low]))
}

/// True for Initial and 0-RTT packets of the versions that are known: their connection ID is the
/// client's own until the server has answered, by the same path and so to the same backend. A
/// client shall not choose its backend.
#[inline(always)]
const fn chosen_by_client(first: u8, version: [u8; 4]) -> bool {
    let kind = first >> 4 & 0b11;
    match u32::from_be_bytes(version) {
        // RFC 9000: Initial 0, 0-RTT 1.
        1 => kind <= 1,
        // RFC 9369: Initial 1, 0-RTT 2.
        0x6b33_43cf => kind == 1 || kind == 2,
        _ => false,
    }
}

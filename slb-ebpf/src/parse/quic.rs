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

#[cfg(test)]
mod tests {
    use super::*;

    /// The server id that a datagram with this payload names.
    fn read(payload: &[u8]) -> Option<u16> {
        let length = (8 + payload.len() as u16).to_be_bytes();
        let mut datagram =
            [&[0x75, 0x30, 0x01, 0xbb, length[0], length[1], 0, 0], payload].concat();
        let range = datagram.as_mut_ptr_range();
        // SAFETY: the buffer outlives the frame.
        let frame = unsafe { Frame::new(range.start as usize, range.end as usize) };
        server_id(frame, 0)
    }

    /// A connection ID as the draft has it.
    fn connection_id(rotation: u8, id: u16) -> Vec<u8> {
        [&[rotation << 5 | 7], &id.to_be_bytes()[..], &[9; 5]].concat()
    }

    fn short(id: &[u8]) -> Vec<u8> {
        [&[0x40], id, &[0xaa; 30]].concat()
    }

    fn long(version: u32, kind: u8, id: &[u8]) -> Vec<u8> {
        let start = [&[0xc0 | kind << 4][..], &version.to_be_bytes(), &[id.len() as u8]].concat();
        [&start, id, &[0xaa; 30]].concat()
    }

    #[test]
    fn a_short_header_names_the_server_whatever_the_rotation_but_the_reserved_one() {
        for rotation in 0..7 {
            assert_eq!(read(&short(&connection_id(rotation, 0x1234))), Some(0x1234));
        }
        assert_eq!(read(&short(&connection_id(7, 0x1234))), None);
    }

    #[test]
    fn a_long_header_names_it_once_the_server_has_chosen_the_connection_id() {
        let id = connection_id(2, 0xfedc);
        // Version, Initial, 0-RTT, Handshake, Retry.
        for (version, initial, early, handshake) in [(1, 0, 1, 2), (0x6b33_43cf, 1, 2, 3)] {
            assert_eq!(read(&long(version, initial, &id)), None);
            assert_eq!(read(&long(version, early, &id)), None);
            assert_eq!(read(&long(version, handshake, &id)), Some(0xfedc));
        }
        assert_eq!(read(&long(0xabcd_0001, 0, &id)), Some(0xfedc));
    }

    #[test]
    fn what_is_too_short_for_a_server_id_has_none() {
        assert_eq!(read(&long(1, 2, &connection_id(0, 1)[..6])), None);
        assert_eq!(read(&long(1, 2, &connection_id(0, 1)[..7])), Some(1));
        assert_eq!(read(&long(1, 2, &[])), None);
        assert_eq!(read(&short(&connection_id(0, 1))[..27]), None);
        assert_eq!(read(&short(&connection_id(0, 1))[..28]), Some(1));
        assert_eq!(read(b"ping"), None);
        assert_eq!(read(b""), None);
    }
}

//! QUIC connection IDs written by hand, as the draft says.

use super::{super::quic::server_id, frame};

/// The server id that a datagram with this payload names.
fn read(payload: &[u8]) -> Option<u16> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    let mut datagram = [&[0x75, 0x30, 0x01, 0xbb, length[0], length[1], 0, 0], payload].concat();
    server_id(frame(&mut datagram), 0)
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

//! qch: QUIC packets go to the backend that their connection ID names, and by both endpoints where
//! it names none. Connection IDs are written here by hand, as draft-ietf-quic-load-balancers-21
//! says.

use std::net::SocketAddr;

use slb_common::{
    Verdict::Redirected,
    service::{MAGLEV_PLACES, NO_SLOT, scheduler},
};
use slb_tests::packets::{Packet, endpoints};

use super::{
    balancer::Balancer,
    cases::{CASES, Case},
};

const V1: u32 = 1;
const V2: u32 = 0x6b33_43cf;

/// The two of UDP.
const UDP_CASES: [Case; 2] = [CASES[1], CASES[3]];

/// A program with three backends of one draw each; those of qch have the server ids 1 to 3.
fn balancer(case: Case, kind: u8) -> Balancer {
    let mut balancer = Balancer::new();
    let listener = super::listener::Listener { scheduler: kind, ..case.listener(3) };
    let installed = balancer.listen(&listener);
    let mut places: Vec<u32> =
        (0..MAGLEV_PLACES).map(|place| installed.slots[place as usize % 3]).collect();
    if kind == scheduler::QUIC {
        places.push(NO_SLOT);
        places.extend(&installed.slots);
    }
    let ring = balancer.ring(kind, places);
    balancer.set_service(installed.service, &listener, ring);
    balancer
}

/// A connection ID: first octet, server id, nonce.
fn connection_id(rotation: u8, server: u16) -> Vec<u8> {
    let [high, low] = server.to_be_bytes();
    vec![rotation << 5 | 0x0b, high, low, 0xd1, 0x3c, 0x77, 0x05, 0x9e]
}

fn quic(case: Case, client: SocketAddr, payload: Vec<u8>) -> Packet {
    Packet { payload, ..case.to_vip(client, case.vip(), 0) }
}

/// A packet of a connection that stands.
fn short(case: Case, client: SocketAddr, id: &[u8]) -> Packet {
    quic(case, client, [&[0x5b], id, &[0xee; 40]].concat())
}

/// A packet of a handshake; `kind` as the version has it.
fn long(case: Case, client: SocketAddr, version: u32, kind: u8, id: &[u8]) -> Packet {
    let first = [0xc3 | kind << 4];
    let rest = [&[id.len() as u8], id, &[0], &[0xee; 60]].concat();
    quic(case, client, [&first[..], &version.to_be_bytes(), &rest].concat())
}

fn backend(balancer: &mut Balancer, packet: &Packet) -> SocketAddr {
    let ended = balancer.receive(packet);
    assert_eq!(ended.verdict, Redirected);
    endpoints(&ended.frame).1
}

/// Where tch sends so many clients.
fn by_tuple(case: Case, clients: u16) -> Vec<SocketAddr> {
    let mut tuple = balancer(case, scheduler::TUPLE_HASH);
    let packet = |client| case.to_vip(case.client(client), case.vip(), 0);
    let backends: Vec<_> = (0..clients).map(|c| backend(&mut tuple, &packet(c))).collect();
    for number in 1..=3 {
        assert!(backends.contains(&case.backend(number)), "{case:?}: all three are in use");
    }
    backends
}

#[test]
fn a_quic_client_that_moves_stays_with_the_backend_that_its_connection_id_names() {
    for case in UDP_CASES {
        let mut balancer = balancer(case, scheduler::QUIC);
        for server in 1..=3_u8 {
            for rotation in 0..7 {
                let id = connection_id(rotation, server.into());
                let number = u16::from(server) * 100 + u16::from(rotation) * 10;
                let handshake = long(case, case.client(number), V1, 2, &id);
                assert_eq!(backend(&mut balancer, &handshake), case.backend(server));
                // New addresses and ports, none of which has an entry.
                for moved in 1..6 {
                    let packet = short(case, case.client(number + moved), &id);
                    assert_eq!(backend(&mut balancer, &packet), case.backend(server), "{case:?}");
                }
            }
        }
        balancer.assert_consistent();
    }
}

#[test]
fn a_quic_clients_initial_goes_by_both_endpoints_whatever_its_connection_id_says() {
    for case in UDP_CASES {
        let expected = by_tuple(case, 40);
        for (version, initial) in [(V1, 0), (V2, 1)] {
            let mut balancer = balancer(case, scheduler::QUIC);
            for (client, expected) in (0..).zip(&expected) {
                // Random bytes, which name server 2 by chance.
                let packet =
                    long(case, case.client(client), version, initial, &connection_id(3, 2));
                assert_eq!(backend(&mut balancer, &packet), *expected, "{case:?}");
            }
        }
    }
}

#[test]
fn a_connection_id_that_names_no_backend_goes_by_both_endpoints() {
    for case in UDP_CASES {
        let expected = by_tuple(case, 40);
        // No server has them: the gap in the table, the first behind it, the last there can be;
        // and the rotation that says that there is none.
        for (rotation, server) in [(0, 0), (0, 4), (6, 0xffff), (7, 2)] {
            let mut balancer = balancer(case, scheduler::QUIC);
            for (client, expected) in (0..).zip(&expected) {
                let packet = short(case, case.client(client), &connection_id(rotation, server));
                assert_eq!(backend(&mut balancer, &packet), *expected, "{case:?} {server}");
            }
        }
        // Nor does what is too short to be QUIC.
        let mut balancer = balancer(case, scheduler::QUIC);
        for (client, expected) in (0..).zip(&expected) {
            let packet = quic(case, case.client(client), b"\x40\x00\x00\x02 ping".to_vec());
            assert_eq!(backend(&mut balancer, &packet), *expected);
        }
    }
}

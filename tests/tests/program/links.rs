//! VLAN tags: read from what comes, put on what goes as the next hop wants.

use slb_common::Verdict;
use slb_tests::packets::{Packet, flags};

use super::{
    balancer::{Balancer, ELSEWHERE, INTERFACE},
    cases::{CASES, answered, assert_sent, forwarded},
    listener::Target,
};

/// A next hop's VLAN id and the tags of a frame to it.
const HOPS: [(u16, &[u16]); 2] = [(0, &[]), (7, &[7])];
/// Tags of frames that come: none, one, two, and one that only gives a priority.
const TAGS: [&[u16]; 4] = [&[], &[5], &[6, 5], &[0]];

#[test]
fn a_packet_leaves_with_the_tag_of_its_backends_next_hop_whatever_tags_it_came_with() {
    for case in CASES {
        let (mut balancer, installed) = case.balancer(1);
        for (vlan, leaving) in HOPS {
            let target = Target { vlan, ..Target::new(case.backend(1)) };
            balancer.set_backend(installed.slots[0], installed.service, &target);
            for tags in TAGS {
                balancer.receive(&case.first());
                // The first packet of a connection, and one of an open connection.
                for packet in [case.first(), case.next()] {
                    let packet = Packet { tags: tags.to_vec(), payload: vec![9; 31], ..packet };
                    let expected =
                        Packet { tags: leaving.to_vec(), ..forwarded(&packet, case.backend(1)) };
                    assert_sent(&balancer.receive(&packet), &expected, ELSEWHERE);
                }
            }
        }
    }
}

#[test]
fn a_reply_leaves_with_the_clients_tag_whatever_tags_it_came_with() {
    const CLIENTS: [(&[u16], &[u16]); 3] = [(&[], &[]), (&[5], &[5]), (&[0], &[])];
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        for ((came, leaving), number) in CLIENTS.into_iter().zip(0..) {
            let client = case.client(number);
            let first = case.to_vip(client, case.vip(), flags::SYN);
            balancer.receive(&Packet { tags: came.to_vec(), ..first });
            for tags in TAGS {
                let answer = case.reply(case.backend(1), client, flags::SYN | flags::ACK);
                let packet = Packet { tags: tags.to_vec(), ..answer };
                let expected = Packet { tags: leaving.to_vec(), ..answered(&packet, case.vip()) };
                assert_sent(&balancer.receive(&packet), &expected, INTERFACE);
            }
        }
    }
}

#[test]
fn a_client_behind_two_tags_to_whom_no_route_leads_opens_nothing() {
    // A next hop has room for one tag, so there is no way back that could be kept.
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        let packet = Packet { tags: vec![6, 5], ..case.first() };
        assert_eq!(balancer.receive(&packet).verdict, Verdict::DropNoNextHop);
        assert!(balancer.entries().is_empty());
    }
}

#[test]
fn a_frame_that_has_no_room_for_the_tag_it_needs_is_dropped() {
    // Metadata lies in the head room. Kernels before 6.3 take 32 bytes of it at most, which leaves
    // enough room for a tag: there this cannot be brought about.
    const METADATA: [u8; 216] = [0; 216];
    for case in CASES {
        let mut listener = case.listener(1);
        listener.backends[0].vlan = 7;
        let (mut balancer, _) = Balancer::with(&listener);
        let frame = case.first().bytes();
        let Ok(ended) = balancer.receive_behind(INTERFACE, &METADATA, &frame) else {
            eprintln!("this kernel takes no {} bytes of metadata", METADATA.len());
            return;
        };
        assert_eq!(ended.verdict, Verdict::DropNoHeadroom);
    }
}

//! The way back to a client: the routing table's, where it knows one.

use std::fs;

use slb_common::Verdict::*;
use slb_tests::packets::{Mac, Packet, flags};
use slb_userspace::config::model::Family;

use super::{
    balancer::{Balancer, interface, ip},
    cases::{CASES, Case, answered},
    listener::Installed,
};

/// The router's MAC address, which is not the one that the client's packets come from.
pub(crate) const ROUTER_MAC: Mac = [2, 0, 0, 0, 0, 0x77];
const ROUTER_MAC_TEXT: &str = "02:00:00:00:00:77";
const OTHER_MAC_TEXT: &str = "02:00:00:00:00:78";

/// A program in a namespace with a route to clients.
fn routed(case: Case) -> (Balancer, Installed, u32) {
    let (balancer, installed) = case.balancer(1);
    let front = route(case);
    (balancer, installed, front)
}

/// Adds an interface that forwards to this namespace, and a default route by it.
pub(crate) fn route(case: Case) -> u32 {
    ip("link add front address 02:00:00:00:00:ba type veth peer name far");
    ip("link set lo up");
    ip("link set far up");
    ip("link set front up");
    let family = match case.family {
        Family::V4 => {
            ip("addr add 192.0.2.1/24 dev front");
            ip("route add default via 192.0.2.254");
            "ipv4"
        }
        Family::V6 => {
            ip("addr add 2001:db8:f::1/64 dev front nodad");
            ip("route add default via 2001:db8:f::fe dev front");
            "ipv6"
        }
    };
    fs::write(format!("/proc/sys/net/{family}/conf/front/forwarding"), "1").unwrap();
    neighbour(case, ROUTER_MAC_TEXT);
    interface("front")
}

fn neighbour(case: Case, mac: &str) {
    let router = match case.family {
        Family::V4 => "192.0.2.254",
        Family::V6 => "2001:db8:f::fe",
    };
    ip(&format!("neigh replace {router} lladdr {mac} dev front nud permanent"));
}

/// The answer as it leaves by the route.
fn routed_answer(case: Case, packet: &Packet, router: Mac) -> Packet {
    let front = super::cases::FRONT_MAC;
    Packet { macs: (front, router), source: case.vip(), ttl: packet.ttl - 1, ..packet.clone() }
}

#[test]
fn a_reply_goes_by_the_route_to_the_client() {
    for case in CASES {
        let (mut balancer, _, front) = routed(case);
        assert_eq!(balancer.receive_by(front, &case.first().bytes()).verdict, Redirected);
        let ended = balancer.receive_by(front, &case.answer().bytes());
        assert_eq!(ended.verdict, Transmitted);
        assert_eq!(
            ended.frame,
            routed_answer(case, &case.answer(), ROUTER_MAC).bytes(),
            "{case:?}"
        );
    }
}

#[test]
fn a_reply_by_a_vlan_interface_leaves_tagged_by_its_parent() {
    const PARENT: u32 = 77;
    for case in CASES {
        let (mut balancer, _, front) = routed(case);
        balancer.kernel.set_egress(&[(front, [PARENT, 42])].into()).unwrap();
        balancer.receive_by(front, &case.first().bytes());
        let ended = balancer.receive_by(front, &case.answer().bytes());
        // Not the interface that it came by: redirected.
        assert_eq!(ended.verdict, Redirected);
        let expected = routed_answer(case, &case.answer(), ROUTER_MAC);
        assert_eq!(ended.frame, Packet { tags: vec![42], ..expected }.bytes(), "{case:?}");
    }
}

#[test]
fn a_route_by_an_interface_that_xdp_cannot_send_from_is_none() {
    for case in CASES {
        let (mut balancer, _, front) = routed(case);
        balancer.kernel.set_egress(&[(front, [0, 0])].into()).unwrap();
        balancer.receive_by(front, &case.first().bytes());
        let ended = balancer.receive_by(front, &case.answer().bytes());
        assert_eq!(ended.frame, answered(&case.answer(), case.vip()).bytes(), "{case:?}");
    }
}

#[test]
fn a_stale_next_hop_is_resolved_again() {
    for case in CASES {
        let (mut balancer, _, front) = routed(case);
        balancer.receive_by(front, &case.first().bytes());
        neighbour(case, OTHER_MAC_TEXT);
        let answer = case.answer();
        let kept = balancer.receive_by(front, &answer.bytes());
        assert_eq!(kept.frame, routed_answer(case, &answer, ROUTER_MAC).bytes());
        assert_eq!(balancer.kernel.mark_client_hops_stale(|_| true), 1);
        let resolved = balancer.receive_by(front, &answer.bytes());
        let other = [2, 0, 0, 0, 0, 0x78];
        assert_eq!(resolved.frame, routed_answer(case, &answer, other).bytes(), "{case:?}");
    }
}

#[test]
fn without_a_neighbour_entry_a_reply_goes_back_the_way_that_the_client_came() {
    for case in CASES {
        let (mut balancer, _, front) = routed(case);
        ip("neigh flush dev front nud permanent");
        balancer.receive_by(front, &case.first().bytes());
        let answer = case.reply(case.backend(1), case.client(1), flags::SYN | flags::ACK);
        let ended = balancer.receive_by(front, &answer.bytes());
        let expected = answered(&answer, case.vip());
        assert_eq!(ended.frame, expected.bytes(), "{case:?}");
    }
}

#[test]
fn a_way_learnt_from_the_client_outlives_changes_of_the_routing_table() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        balancer.receive(&case.first());
        balancer.kernel.mark_client_hops_stale(|_| true);
        // Whatever the first reply after the change finds, the client's next packet shows the way.
        balancer.receive(&case.answer());
        balancer.receive(&case.next());
        let ended = balancer.receive(&case.answer());
        assert_eq!(ended.verdict, Transmitted, "{case:?}");
    }
}

//! Counters equal what was sent, packet by packet and byte by byte.

use slb_common::service::Counters;
use slb_tests::packets::{Packet, endpoints, flags};

use super::cases::CASES;

#[test]
fn counters_of_services_and_backends_equal_what_was_sent() {
    for case in CASES {
        let (mut balancer, installed) = case.balancer(3);
        let mut expected = [Counters::default(); 3];
        for client in 0..30 {
            let client_end = case.client(client);
            let first = case.to_vip(client_end, case.vip(), flags::SYN);
            let ended = balancer.receive(&first);
            let (_, backend) = endpoints(&ended.frame);
            let counters = (1..=3).position(|number| case.backend(number) == backend).unwrap();
            let counters = &mut expected[counters];
            counters.connections += 1;
            counters.packets_in += 1;
            counters.bytes_in += first.network_length();
            for length in 0..client {
                let payload = vec![1; length.into()];
                // Padding is the link's, not the packet's.
                let up = Packet {
                    payload: payload.clone(),
                    padding: 20,
                    ..case.to_vip(client_end, case.vip(), flags::ACK)
                };
                let down = Packet {
                    payload,
                    tags: vec![4],
                    ..case.reply(backend, client_end, flags::ACK)
                };
                balancer.receive(&up);
                balancer.receive(&down);
                counters.packets_in += 1;
                counters.bytes_in += up.network_length();
                counters.packets_out += 1;
                counters.bytes_out += down.network_length();
            }
        }
        let counted: Vec<Counters> = installed
            .slots
            .iter()
            .map(|slot| balancer.kernel.backend_counters(*slot).unwrap().0)
            .collect();
        assert_eq!(counted, expected, "{case:?}");
        let sum = |of: fn(&Counters) -> u64| expected.iter().map(of).sum::<u64>();
        let service = balancer.kernel.service_counters(installed.service).unwrap().0;
        assert_eq!(
            service,
            Counters {
                connections: sum(|counters| counters.connections),
                packets_in: sum(|counters| counters.packets_in),
                bytes_in: sum(|counters| counters.bytes_in),
                packets_out: sum(|counters| counters.packets_out),
                bytes_out: sum(|counters| counters.bytes_out),
            }
        );
    }
}

#[test]
fn a_dropped_packet_is_counted_by_its_reason_alone() {
    for case in CASES {
        let (mut balancer, installed) = case.balancer(1);
        case.establish(&mut balancer, case.client(1), case.vip());
        let before = balancer.kernel.service_counters(installed.service).unwrap();
        for packet in [case.next(), case.answer()] {
            balancer.receive(&Packet { ttl: 1, ..packet });
        }
        assert_eq!(balancer.kernel.service_counters(installed.service).unwrap(), before);
    }
}

//! Bandwidth and blackholed VIPs.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use slb_common::{
    Verdict::*,
    admission::Reason,
    service::{Bandwidth, INSTANCE_PRESENT, Instance, SERVICE_METERED, SERVICE_PRESENT, Service},
};
use slb_tests::packets::{Packet, flags};
use slb_userspace::maps::Operation;

use super::{
    balancer::Balancer,
    cases::{CASES, Case},
    listener::Listener,
};

/// Bytes of one packet's payload.
const PAYLOAD: usize = 1000;

/// Both directions of an established connection, with payload.
fn traffic(case: Case) -> [Packet; 2] {
    let tcp = flags::ACK;
    let (inbound, outbound) = (
        case.to_vip(case.client(1), case.vip(), tcp),
        case.reply(case.backend(1), case.client(1), tcp),
    );
    [inbound, outbound].map(|packet| Packet { payload: vec![7; PAYLOAD], ..packet })
}

/// Bytes that pass of as much as comes in half a second, and those that a rate allows in the time
/// that it took, the burst included.
fn pass(balancer: &mut Balancer, packet: &Packet, rate: u64) -> (u64, u64) {
    let (begun, mut passed) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(500) {
        let verdict = balancer.receive(packet).verdict;
        assert!(matches!(verdict, Redirected | Transmitted | DropBandwidth), "{verdict:?}");
        passed += if verdict == DropBandwidth { 0 } else { packet.network_length() };
        thread::sleep(Duration::from_micros(200));
    }
    let time = begun.elapsed() + Duration::from_millis(200);
    (passed, rate * time.as_millis() as u64 / 1000)
}

#[test]
fn each_direction_of_a_listener_has_its_bandwidth() {
    for case in CASES {
        // So little that packets come faster also where the machine is emulated.
        let bandwidth = Bandwidth { inbound: 40_000, outbound: 80_000 };
        let more = Service { bandwidth, ..Service::default() };
        let flags = SERVICE_PRESENT | SERVICE_METERED;
        let (mut balancer, installed) =
            Balancer::with(&Listener { more, flags, ..case.listener(1) });
        case.establish(&mut balancer, case.client(1), case.vip());
        for (packet, rate) in traffic(case).iter().zip([40_000, 80_000]) {
            let (passed, allowed) = pass(&mut balancer, packet, rate);
            assert!(passed <= allowed + 2 * PAYLOAD as u64, "{passed} of {allowed}, {case:?}");
            assert!(passed >= allowed * 9 / 10, "{passed} of {allowed}, {case:?}");
        }
        let refused = balancer.kernel.refused(installed.service).unwrap();
        assert!(refused.refused[Reason::Bandwidth as usize] > 0);
    }
}

#[test]
fn listeners_without_a_bandwidth_of_their_own_share_the_instances() {
    for case in CASES {
        let to = Instance {
            // So little that it makes no difference how long the test takes.
            bandwidth: Bandwidth { inbound: 1_000, outbound: 1_000 },
            flags: INSTANCE_PRESENT,
            ..Instance::default()
        };
        // Its own in one direction, the instance's in the other.
        let own = Bandwidth { inbound: 100_000_000, outbound: 0 };
        let more = Service { instance: 2, bandwidth: own, ..Service::default() };
        let flags = SERVICE_PRESENT | SERVICE_METERED;
        let mut balancer = Balancer::new();
        balancer.apply(Operation::SetInstance { place: 2, to });
        balancer.listen(&Listener { more, flags, ..case.listener(1) });
        case.establish(&mut balancer, case.client(1), case.vip());
        let [inbound, outbound] = traffic(case);
        for _ in 0..300 {
            assert_eq!(balancer.receive(&inbound).verdict, Redirected, "{case:?}");
        }
        let dropped = (0..300).filter(|_| balancer.receive(&outbound).verdict == DropBandwidth);
        assert!(dropped.count() > 200, "{case:?}");
    }
}

#[test]
fn a_packet_larger_than_the_bucket_passes_when_nothing_is_owed() {
    let case = CASES[0];
    let more = Service { bandwidth: Bandwidth { inbound: 10, outbound: 0 }, ..Service::default() };
    let flags = SERVICE_PRESENT | SERVICE_METERED;
    let (mut balancer, _) = Balancer::with(&Listener { more, flags, ..case.listener(1) });
    assert_eq!(balancer.receive(&case.first()).verdict, Redirected);
    assert_eq!(balancer.receive(&case.next()).verdict, DropBandwidth);
}

#[test]
fn nothing_gets_to_a_blackholed_vip_and_it_is_counted_by_vip() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(1);
        case.establish(&mut balancer, case.client(1), case.vip());
        let vip: IpAddr = case.vip().ip();
        // What came before belongs to whoever had the place.
        let before = balancer.kernel.vip_counters(vip).unwrap();
        assert_eq!(balancer.receive(&case.next()).verdict, Redirected, "not counted");
        balancer.kernel.meter_vips(true);
        assert_eq!(balancer.receive(&case.next()).verdict, Redirected);
        balancer.kernel.blackhole(vip, Some(u64::MAX));
        let opening = case.to_vip(case.client(2), case.vip(), flags::SYN);
        assert_eq!(balancer.receive(&case.next()).verdict, DropBlackholed, "{case:?}");
        assert_eq!(balancer.receive(&opening).verdict, DropBlackholed, "{case:?}");
        let other_port = std::net::SocketAddr::new(vip, 9);
        let stray = case.to_vip(case.client(2), other_port, flags::SYN);
        assert_eq!(balancer.receive(&stray).verdict, DropBlackholed, "whatever it is");
        assert_eq!(balancer.receive(&case.answer()).verdict, Transmitted, "replies go out");
        let after = balancer.kernel.vip_counters(vip).unwrap();
        assert_eq!(after.packets - before.packets, 4, "{case:?}");
        let bytes =
            2 * case.next().network_length() + opening.network_length() + stray.network_length();
        assert_eq!(after.bytes - before.bytes, bytes, "{case:?}");
        // Its time is over, or somebody releases it.
        balancer.kernel.blackhole(vip, Some(1));
        assert_eq!(balancer.receive(&case.next()).verdict, Redirected, "{case:?}");
        balancer.kernel.blackhole(vip, Some(u64::MAX));
        balancer.kernel.blackhole(vip, None);
        assert_eq!(balancer.receive(&case.next()).verdict, Redirected, "{case:?}");
        balancer.kernel.meter_vips(false);
        balancer.kernel.blackhole(vip, Some(u64::MAX));
        assert_eq!(balancer.receive(&case.next()).verdict, Redirected, "nobody wants it");
    }
}

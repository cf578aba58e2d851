//! Access lists and limits of new connections, each brought about by packets.

use std::{net::SocketAddr, thread, time::Duration};

use aya::programs::{TestRun as _, TestRunOptions};
use slb_common::{
    Verdict::{self, *},
    admission::Reason,
    service::{
        INSTANCE_PRESENT, Instance, Limits, SERVICE_ACL_ALLOWS, SERVICE_PRESENT, SERVICE_SHADOW,
        Service, scheduler,
    },
};
use slb_tests::packets::flags;
use slb_userspace::{config::model::AccessList, expiry, maps::Operation};

use super::{
    balancer::Balancer,
    cases::{CASES, Case, TCP_CASES},
    listener::{Installed, Listener},
};

fn limits(connections: u32, rate: u32) -> Limits {
    Limits { connections, rate }
}

/// A listener with two backends whose service has more.
fn with(case: Case, more: Service, flags: u32) -> Listener {
    Listener { more, flags: SERVICE_PRESENT | flags, ..case.listener(2) }
}

/// What becomes of the first packet of a client.
fn open(case: Case, balancer: &mut Balancer, client: SocketAddr) -> Verdict {
    balancer.receive(&case.to_vip(client, case.vip(), flags::SYN)).verdict
}

/// Writes the service of a listener anew, on the ring that it has.
fn change(balancer: &mut Balancer, installed: &Installed, listener: &Listener) {
    let ring = balancer.kernel.service(installed.service).ring;
    balancer.set_service(installed.service, listener, ring);
}

/// Refusals of a service: real ones and those of a shadow.
fn refused(balancer: &Balancer, installed: &Installed, reason: Reason) -> (u64, u64) {
    let counted = balancer.kernel.refused(installed.service).unwrap();
    (counted.refused[reason as usize], counted.shadow[reason as usize])
}

/// Ends every entry, as the daemon's `--now` does.
fn cut(case: Case, balancer: &mut Balancer) {
    let loaded = &mut **balancer;
    expiry::cut(&mut loaded.object, &loaded.kernel, case.family, |_| true).unwrap();
}

fn list(networks: &[&str]) -> AccessList {
    networks.iter().map(|network| network.parse().unwrap()).collect()
}

#[test]
fn an_access_list_decides_about_new_connections_only_and_is_swapped_whole() {
    for case in CASES {
        let mut listener = with(case, Service { acl: 7, ..Service::default() }, 0);
        let (mut balancer, installed) = Balancer::with(&listener);
        // Clients 1 and 300: 198.51.0.1 and 198.51.1.44, 2001:db8:c::feed:1 and ::feed:12c.
        let first = list(&["198.51.0.0/24", "2001:db8:c::feed:0/120"]);
        balancer.apply(Operation::FillList { number: 7, list: first });
        let other = list(&["198.51.1.44/32", "2001:db8:c::feed:12c/128"]);
        balancer.apply(Operation::FillList { number: 8, list: other });
        case.establish(&mut balancer, case.client(300), case.vip());
        // Denied by list 7.
        assert_eq!(open(case, &mut balancer, case.client(1)), DropAcl, "{case:?}");
        assert_eq!(open(case, &mut balancer, case.client(301)), Redirected, "{case:?}");
        // Allowed by list 8: everybody else is refused, but who is in stays in.
        listener.flags |= SERVICE_ACL_ALLOWS;
        listener.more.acl = 8;
        change(&mut balancer, &installed, &listener);
        assert_eq!(open(case, &mut balancer, case.client(302)), DropAcl, "{case:?}");
        let next = case.to_vip(case.client(301), case.vip(), flags::ACK);
        assert_eq!(balancer.receive(&next).verdict, Redirected, "{case:?}");
        cut(case, &mut balancer);
        assert_eq!(open(case, &mut balancer, case.client(300)), Redirected, "{case:?}");
        // An allow list without entries allows nobody.
        listener.more.acl = 9;
        change(&mut balancer, &installed, &listener);
        assert_eq!(open(case, &mut balancer, case.client(303)), DropAcl);
        assert_eq!(refused(&balancer, &installed, Reason::Acl), (3, 0));
        // Number 7 goes, number 8 does not.
        let known = balancer.kernel.lists();
        assert_eq!(known.keys().copied().collect::<Vec<_>>(), [7, 8]);
        balancer.apply(Operation::DropList { number: 7, list: known[&7].clone() });
        assert_eq!(balancer.kernel.lists(), [(8, known[&8].clone())].into());
    }
}

#[test]
fn as_many_connections_get_in_as_the_listener_allows() {
    for case in CASES {
        let listener = with(case, Service { limits: limits(5, 0), ..Service::default() }, 0);
        let (mut balancer, installed) = Balancer::with(&listener);
        for client in 1..=5 {
            assert_eq!(open(case, &mut balancer, case.client(client)), Redirected, "{case:?}");
        }
        assert_eq!(open(case, &mut balancer, case.client(6)), DropConnectionLimit, "{case:?}");
        assert_eq!(refused(&balancer, &installed, Reason::Connections), (1, 0));
        assert_eq!(balancer.entries().len(), 5);
        // Who is in goes on, and a higher limit applies at once.
        let next = case.to_vip(case.client(5), case.vip(), flags::ACK);
        assert_eq!(balancer.receive(&next).verdict, Redirected);
        let more = Service { limits: limits(6, 0), ..Service::default() };
        change(&mut balancer, &installed, &with(case, more, 0));
        assert_eq!(open(case, &mut balancer, case.client(6)), Redirected);
        assert_eq!(open(case, &mut balancer, case.client(7)), DropConnectionLimit);
        cut(case, &mut balancer);
        assert_eq!(open(case, &mut balancer, case.client(7)), Redirected, "{case:?}");
    }
}

#[test]
fn a_connection_that_closes_makes_room_for_another() {
    for case in TCP_CASES {
        let listener = with(case, Service { limits: limits(1, 0), ..Service::default() }, 0);
        let (mut balancer, _) = Balancer::with(&listener);
        let backend = case.establish(&mut balancer, case.client(1), case.vip());
        assert_eq!(open(case, &mut balancer, case.client(2)), DropConnectionLimit);
        let closing = flags::FIN | flags::ACK;
        balancer.receive(&case.to_vip(case.client(1), case.vip(), closing));
        balancer.receive(&case.reply(backend, case.client(1), closing));
        assert_eq!(open(case, &mut balancer, case.client(2)), Redirected, "{case:?}");
    }
}

#[test]
fn a_second_takes_as_many_new_connections_as_the_rate_says() {
    for case in CASES {
        let listener = with(case, Service { limits: limits(0, 20), ..Service::default() }, 0);
        let (mut balancer, installed) = Balancer::with(&listener);
        let taken = (1..=60).filter(|client| {
            let verdict = open(case, &mut balancer, case.client(*client));
            assert!(matches!(verdict, Redirected | DropRateLimit), "{verdict:?}");
            verdict == Redirected
        });
        let taken = taken.count();
        // A slow machine may have spent part of a second meanwhile.
        assert!((20..40).contains(&taken), "{taken} of 20");
        assert_eq!(refused(&balancer, &installed, Reason::Rate).0, 60 - taken as u64);
        thread::sleep(Duration::from_millis(1100));
        assert_eq!(open(case, &mut balancer, case.client(100)), Redirected);
    }
}

#[test]
fn clients_of_one_prefix_have_their_limits_together() {
    for case in CASES {
        let prefix = if case.vip().is_ipv4() { 24 } else { 120 };
        let more =
            Service { client_limits: limits(2, 0), client_prefix: prefix, ..Service::default() };
        let (mut balancer, installed) = Balancer::with(&with(case, more, 0));
        assert_eq!(open(case, &mut balancer, case.client(1)), Redirected);
        assert_eq!(open(case, &mut balancer, case.client(2)), Redirected);
        assert_eq!(open(case, &mut balancer, case.client(3)), DropClientConnectionLimit);
        assert_eq!(open(case, &mut balancer, case.client(300)), Redirected, "another prefix");
        assert_eq!(refused(&balancer, &installed, Reason::ClientConnections), (1, 0));
        assert_eq!(balancer.kernel.clients().count(), 2);
        cut(case, &mut balancer);
        assert!(balancer.kernel.clients().all(|(_, [entries, _])| entries == 0), "{case:?}");
        assert_eq!(open(case, &mut balancer, case.client(3)), Redirected);
        let rate = Service { client_limits: limits(0, 1), ..more };
        change(&mut balancer, &installed, &with(case, rate, 0));
        assert_eq!(open(case, &mut balancer, case.client(4)), Redirected);
        assert_eq!(open(case, &mut balancer, case.client(5)), DropClientRateLimit, "{case:?}");
    }
}

#[test]
fn a_client_has_room_for_another_connection_from_the_moment_that_one_closes() {
    const ACK: u8 = flags::ACK;
    for case in TCP_CASES {
        let more = Service { client_limits: limits(2, 0), client_prefix: 24, ..Service::default() };
        let (mut balancer, _) = Balancer::with(&with(case, more, 0));
        let counted = |balancer: &Balancer| balancer.kernel.clients().next().unwrap().1[0];
        let (first, second) = (case.client(1), case.client(2));
        let backend = case.establish(&mut balancer, first, case.vip());
        case.establish(&mut balancer, second, case.vip());
        assert_eq!(open(case, &mut balancer, case.client(3)), DropClientConnectionLimit);
        let send = |balancer: &mut Balancer, client, tcp| {
            balancer.receive(&case.to_vip(client, case.vip(), tcp));
        };
        // The first FIN makes room, the second none more.
        send(&mut balancer, first, flags::FIN | ACK);
        assert_eq!(counted(&balancer), 1, "{case:?}");
        balancer.receive(&case.reply(backend, first, flags::FIN | ACK));
        send(&mut balancer, first, ACK);
        assert_eq!(counted(&balancer), 1, "{case:?}");
        assert_eq!(open(case, &mut balancer, case.client(3)), Redirected, "{case:?}");
        // A connection that goes on after a RST counts again, whatever came in meanwhile.
        send(&mut balancer, second, flags::RST);
        assert_eq!(counted(&balancer), 1, "{case:?}");
        assert_eq!(open(case, &mut balancer, case.client(4)), Redirected, "{case:?}");
        send(&mut balancer, second, ACK);
        send(&mut balancer, second, ACK);
        assert_eq!(counted(&balancer), 3, "{case:?}");
        assert_eq!(open(case, &mut balancer, case.client(5)), DropClientConnectionLimit);
        // New on the ports of the one that has closed: counted by itself.
        send(&mut balancer, case.client(4), flags::RST);
        send(&mut balancer, second, flags::RST);
        assert_eq!(counted(&balancer), 1, "{case:?}");
        assert_eq!(open(case, &mut balancer, first), Redirected, "{case:?}");
        assert_eq!(counted(&balancer), 2, "{case:?}");
        cut(case, &mut balancer);
        assert_eq!(counted(&balancer), 0, "{case:?}");
    }
}

#[test]
fn all_listeners_of_an_instance_share_its_specification() {
    for case in CASES {
        let more = Service { instance: 3, ..Service::default() };
        let mut second = with(case, more, 0);
        second.vips = vec![case.vip_number(2)];
        let (mut balancer, installed) = Balancer::with(&with(case, more, 0));
        let other = balancer.listen(&second);
        let set = |balancer: &mut Balancer, limits| {
            let to = Instance { limits, flags: INSTANCE_PRESENT, ..Instance::default() };
            balancer.apply(Operation::SetInstance { place: 3, to });
        };
        set(&mut balancer, limits(2, 0));
        assert_eq!(open(case, &mut balancer, case.client(1)), Redirected);
        let at_second = |client| case.to_vip(case.client(client), case.vip_number(2), flags::SYN);
        assert_eq!(balancer.receive(&at_second(2)).verdict, Redirected);
        let verdict = balancer.receive(&at_second(3)).verdict;
        assert_eq!(verdict, DropInstanceConnectionLimit, "{case:?}");
        assert_eq!(refused(&balancer, &other, Reason::InstanceConnections), (1, 0));
        assert_eq!(refused(&balancer, &installed, Reason::InstanceConnections), (0, 0));
        set(&mut balancer, limits(0, 1));
        assert_eq!(open(case, &mut balancer, case.client(4)), Redirected);
        assert_eq!(balancer.receive(&at_second(5)).verdict, DropInstanceRateLimit, "{case:?}");
    }
}

#[test]
fn a_backend_at_its_limit_is_passed_over() {
    for case in CASES {
        for kind in [scheduler::ROUND_ROBIN, scheduler::LEAST_CONNECTIONS, scheduler::SOURCE_HASH] {
            let mut listener = Listener { scheduler: kind, ..case.listener(3) };
            listener.backends[0].limits = limits(1, 0);
            listener.backends[1].limits = limits(2, 0);
            listener.backends[2].limits = limits(3, 0);
            let (mut balancer, installed) = Balancer::with(&listener);
            for client in 1..=6 {
                assert_eq!(open(case, &mut balancer, case.client(client)), Redirected, "{kind}");
            }
            let entries: Vec<u64> = installed
                .slots
                .iter()
                .map(|slot| balancer.gauges(*slot))
                .map(|(active, inactive)| active + inactive)
                .collect();
            assert_eq!(entries, [1, 2, 3], "{case:?}, scheduler {kind}");
            let verdict = open(case, &mut balancer, case.client(7));
            assert_eq!(verdict, DropBackendLimit, "{case:?}, scheduler {kind}");
            assert_eq!(refused(&balancer, &installed, Reason::Backends), (1, 0));
            // One without limits takes the rest.
            listener.backends[1].limits = Limits::default();
            balancer.set_backend(installed.slots[1], installed.service, &listener.backends[1]);
            assert_eq!(open(case, &mut balancer, case.client(7)), Redirected, "{kind}");
            assert_eq!(balancer.entries().len(), 7);
        }
    }
}

#[test]
fn a_backend_takes_as_many_new_connections_in_a_second_as_its_rate_says() {
    const CLIENTS: u64 = 90;
    let rates = [5, 10, 15];
    for case in CASES {
        for kind in [scheduler::ROUND_ROBIN, scheduler::LEAST_CONNECTIONS, scheduler::SOURCE_HASH] {
            let mut listener = Listener { scheduler: kind, ..case.listener(3) };
            for (backend, rate) in listener.backends.iter_mut().zip(rates) {
                backend.limits = limits(0, rate);
            }
            let (mut balancer, installed) = Balancer::with(&listener);
            let taken = (1..=CLIENTS as u16).filter(|client| {
                let verdict = open(case, &mut balancer, case.client(*client));
                assert!(matches!(verdict, Redirected | DropBackendLimit), "{verdict:?}");
                verdict == Redirected
            });
            let taken = taken.count() as u64;
            let entries = installed.slots.iter().map(|slot| balancer.gauges(*slot));
            let entries: Vec<u64> = entries.map(|(active, inactive)| active + inactive).collect();
            assert_eq!(entries.iter().sum::<u64>(), taken);
            for (entries, rate) in entries.iter().zip(rates) {
                // A slow machine may have spent part of a second meanwhile.
                let rate = u64::from(rate);
                assert!(
                    (rate..2 * rate).contains(entries),
                    "{entries} of {rate}, {case:?}, {kind}"
                );
            }
            assert_eq!(refused(&balancer, &installed, Reason::Backends), (CLIENTS - taken, 0));
            // A quarter of a second gives 7 of 30 back.
            thread::sleep(Duration::from_millis(250));
            assert_eq!(open(case, &mut balancer, case.client(100)), Redirected, "{kind}");
        }
    }
}

#[test]
fn a_shadow_refuses_nothing_and_counts_what_it_would() {
    for case in CASES {
        let more = Service {
            limits: limits(1, 1),
            client_limits: limits(1, 0),
            client_prefix: 1,
            ..Service::default()
        };
        let mut listener = with(case, more, SERVICE_SHADOW);
        listener.backends.iter_mut().for_each(|backend| backend.limits = limits(1, 0));
        let (mut balancer, installed) = Balancer::with(&listener);
        for client in 1..=4 {
            assert_eq!(open(case, &mut balancer, case.client(client)), Redirected, "{case:?}");
        }
        assert_eq!(refused(&balancer, &installed, Reason::Connections), (0, 3));
        assert_eq!(refused(&balancer, &installed, Reason::Rate), (0, 3));
        assert_eq!(refused(&balancer, &installed, Reason::ClientConnections), (0, 3));
        assert_eq!(refused(&balancer, &installed, Reason::Backends), (0, 2));
        cut(case, &mut balancer);
        assert!(balancer.kernel.clients().all(|(_, [entries, _])| entries == 0), "{case:?}");
    }
}

#[test]
fn two_processors_together_never_pass_a_limit() {
    const LIMIT: u32 = 100;
    const CLIENTS: u16 = 400;
    for case in CASES {
        let more = Service {
            limits: limits(LIMIT, 0),
            client_limits: limits(LIMIT, 0),
            client_prefix: 1,
            ..Service::default()
        };
        let (mut balancer, installed) = Balancer::with(&with(case, more, 0));
        for round in 0..5 {
            let frame = |client| case.to_vip(case.client(client), case.vip(), flags::SYN).bytes();
            let frames: Vec<Vec<u8>> = (1..=CLIENTS).map(frame).collect();
            let program: &aya::programs::Xdp = balancer.object.program("slb").unwrap();
            thread::scope(|scope| {
                for part in [0, 1] {
                    let frames = &frames;
                    scope.spawn(move || {
                        slb_tests::table_lab::pin(part).unwrap();
                        for frame in frames.iter().skip(part).step_by(2) {
                            let options = TestRunOptions { data_in: Some(frame), ..one() };
                            program.test_run(options).unwrap();
                        }
                    });
                }
            });
            assert_eq!(balancer.entries().len(), LIMIT as usize, "{case:?}, round {round}");
            let (reserved, entries) = (
                balancer.object.mapping::<slb_common::service::Meter>(
                    "METERS_SERVICES",
                    slb_userspace::bpf::mapping::Access::Read,
                ),
                balancer.kernel.clients().next().map(|(_, [entries, _])| entries),
            );
            assert_eq!(reserved.unwrap().get(u32::from(installed.service)).reserved, 0);
            assert_eq!(entries, Some(u64::from(LIMIT)));
            cut(case, &mut balancer);
        }
    }
}

fn one() -> TestRunOptions<'static> {
    TestRunOptions { repeat: 1, ..TestRunOptions::default() }
}

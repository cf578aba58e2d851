//! Persistence: a client's connections go to one backend, as long as they may.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use slb_common::{
    Verdict::*,
    connection::ticks,
    service::{Backend, Persistence, scheduler},
    template::{Life, SharedBackend},
};
use slb_tests::packets::{endpoints, flags};
use slb_userspace::{
    config::model::Family,
    expiry,
    maps::{Operation, table::tick, templates::Found, words::words},
    templates,
};

use super::{
    balancer::Balancer,
    cases::{CASES, Case, TCP_CASES},
    listener::{Installed, Listener, Target},
    loaded::TEMPLATES,
};

mod processors;

const TIMEOUT: u32 = ticks(300);

/// Persistence by whole addresses.
fn persistence(case: Case) -> Persistence {
    let prefix = if case.family == Family::V4 { 32 } else { 128 };
    Persistence { timeout: TIMEOUT, group: 7, prefix, reserved: 0 }
}

/// A listener with so many backends and persistence by whole addresses.
fn listener(case: Case, backends: u8) -> Listener {
    Listener { persistence: persistence(case), ..case.listener(backends) }
}

/// The backend of a new connection.
fn open(case: Case, balancer: &mut Balancer, client: SocketAddr, vip: SocketAddr) -> SocketAddr {
    let ended = balancer.receive(&case.to_vip(client, vip, flags::SYN));
    assert_eq!(ended.verdict, Redirected, "{case:?} {client}");
    endpoints(&ended.frame).1
}

/// A port of a client's.
fn port(case: Case, client: u16, port: u16) -> SocketAddr {
    SocketAddr::new(case.client(client).ip(), 40_000 + port)
}

/// Backends of so many new connections of one client.
fn backends_of(
    case: Case,
    balancer: &mut Balancer,
    client: u16,
    ports: std::ops::Range<u16>,
) -> BTreeSet<SocketAddr> {
    ports.map(|number| open(case, balancer, port(case, client, number), case.vip())).collect()
}

/// Every template; each must have as many connections as its clients have entries.
fn all(case: Case, balancer: &Balancer) -> Vec<Found> {
    let found = balancer.kernel.templates.all(case.family).unwrap();
    for one in &found {
        let entries = balancer.entries();
        let own = entries.iter().filter(|entry| one.client.contains(&entry.client.ip()));
        assert_eq!(one.life.connections() as usize, own.count(), "{one:?}");
    }
    found
}

/// Lets so many ticks pass for all templates.
fn age(case: Case, balancer: &mut Balancer, by: u32) {
    for one in balancer.kernel.templates.all(case.family).unwrap() {
        let life = Life::new(one.life.connections(), one.life.tick().wrapping_sub(by)).0;
        let value = [life, one.target.0];
        match case.family {
            Family::V4 => balancer.templates_v4.insert([one.key[0]], value, 0).unwrap(),
            Family::V6 => balancer.templates_v6.insert(one.key, value, 0).unwrap(),
        }
    }
}

/// Ends every connection.
fn end_all(case: Case, balancer: &mut Balancer) {
    let loaded: &mut super::loaded::Loaded = balancer;
    let cut = expiry::cut(&mut loaded.object, &loaded.kernel, case.family, |_| true).unwrap();
    assert!(cut.ended > 0);
}

fn sweep(balancer: &mut Balancer) -> u64 {
    let loaded: &mut super::loaded::Loaded = balancer;
    templates::Sweep::default().go_on(&mut loaded.object, &loaded.kernel).unwrap()
}

#[test]
fn connections_of_one_client_go_to_one_backend_whatever_the_scheduler_draws() {
    for case in CASES {
        for scheduler in [
            scheduler::ROUND_ROBIN,
            scheduler::LEAST_CONNECTIONS,
            scheduler::TWO_CHOICES,
            scheduler::SOURCE_HASH,
            scheduler::SHORTEST_DELAY,
            scheduler::NEVER_QUEUE,
        ] {
            let (mut balancer, _) = Balancer::with(&Listener { scheduler, ..listener(case, 4) });
            let first = backends_of(case, &mut balancer, 1, 0..30);
            assert_eq!(first.len(), 1, "{case:?} {scheduler}: {first:?}");
            let others: BTreeSet<_> =
                (2..32).flat_map(|client| backends_of(case, &mut balancer, client, 0..2)).collect();
            assert!(others.len() > 1, "{case:?} {scheduler}: all clients on {others:?}");
            assert_eq!(backends_of(case, &mut balancer, 1, 30..40), first);
            assert_eq!(all(case, &balancer).len(), 31);
            balancer.assert_consistent();
        }
    }
}

#[test]
fn without_persistence_there_are_no_templates() {
    for case in CASES {
        let (mut balancer, _) = case.balancer(2);
        assert_eq!(backends_of(case, &mut balancer, 1, 0..4).len(), 2);
        assert_eq!(all(case, &balancer), []);
    }
}

#[test]
fn clients_of_one_netmask_are_one_client() {
    for case in CASES {
        let (prefix, neighbours, stranger): (u8, [&str; 3], &str) = match case.family {
            Family::V4 => (24, ["192.0.2.1", "192.0.2.77", "192.0.2.254"], "192.0.3.1"),
            Family::V6 => (
                64,
                ["2001:db8:7::1", "2001:db8:7::77", "2001:db8:7:0:ffff:ffff:ffff:ffff"],
                "2001:db8:7:1::1",
            ),
        };
        let persistence = Persistence { prefix, ..persistence(case) };
        let (mut balancer, _) = Balancer::with(&Listener { persistence, ..listener(case, 3) });
        let at = |text: &str| SocketAddr::new(text.parse::<IpAddr>().unwrap(), 40_000);
        let own = neighbours.map(|text| open(case, &mut balancer, at(text), case.vip()));
        assert_eq!(own, [own[0]; 3], "{case:?}");
        assert_ne!(open(case, &mut balancer, at(stranger), case.vip()), own[0], "{case:?}");
        let clients: BTreeSet<String> =
            all(case, &balancer).iter().map(|one| one.client.to_string()).collect();
        assert_eq!(clients.len(), 2);
        assert!(clients.iter().all(|text| text.ends_with(&format!("/{prefix}"))), "{clients:?}");
    }
}

/// Ways in which the first backend gets no new connections any more.
fn withdrawals(case: Case) -> [(&'static str, Target); 2] {
    let target = Target::new(case.backend(1));
    [
        ("drained, of weight 0, or unhealthy", Target { usable: false, ..target }),
        ("another one's slot by now", Target { generation: 1, ..target }),
    ]
}

#[test]
fn a_client_is_scheduled_anew_when_its_backend_takes_nothing_and_stays_there() {
    for case in CASES {
        for (why, withdrawn) in withdrawals(case) {
            let (mut balancer, installed) = Balancer::with(&listener(case, 2));
            let Installed { service, slots } = installed;
            assert_eq!(backends_of(case, &mut balancer, 1, 0..3), [case.backend(1)].into());
            let rest = balancer.ring(scheduler::ROUND_ROBIN, vec![slots[1]]);
            balancer.set_service(service, &listener(case, 2), rest);
            balancer.set_backend(slots[0], service, &withdrawn);
            assert_eq!(
                backends_of(case, &mut balancer, 1, 3..6),
                [case.backend(2)].into(),
                "{why}"
            );
            // It is back, and both are drawn: the client stays.
            let both = balancer.ring(scheduler::ROUND_ROBIN, slots.clone());
            balancer.set_service(service, &listener(case, 2), both);
            balancer.set_backend(slots[0], service, &Target { usable: true, ..withdrawn });
            assert_eq!(
                backends_of(case, &mut balancer, 1, 6..12),
                [case.backend(2)].into(),
                "{why}"
            );
            let [template] = all(case, &balancer)[..] else { panic!("one client") };
            assert_eq!(template.target.slot(), slots[1]);
        }
    }
}

#[test]
fn a_template_lives_as_long_as_a_connection_and_its_timeout_after_that() {
    for case in CASES {
        let (mut balancer, _) = Balancer::with(&listener(case, 2));
        let first = open(case, &mut balancer, port(case, 1, 0), case.vip());
        age(case, &mut balancer, 10 * TIMEOUT);
        assert_eq!(sweep(&mut balancer), 0, "a connection keeps it");
        assert_eq!(open(case, &mut balancer, port(case, 1, 1), case.vip()), first);
        // Its time begins with the end of the last connection.
        age(case, &mut balancer, 10 * TIMEOUT);
        end_all(case, &mut balancer);
        assert_eq!(sweep(&mut balancer), 0);
        age(case, &mut balancer, TIMEOUT - 4);
        assert_eq!(sweep(&mut balancer), 0);
        assert_eq!(open(case, &mut balancer, port(case, 1, 2), case.vip()), first);
        end_all(case, &mut balancer);
        age(case, &mut balancer, TIMEOUT + 1);
        assert_eq!(sweep(&mut balancer), 1);
        assert_eq!(all(case, &balancer), []);
    }
}

#[test]
fn an_expired_template_counts_as_absent_also_without_a_daemon_that_deletes_it() {
    for case in CASES {
        let (mut balancer, _) = Balancer::with(&listener(case, 2));
        let first = open(case, &mut balancer, port(case, 1, 0), case.vip());
        end_all(case, &mut balancer);
        age(case, &mut balancer, TIMEOUT + 1);
        // It is the other one's turn.
        let second = open(case, &mut balancer, port(case, 1, 1), case.vip());
        assert_ne!(second, first, "{case:?}");
        let [template] = all(case, &balancer)[..] else { panic!("one client") };
        assert!(tick().wrapping_sub(template.life.tick()) < 20);
        assert_eq!(backends_of(case, &mut balancer, 1, 2..6), [second].into());
    }
}

/// Two listeners of one group, on ports 80 and 443, with backends on ports 8080 and 8443.
fn sharing(case: Case, balancer: &mut Balancer) -> (SocketAddr, SocketAddr) {
    let plain = listener(case, 3);
    let mut secure = plain.clone();
    secure.vips[0].set_port(443);
    secure.backends.iter_mut().for_each(|target| target.address.set_port(8443));
    secure.backends.rotate_left(1);
    let mut shared = std::collections::BTreeMap::new();
    for listener in [&plain, &secure] {
        let Installed { service, slots } = balancer.listen(listener);
        for (target, slot) in listener.backends.iter().zip(slots) {
            let address = words(target.address.ip());
            shared.insert(SharedBackend { address, service: service.into() }, slot);
        }
    }
    balancer.kernel.templates.set_shared(&shared).unwrap();
    (plain.vips[0], secure.vips[0])
}

#[test]
fn a_client_has_one_backend_address_for_all_listeners_that_share() {
    for case in CASES {
        let mut balancer = Balancer::new();
        let (plain, secure) = sharing(case, &mut balancer);
        for client in 0..9 {
            let vips = if client % 2 == 0 { [plain, secure] } else { [secure, plain] };
            let mut backends = BTreeSet::new();
            for number in 0..4 {
                let vip = vips[usize::from(number % 2)];
                let backend = open(case, &mut balancer, port(case, client, number), vip);
                assert_eq!(backend.port(), if vip == plain { 8080 } else { 8443 });
                backends.insert(backend.ip());
            }
            assert_eq!(backends.len(), 1, "{case:?} {backends:?}");
        }
        assert_eq!(all(case, &balancer).len(), 9);
    }
}

#[test]
fn a_client_keeps_its_backend_when_the_listener_goes_by_which_it_came_to_it() {
    for case in CASES {
        let mut balancer = Balancer::new();
        let (plain, secure) = sharing(case, &mut balancer);
        let first = open(case, &mut balancer, port(case, 1, 0), plain);
        end_all(case, &mut balancer);
        // The next turn of the other listener is another backend's.
        let other = open(case, &mut balancer, port(case, 2, 0), secure);
        assert_ne!(other.ip(), first.ip(), "{case:?}");
        // The daemon frees the slots of a listener that has gone.
        let free = |balancer: &mut Balancer, slot| {
            let backend = balancer.kernel.backend(slot);
            let generation = backend.generation + 1;
            let backend = Backend { flags: 0, weight: 0, generation, ..backend };
            balancer.apply(Operation::SetBackend { slot, backend });
        };
        (0..3).for_each(|slot| free(&mut balancer, slot));
        let second = open(case, &mut balancer, port(case, 1, 1), secure);
        assert_eq!((second.ip(), second.port()), (first.ip(), 8443), "{case:?}");
        // From then on the template names the slot of the listener that is left.
        let named = balancer.kernel.templates.all(case.family).unwrap();
        assert!(named.iter().all(|one| one.target.slot() >= 3), "{named:?}");
    }
}

#[test]
fn listeners_that_do_not_share_have_templates_of_their_own() {
    for case in CASES {
        let (mut balancer, _) = Balancer::with(&listener(case, 2));
        let mut other = listener(case, 1);
        other.vips = vec![case.vip_number(2)];
        other.persistence.group = 8;
        other.backends = vec![Target::new(case.backend(9))];
        balancer.listen(&other);
        open(case, &mut balancer, port(case, 1, 0), case.vip());
        let backend = open(case, &mut balancer, port(case, 1, 1), case.vip_number(2));
        assert_eq!(backend, case.backend(9));
        assert_eq!(balancer.kernel.templates.all(case.family).unwrap().len(), 2);
    }
}

#[test]
fn a_flushed_client_is_scheduled_anew_and_its_connections_go_on() {
    for case in CASES {
        let (mut balancer, _) = Balancer::with(&listener(case, 2));
        let client = port(case, 1, 0);
        let first = case.establish(&mut balancer, client, case.vip());
        let found = all(case, &balancer);
        let loaded: &mut super::loaded::Loaded = &mut balancer;
        assert_eq!(templates::flush(&mut loaded.object, &found).unwrap(), 1);
        assert_eq!(templates::flush(&mut loaded.object, &found).unwrap(), 0, "it names nobody");
        assert_eq!(sweep(&mut balancer), 0, "a connection still counts on it");
        let more = balancer.receive(&case.to_vip(client, case.vip(), flags::ACK));
        assert_eq!(endpoints(&more.frame).1, first);
        let second = open(case, &mut balancer, port(case, 1, 1), case.vip());
        assert_ne!(second, first, "{case:?}");
        assert_eq!(all(case, &balancer).len(), 1);
        end_all(case, &mut balancer);
        assert_eq!(backends_of(case, &mut balancer, 1, 2..4), [second].into());
    }
}

#[test]
fn a_flushed_template_without_connections_goes_with_the_next_sweep() {
    for case in CASES {
        let (mut balancer, _) = Balancer::with(&listener(case, 2));
        open(case, &mut balancer, port(case, 1, 0), case.vip());
        end_all(case, &mut balancer);
        let found = all(case, &balancer);
        let loaded: &mut super::loaded::Loaded = &mut balancer;
        templates::flush(&mut loaded.object, &found).unwrap();
        assert_eq!(sweep(&mut balancer), 1);
        assert_eq!(all(case, &balancer), []);
    }
}

#[test]
fn a_packet_that_makes_no_entry_is_not_counted_by_its_template() {
    for case in CASES {
        let mut listener = listener(case, 1);
        listener.backends[0] = Target::new(SocketAddr::new(case.client(1).ip(), 8080));
        let (mut balancer, _) = Balancer::with(&listener);
        for number in 0..3 {
            let packet = case.to_vip(port(case, 1, number), case.vip(), flags::SYN);
            assert_eq!(balancer.receive(&packet).verdict, DropHairpin);
        }
        let [template] = all(case, &balancer)[..] else { panic!("one client") };
        assert_eq!(template.life.connections(), 0);
    }
}

#[test]
fn a_connection_anew_on_the_same_ports_is_one_connection_of_its_template() {
    use flags::{ACK, FIN};
    for case in TCP_CASES {
        let (mut balancer, _) = Balancer::with(&listener(case, 2));
        let client = port(case, 1, 0);
        let first = case.establish(&mut balancer, client, case.vip());
        balancer.receive(&case.to_vip(client, case.vip(), FIN | ACK));
        balancer.receive(&case.reply(first, client, FIN | ACK));
        assert_eq!(open(case, &mut balancer, client, case.vip()), first);
        assert_eq!(all(case, &balancer)[0].life.connections(), 1);
    }
}

#[test]
fn connections_are_opened_and_counted_when_no_template_fits_any_more() {
    for case in CASES {
        let (mut balancer, _) = Balancer::with(&listener(case, 2));
        let before = balancer.kernel.templates.without(case.family).unwrap();
        let clients = TEMPLATES as u16 + 50;
        for client in 0..clients {
            open(case, &mut balancer, case.client(client), case.vip());
        }
        let templates = all(case, &balancer).len();
        let without = balancer.kernel.templates.without(case.family).unwrap() - before;
        assert_eq!(templates as u64 + without, u64::from(clients), "{case:?}");
        assert!(without > 0 && templates > TEMPLATES as usize / 2, "{case:?}: {without} without");
        // Once there is room, a client gets one again.
        end_all(case, &mut balancer);
        age(case, &mut balancer, TIMEOUT + 1);
        assert_eq!(sweep(&mut balancer), templates as u64);
        open(case, &mut balancer, case.client(9_999), case.vip());
        assert_eq!(all(case, &balancer).len(), 1);
    }
}

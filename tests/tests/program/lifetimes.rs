//! What ends a connection and what does not: sequence numbers, forged segments, failed backends.

use slb_common::{
    Verdict::*,
    connection::state,
    service::{Ring, mode, scheduler},
};
use slb_tests::{
    packets::{
        BACKEND_START, CLIENT_START, Packet, endpoints,
        flags::{ACK, FIN, PSH, RST, SYN},
    },
    program::modes,
};
use slb_userspace::config::model::Protocol;

use super::{
    balancer::Balancer,
    cases::{CASES, Case, TCP_CASES},
    listener::{Installed, Listener},
};

/// The client's first byte of data, and the backend's.
const CLIENT: u32 = CLIENT_START + 1;
const BACKEND: u32 = BACKEND_START + 1;

/// A segment of the client with data and numbers.
fn from_client(case: Case, tcp: u8, sequence: u32, acknowledges: u32, data: usize) -> Packet {
    let packet = case.to_vip(case.client(1), case.vip(), tcp).numbered(sequence, acknowledges);
    Packet { payload: vec![0x5a; data], ..packet }
}

/// A segment of the first backend with numbers.
fn from_backend(case: Case, tcp: u8, sequence: u32, acknowledges: u32) -> Packet {
    case.reply(case.backend(1), case.client(1), tcp).numbered(sequence, acknowledges)
}

fn forward(balancer: &mut Balancer, packet: &Packet) {
    let ended = balancer.receive(packet);
    assert!(matches!(ended.verdict, Redirected | Transmitted), "{packet:?}: {ended:?}");
}

#[test]
fn the_numbers_of_a_connection_are_known_to_the_byte() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(1);
        forward(&mut balancer, &case.first());
        assert_eq!(balancer.sequences(), (CLIENT, 0));
        forward(&mut balancer, &case.answer());
        assert_eq!(balancer.sequences(), (CLIENT, BACKEND));
        for (tcp, sequence, acknowledges, data, known) in [
            (ACK, CLIENT, BACKEND, 0, (CLIENT, BACKEND)),
            (ACK | PSH, CLIENT, BACKEND, 100, (CLIENT + 100, BACKEND)),
            (ACK, CLIENT + 100, BACKEND + 5000, 0, (CLIENT + 100, BACKEND + 5000)),
            // It comes once more, as it was sent first.
            (ACK | PSH, CLIENT, BACKEND, 100, (CLIENT + 100, BACKEND + 5000)),
            // Keepalive probes, without and with a byte.
            (ACK, CLIENT + 99, BACKEND + 5000, 0, (CLIENT + 100, BACKEND + 5000)),
            (ACK, CLIENT + 99, BACKEND + 5000, 1, (CLIENT + 100, BACKEND + 5000)),
            // One was lost before this one.
            (ACK, CLIENT + 1500, BACKEND + 5000, 1400, (CLIENT + 2900, BACKEND + 5000)),
            (FIN | ACK, CLIENT + 2900, BACKEND + 5000, 10, (CLIENT + 2911, BACKEND + 5000)),
        ] {
            forward(&mut balancer, &from_client(case, tcp, sequence, acknowledges, data));
            assert_eq!(balancer.sequences(), known, "{case:?}: {sequence}");
            // What the backend sends says nothing that the client would not.
            let reply = from_backend(case, ACK | PSH, BACKEND + 9000, CLIENT);
            forward(&mut balancer, &reply);
            assert_eq!(balancer.sequences(), known, "{case:?}: {sequence}");
        }
    }
}

#[test]
fn a_forged_segment_outside_the_window_ends_nothing() {
    const FAR: u32 = 1 << 30;
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(2);
        let backend = case.establish(&mut balancer, case.client(1), case.vip());
        let before = (balancer.entry().control, balancer.sequences());
        assert_eq!(state::name(before.0.state()), "established");
        for forged in [
            from_client(case, RST, CLIENT.wrapping_add(FAR), 0, 0),
            from_client(case, RST, CLIENT + 1, 0, 0),
            from_client(case, RST, CLIENT.wrapping_sub(FAR), 0, 0),
            from_client(case, RST | ACK, CLIENT.wrapping_add(FAR), BACKEND, 0),
            from_client(case, RST | ACK, CLIENT, BACKEND.wrapping_add(FAR), 0),
            from_client(case, FIN | ACK, CLIENT.wrapping_add(FAR), BACKEND, 0),
            from_client(case, FIN | ACK, CLIENT, BACKEND.wrapping_sub(FAR), 0),
            from_client(case, ACK, CLIENT.wrapping_add(FAR), BACKEND, 1000),
            from_client(case, ACK, CLIENT, BACKEND.wrapping_add(FAR), 1000),
            from_backend(case, RST, BACKEND.wrapping_add(FAR), 0),
            from_backend(case, RST, BACKEND + 1, 0),
            from_backend(case, RST | ACK, BACKEND.wrapping_sub(FAR), CLIENT),
            from_backend(case, RST | ACK, BACKEND, CLIENT.wrapping_add(FAR)),
            from_backend(case, FIN | ACK, BACKEND.wrapping_add(FAR), CLIENT),
            from_backend(case, FIN | ACK, BACKEND, CLIENT.wrapping_sub(FAR)),
            from_backend(case, SYN | ACK, BACKEND.wrapping_add(FAR), CLIENT),
        ] {
            // The endpoints judge it themselves.
            forward(&mut balancer, &forged);
            let after = (balancer.entry().control, balancer.sequences());
            assert_eq!(after, before, "{case:?}: {forged:?}");
            // What would take the place of a connection that has ended.
            let syn = from_client(case, SYN, 1, 0, 0);
            assert_eq!(endpoints(&balancer.receive(&syn).frame).1, backend, "{forged:?}");
            assert_eq!((balancer.entry().control, balancer.sequences()), before);
        }
        balancer.assert_consistent();
    }
}

#[test]
fn a_segment_inside_the_window_ends_what_it_says() {
    for case in TCP_CASES {
        for (segment, to) in [
            (from_client(case, RST, CLIENT, 0, 0), state::CLOSED),
            (from_client(case, RST, CLIENT - 1000, 0, 0), state::CLOSED),
            (from_client(case, RST | ACK, CLIENT + 3000, BACKEND + 70_000, 0), state::CLOSED),
            (from_client(case, FIN | ACK, CLIENT + 3000, BACKEND + 70_000, 5), state::FIN),
            (from_backend(case, RST, BACKEND, 0), state::CLOSED),
            (from_backend(case, RST | ACK, BACKEND + 3_000_000, CLIENT), state::CLOSED),
            (from_backend(case, FIN | ACK, BACKEND + 3_000_000, CLIENT), state::FIN),
        ] {
            let (mut balancer, _) = case.balancer(1);
            case.establish(&mut balancer, case.client(1), case.vip());
            forward(&mut balancer, &segment);
            let now = balancer.entry().control.state();
            assert_eq!(state::name(now), state::name(to), "{case:?}: {segment:?}");
        }
    }
}

#[test]
fn who_has_not_seen_the_syn_ack_establishes_nothing() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(1);
        forward(&mut balancer, &case.first());
        forward(&mut balancer, &case.answer());
        for guessed in [0, BACKEND - 1, BACKEND.wrapping_add(1 << 24), BACKEND ^ 1 << 31] {
            forward(&mut balancer, &from_client(case, ACK, CLIENT, guessed, 10));
            assert_eq!(state::name(balancer.entry().control.state()), "syn-received");
        }
        // The host that the SYN was forged for knows nothing of it.
        forward(&mut balancer, &from_client(case, RST, CLIENT, 0, 0));
        assert_eq!(state::name(balancer.entry().control.state()), "closed");
    }
}

#[test]
fn a_connection_on_ports_that_another_left_begins_with_its_own_numbers() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(1);
        case.establish(&mut balancer, case.client(1), case.vip());
        forward(&mut balancer, &from_client(case, FIN | ACK, CLIENT, BACKEND, 0));
        forward(&mut balancer, &from_backend(case, FIN | ACK, BACKEND, CLIENT + 1));
        assert_eq!(state::name(balancer.entry().control.state()), "time-wait");
        let (client, backend) = (CLIENT ^ 1 << 31, BACKEND ^ 1 << 31);
        forward(&mut balancer, &from_client(case, SYN, client - 1, 0, 0));
        assert_eq!(balancer.sequences(), (client, 0));
        forward(&mut balancer, &from_backend(case, SYN | ACK, backend - 1, client));
        forward(&mut balancer, &from_client(case, ACK, client, backend, 0));
        assert_eq!(state::name(balancer.entry().control.state()), "established");
        assert_eq!(balancer.sequences(), (client, backend));
    }
}

#[test]
fn a_handshake_begun_twice_is_the_one_that_the_backend_answers() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(1);
        forward(&mut balancer, &case.first());
        // The client gave up and tries again from the same port.
        forward(&mut balancer, &from_client(case, SYN, 7, 0, 0));
        forward(&mut balancer, &from_backend(case, SYN | ACK, BACKEND_START, CLIENT));
        assert_eq!(balancer.sequences(), (CLIENT, BACKEND));
        forward(&mut balancer, &from_client(case, ACK, CLIENT, BACKEND, 0));
        assert_eq!(state::name(balancer.entry().control.state()), "established");
    }
}

#[test]
fn a_datagrams_flow_leaves_a_backend_that_has_failed() {
    for case in CASES {
        let mut listener = case.listener(2);
        let (mut balancer, installed) = Balancer::with(&listener);
        let first = case.establish(&mut balancer, case.client(1), case.vip());
        let (dead, alive) = (installed.slots[0], installed.slots[1]);
        assert_eq!(first, case.backend(1));
        listener.backends[0].failed = true;
        balancer.set_backend(dead, installed.service, &listener.backends[0]);
        let ring = balancer.ring(scheduler::ROUND_ROBIN, vec![alive]);
        balancer.set_service(installed.service, &listener, ring);
        for _ in 0..3 {
            let ended = balancer.receive(&case.next());
            assert_eq!(ended.verdict, Redirected);
            let udp = case.protocol == Protocol::Udp;
            let wanted = if udp { case.backend(2) } else { case.backend(1) };
            assert_eq!(endpoints(&ended.frame).1, wanted, "{case:?}");
            assert_eq!(balancer.entry().backend, wanted);
            balancer.assert_consistent();
        }
    }
}

#[test]
fn a_datagrams_flow_without_any_backend_waits_for_the_one_it_had() {
    for case in CASES.into_iter().filter(|case| case.protocol == Protocol::Udp) {
        let mut listener = case.listener(1);
        let (mut balancer, installed) = Balancer::with(&listener);
        case.establish(&mut balancer, case.client(1), case.vip());
        let ring = balancer.kernel.service(installed.service).ring;
        listener.backends[0].failed = true;
        balancer.set_backend(installed.slots[0], installed.service, &listener.backends[0]);
        balancer.set_service(installed.service, &listener, Ring::EMPTY);
        assert_eq!(balancer.receive(&case.next()).verdict, DropNoBackend);
        listener.backends[0].failed = false;
        balancer.set_backend(installed.slots[0], installed.service, &listener.backends[0]);
        balancer.set_service(installed.service, &listener, ring);
        assert_eq!(balancer.receive(&case.next()).verdict, Redirected);
        assert_eq!(state::name(balancer.entry().control.state()), "udp");
    }
}

/// The first of two backends fails, and new connections go to the second.
fn fail_the_first(balancer: &mut Balancer, listener: &mut Listener, installed: &Installed) {
    listener.backends[0].failed = true;
    balancer.set_backend(installed.slots[0], installed.service, &listener.backends[0]);
    let ring = balancer.ring(scheduler::ROUND_ROBIN, vec![installed.slots[1]]);
    balancer.set_service(installed.service, listener, ring);
}

/// A program with two backends in a mode, and what it was made of.
fn in_mode(case: Case, mode: u8) -> (Balancer, Listener, Installed) {
    let listener = match mode {
        mode::DIRECT | mode::TUNNEL => modes::one_sided(case, mode, 2),
        _ => Listener { mode, ..case.listener(2) },
    };
    let (mut balancer, installed) = Balancer::with(&listener);
    modes::set_sources(&mut balancer);
    modes::set_locals(&mut balancer, case, 1);
    (balancer, listener, installed)
}

const MODES: [u8; 4] = [mode::NAT, mode::DIRECT, mode::TUNNEL, mode::FULL_NAT];

#[test]
fn a_repeated_syn_goes_elsewhere_when_the_backend_has_failed_before_it_answered() {
    for (case, mode) in TCP_CASES.into_iter().flat_map(|case| MODES.map(|mode| (case, mode))) {
        let (mut balancer, mut listener, installed) = in_mode(case, mode);
        forward(&mut balancer, &case.first());
        assert_eq!(balancer.entry().seen.slot(), installed.slots[0]);
        fail_the_first(&mut balancer, &mut listener, &installed);
        for _ in 0..3 {
            forward(&mut balancer, &case.first());
            let entry = balancer.entry();
            assert_eq!(entry.seen.slot(), installed.slots[1], "{case:?} {mode}");
            assert_eq!(state::name(entry.control.state()), "syn-received");
            balancer.assert_consistent();
        }
    }
}

#[test]
fn a_connection_of_a_failed_backend_goes_on_and_gives_way_to_a_syn_where_no_reset_is_seen() {
    for (case, mode) in TCP_CASES.into_iter().flat_map(|case| MODES.map(|mode| (case, mode))) {
        let (mut balancer, mut listener, installed) = in_mode(case, mode);
        forward(&mut balancer, &case.first());
        if mode == mode::NAT || mode == mode::FULL_NAT {
            let local = match mode {
                mode::FULL_NAT => endpoints(&balancer.receive(&case.first()).frame).0,
                _ => case.client(1),
            };
            forward(&mut balancer, &case.reply(case.backend(1), local, SYN | ACK));
        }
        forward(&mut balancer, &from_client(case, ACK, CLIENT, BACKEND, 0));
        assert_eq!(state::name(balancer.entry().control.state()), "established");
        fail_the_first(&mut balancer, &mut listener, &installed);
        forward(&mut balancer, &from_client(case, ACK | PSH, CLIENT, BACKEND, 10));
        assert_eq!(balancer.entry().seen.slot(), installed.slots[0], "{case:?} {mode}");
        assert_eq!(state::name(balancer.entry().control.state()), "established");
        // The client is on the same ports again, or somebody says so.
        forward(&mut balancer, &from_client(case, SYN, CLIENT ^ 1 << 31, 0, 0));
        let (slot, now) = match mode {
            mode::DIRECT | mode::TUNNEL => (installed.slots[1], "syn-received"),
            _ => (installed.slots[0], "established"),
        };
        let entry = balancer.entry();
        assert_eq!(entry.seen.slot(), slot, "{case:?} {mode}");
        assert_eq!(state::name(entry.control.state()), now, "{case:?} {mode}");
        balancer.assert_consistent();
    }
}

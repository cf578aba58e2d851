//! The life of a connection, by its state, its gauges and its place in the table.

use slb_common::{
    Verdict::*,
    connection::{CLOSED_TIMEOUT, state, ticks},
    service::{SERVICE_ADOPT, SERVICE_PRESENT, Timeouts, scheduler},
};
use slb_tests::packets::{
    endpoints,
    flags::{ACK, FIN, PSH, RST, SYN},
};
use slb_userspace::config::model::Protocol;

use super::{
    balancer::Balancer,
    cases::{CASES, Case, TCP_CASES},
};

/// Who sends, and which flags.
#[derive(Clone, Copy, Debug)]
enum Segment {
    Client(u8),
    Backend(u8),
}

use Segment::{Backend, Client};

/// Sends segments of the first client's connection; after each the entry must be in this state and
/// counted by these gauges.
fn follow(case: Case, balancer: &mut Balancer, slot: u32, story: &[(Segment, u8, (u64, u64))]) {
    for (segment, state, gauges) in story {
        let packet = match segment {
            Client(tcp) => case.to_vip(case.client(1), case.vip(), *tcp),
            Backend(tcp) => case.reply(case.backend(1), case.client(1), *tcp),
        };
        let ended = balancer.receive(&packet);
        assert!(matches!(ended.verdict, Redirected | Transmitted), "{segment:?}: {ended:?}");
        let now = balancer.entry().control.state();
        assert_eq!(state::name(now), state::name(*state), "{case:?} after {segment:?}");
        assert_eq!(balancer.gauges(slot), *gauges, "{case:?} after {segment:?}");
        balancer.assert_consistent();
    }
}

const ACTIVE: (u64, u64) = (1, 0);
const INACTIVE: (u64, u64) = (0, 1);

const HANDSHAKE: [(Segment, u8, (u64, u64)); 3] = [
    (Client(SYN), state::SYN, INACTIVE),
    (Backend(SYN | ACK), state::SYN, INACTIVE),
    (Client(ACK), state::ESTABLISHED, ACTIVE),
];

#[test]
fn a_connection_is_opened_established_half_closed_and_closed() {
    for case in TCP_CASES {
        let (mut balancer, installed) = case.balancer(1);
        let story = [
            (Client(ACK | PSH), state::ESTABLISHED, ACTIVE),
            (Backend(ACK | PSH), state::ESTABLISHED, ACTIVE),
            (Client(FIN | ACK), state::FIN, INACTIVE),
            (Backend(ACK), state::FIN, INACTIVE),
            (Client(FIN | ACK), state::FIN, INACTIVE),
            (Backend(FIN | ACK), state::TIME_WAIT, INACTIVE),
            (Client(ACK), state::TIME_WAIT, INACTIVE),
        ];
        follow(case, &mut balancer, installed.slots[0], &[&HANDSHAKE[..], &story].concat());
    }
}

#[test]
fn a_handshake_is_complete_only_when_the_client_has_answered_the_backend() {
    for case in TCP_CASES {
        let (mut balancer, installed) = case.balancer(1);
        let story = [
            (Client(SYN), state::SYN, INACTIVE),
            (Client(SYN), state::SYN, INACTIVE),
            (Client(ACK), state::SYN, INACTIVE),
            (Backend(SYN | ACK), state::SYN, INACTIVE),
            (Backend(SYN | ACK), state::SYN, INACTIVE),
            (Client(ACK | PSH), state::ESTABLISHED, ACTIVE),
        ];
        follow(case, &mut balancer, installed.slots[0], &story);
    }
}

#[test]
fn a_reset_only_shortens_the_time_that_a_connection_has_left() {
    for case in TCP_CASES {
        let (mut balancer, installed) = case.balancer(1);
        let story = [
            (Client(RST), state::CLOSED, INACTIVE),
            // Whoever goes on after a reset shows that it was forged (RFC 5961).
            (Client(ACK | PSH), state::ESTABLISHED, ACTIVE),
            (Backend(RST | ACK), state::CLOSED, INACTIVE),
            (Backend(ACK), state::ESTABLISHED, ACTIVE),
        ];
        follow(case, &mut balancer, installed.slots[0], &[&HANDSHAKE[..], &story].concat());
        assert!(CLOSED_TIMEOUT < ticks(60));
    }
}

#[test]
fn nothing_is_established_with_a_backend_that_has_never_answered() {
    for case in TCP_CASES {
        let (mut balancer, installed) = case.balancer(1);
        let story = [
            (Client(SYN), state::SYN, INACTIVE),
            (Client(ACK), state::SYN, INACTIVE),
            (Client(FIN | ACK), state::SYN, INACTIVE),
            (Client(RST), state::CLOSED, INACTIVE),
            (Client(ACK), state::CLOSED, INACTIVE),
        ];
        follow(case, &mut balancer, installed.slots[0], &story);
    }
}

#[test]
fn a_refused_handshake_is_closed() {
    for case in TCP_CASES {
        let (mut balancer, installed) = case.balancer(1);
        let story = [(HANDSHAKE[0]), (Backend(RST | ACK), state::CLOSED, INACTIVE)];
        follow(case, &mut balancer, installed.slots[0], &story);
    }
}

#[test]
fn a_datagrams_flow_is_active_once_the_backend_has_answered() {
    for case in CASES.into_iter().filter(|case| case.protocol == Protocol::Udp) {
        let (mut balancer, installed) = case.balancer(1);
        let story = [
            (Client(0), state::UDP_NEW, INACTIVE),
            (Client(0), state::UDP_NEW, INACTIVE),
            (Backend(0), state::UDP_SEEN, ACTIVE),
            (Client(0), state::UDP_SEEN, ACTIVE),
            (Backend(0), state::UDP_SEEN, ACTIVE),
        ];
        follow(case, &mut balancer, installed.slots[0], &story);
    }
}

/// Ends of a connection after which a SYN on the same ports is a new one.
const ENDS: [&[Segment]; 3] =
    [&[Client(FIN | ACK), Backend(FIN | ACK), Client(ACK)], &[Client(FIN | ACK)], &[Backend(RST)]];

#[test]
fn a_syn_on_a_connection_that_has_ended_opens_a_new_one_on_a_freshly_drawn_backend() {
    for case in TCP_CASES {
        for ends in ENDS {
            let (mut balancer, installed) = case.balancer(2);
            let first = case.establish(&mut balancer, case.client(1), case.vip());
            for segment in ends {
                balancer.receive(&match segment {
                    Client(tcp) => case.to_vip(case.client(1), case.vip(), *tcp),
                    Backend(tcp) => case.reply(first, case.client(1), *tcp),
                });
            }
            let before = balancer.entry();
            let ended = balancer.receive(&case.first());
            assert_eq!(ended.verdict, Redirected);
            let (_, second) = endpoints(&ended.frame);
            // It is the next one's turn.
            assert_ne!(first, second, "{case:?} after {ends:?}");
            let entry = balancer.entry();
            assert_eq!(entry.control.state(), state::SYN);
            assert_eq!(entry.backend, second);
            assert_ne!(entry.control, before.control);
            let gauges = installed.slots.iter().map(|slot| balancer.gauges(*slot));
            assert_eq!(gauges.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)), INACTIVE);
            balancer.assert_consistent();
        }
    }
}

#[test]
fn a_syn_on_an_open_connection_goes_to_its_backend_and_changes_nothing() {
    for case in TCP_CASES {
        let (mut balancer, _) = case.balancer(2);
        let backend = case.establish(&mut balancer, case.client(1), case.vip());
        let before = balancer.entry();
        for _ in 0..3 {
            let ended = balancer.receive(&case.first());
            assert_eq!(endpoints(&ended.frame).1, backend, "a challenge ACK is its to send");
        }
        assert_eq!(balancer.entry().control, before.control);
    }
}

#[test]
fn a_connection_whose_time_is_over_is_not_found_again() {
    for case in CASES {
        let mut listener = case.listener(2);
        let (mut balancer, installed) = Balancer::with(&listener);
        let first = case.establish(&mut balancer, case.client(1), case.vip());
        // No time can pass in a test: it is the service that goes, with all its time.
        listener.flags = 0;
        let ring = balancer.kernel.service(installed.service).ring;
        balancer.set_service(installed.service, &listener, ring);
        let answer = case.reply(first, case.client(1), ACK);
        assert_eq!(balancer.receive(&answer).verdict, PassNoConnection);
        listener.flags = SERVICE_PRESENT;
        balancer.set_service(installed.service, &listener, ring);
        assert_eq!(balancer.receive(&answer).verdict, Transmitted);
    }
}

#[test]
fn a_listener_that_adopts_takes_up_a_connection_in_the_middle() {
    for case in TCP_CASES {
        let mut listener = case.listener(4);
        listener.scheduler = scheduler::SOURCE_HASH;
        listener.flags = SERVICE_PRESENT | SERVICE_ADOPT;
        let (mut balancer, _) = Balancer::with(&listener);
        for refused in [RST, RST | ACK, SYN | ACK] {
            let packet = case.to_vip(case.client(1), case.vip(), refused);
            assert_eq!(balancer.receive(&packet).verdict, DropNoConnection);
        }
        let ended = balancer.receive(&case.next());
        assert_eq!(ended.verdict, Redirected);
        let entry = balancer.entry();
        // Where a SYN of the same client would have gone, too.
        let (mut other, _) = Balancer::with(&listener);
        assert_eq!(endpoints(&other.receive(&case.first()).frame).1, entry.backend);
        // Anybody may have sent it: only the backend's answer shows that there is a connection.
        balancer.receive(&case.next());
        assert_eq!(state::name(balancer.entry().control.state()), state::name(state::SYN));
        balancer.receive(&case.reply(entry.backend, case.client(1), ACK));
        balancer.receive(&case.next());
        assert_eq!(state::name(balancer.entry().control.state()), state::name(state::ESTABLISHED));
    }
}

#[test]
fn an_entry_names_who_talks_to_whom() {
    for case in CASES {
        let (mut balancer, installed) = case.balancer(1);
        case.establish(&mut balancer, case.client(1), case.vip());
        let entry = balancer.entry();
        assert_eq!(
            (entry.client, entry.vip, entry.backend),
            (case.client(1), case.vip(), case.backend(1))
        );
        assert_eq!((entry.service, entry.seen.slot()), (installed.service, installed.slots[0]));
        assert_eq!(entry.family, case.family);
    }
}

#[test]
fn timeouts_are_looked_up_by_state() {
    let timeouts = Timeouts::new(1, 2, 3, 4);
    let states = [state::ESTABLISHED, state::SYN, state::FIN, state::TIME_WAIT, state::CLOSED];
    assert_eq!(states.map(|state| timeouts.of(state)), [1, 2, 3, 4, CLOSED_TIMEOUT]);
    assert_eq!([state::UDP_NEW, state::UDP_SEEN].map(|state| timeouts.of(state)), [1, 1]);
}

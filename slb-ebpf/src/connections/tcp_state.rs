//! The states of a TCP connection as the balancer sees them pass by. A RST or FIN shortens a
//! timer, it never frees: a forged one ends nothing that goes on (RFC 5961 section 3).

use slb_common::connection::{flag, state};

/// TCP flags as they lie in the header's byte 13.
pub mod tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Refuses or aborts.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
}

/// Who sent a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The client.
    Client,
    /// The backend.
    Backend,
}

/// Flags and state that an entry has after a segment.
#[inline(always)]
pub const fn next(flags: u8, now: u8, sender: Sender, tcp: u8) -> (u8, u8) {
    if tcp & tcp::RST != 0 {
        return (flags, state::CLOSED);
    }
    // Only what comes from the backend shows that there is one: SYN-ACK, or an ACK for a
    // connection that was adopted in the middle.
    let flags = match sender {
        Sender::Client => flags,
        Sender::Backend => flags | flag::ANSWERED,
    };
    if tcp & tcp::SYN != 0 {
        // A SYN that repeats or answers the handshake; on any other state a challenge ACK
        // answers it, and nothing changes here.
        return match sender {
            Sender::Backend if now == state::CLOSED => (flags, state::SYN),
            _ => (flags, now),
        };
    }
    let flags = match sender {
        _ if tcp & tcp::FIN == 0 => flags,
        Sender::Client => flags | flag::CLIENT_FIN,
        Sender::Backend => flags | flag::BACKEND_FIN,
    };
    // A handshake is completed by the client, and nothing is established with nobody.
    if flags & flag::ANSWERED == 0 || (now == state::SYN && matches!(sender, Sender::Backend)) {
        return (flags, now);
    }
    (flags, open_state(flags))
}

/// The state of a connection whose handshake is complete.
const fn open_state(flags: u8) -> u8 {
    match flags & (flag::CLIENT_FIN | flag::BACKEND_FIN) {
        0 => state::ESTABLISHED,
        flag::CLIENT_FIN | flag::BACKEND_FIN => state::FIN,
        _ => state::TIME_WAIT,
    }
}

/// True if a SYN from the client on an entry in this state is a new connection on the same ports
/// rather than a repetition.
#[inline(always)]
pub const fn reopens(now: u8) -> bool {
    matches!(now, state::FIN | state::TIME_WAIT | state::CLOSED)
}

/// True if no connection sends these flags: none of the four, SYN with FIN or RST, FIN without
/// ACK (RFC 9293 section 3.10.7; the rest of it is the backend's to judge).
#[inline(always)]
pub const fn nonsense(tcp: u8) -> bool {
    let known = tcp & (tcp::FIN | tcp::SYN | tcp::RST | tcp::ACK);
    known == 0
        || known & (tcp::SYN | tcp::FIN) == tcp::SYN | tcp::FIN
        || known & (tcp::SYN | tcp::RST) == tcp::SYN | tcp::RST
        || known & (tcp::FIN | tcp::ACK | tcp::RST) == tcp::FIN
}

#[cfg(test)]
mod tests {
    use super::{Sender::*, tcp::*, *};

    fn run(segments: &[(Sender, u8)]) -> (u8, u8) {
        let mut entry = (0, state::SYN);
        for &(sender, flags) in segments {
            entry = next(entry.0, entry.1, sender, flags);
        }
        entry
    }

    const HANDSHAKE: [(Sender, u8); 2] = [(Backend, SYN | ACK), (Client, ACK)];

    fn after_handshake(segments: &[(Sender, u8)]) -> u8 {
        run(&[&HANDSHAKE, segments].concat()).1
    }

    #[test]
    fn the_clients_answer_to_the_syn_ack_establishes() {
        assert_eq!(run(&HANDSHAKE[..1]).1, state::SYN);
        assert_eq!(run(&HANDSHAKE).1, state::ESTABLISHED);
    }

    #[test]
    fn an_ack_before_the_backend_answered_does_not_establish() {
        assert_eq!(run(&[(Client, ACK)]).1, state::SYN);
    }

    #[test]
    fn one_fin_waits_and_two_make_time_wait_in_either_order() {
        assert_eq!(after_handshake(&[(Client, FIN | ACK)]), state::FIN);
        assert_eq!(after_handshake(&[(Client, FIN | ACK), (Client, FIN | ACK)]), state::FIN);
        let both = [(Client, FIN | ACK), (Backend, FIN | ACK)];
        assert_eq!(after_handshake(&both), state::TIME_WAIT);
        assert_eq!(after_handshake(&[both[1], both[0]]), state::TIME_WAIT);
        assert_eq!(after_handshake(&[both[0], both[1], (Client, ACK)]), state::TIME_WAIT);
    }

    #[test]
    fn data_goes_on_in_a_half_closed_connection() {
        assert_eq!(after_handshake(&[(Client, FIN | ACK), (Backend, ACK)]), state::FIN);
    }

    #[test]
    fn a_reset_closes_from_every_state() {
        assert_eq!(run(&[(Backend, RST | ACK)]).1, state::CLOSED);
        assert_eq!(after_handshake(&[(Client, RST)]), state::CLOSED);
        assert_eq!(after_handshake(&[(Client, FIN | ACK), (Backend, RST)]), state::CLOSED);
    }

    #[test]
    fn a_reset_before_any_answer_does_not_help_an_ack_to_establish() {
        assert_eq!(run(&[(Client, RST), (Client, ACK)]).1, state::CLOSED);
        assert_eq!(run(&[(Client, RST), (Backend, SYN | ACK)]).1, state::SYN);
    }

    #[test]
    fn a_connection_adopted_in_the_middle_is_established_by_both_sides() {
        assert_eq!(run(&[(Client, ACK), (Client, ACK)]).1, state::SYN);
        assert_eq!(run(&[(Client, ACK), (Backend, ACK), (Client, ACK)]).1, state::ESTABLISHED);
    }

    #[test]
    fn traffic_after_a_reset_shows_that_it_was_forged() {
        assert_eq!(after_handshake(&[(Client, RST), (Client, ACK)]), state::ESTABLISHED);
        assert_eq!(after_handshake(&[(Client, RST), (Backend, ACK)]), state::ESTABLISHED);
    }

    #[test]
    fn a_repeated_syn_changes_nothing_on_an_established_connection() {
        assert_eq!(after_handshake(&[(Client, SYN)]), state::ESTABLISHED);
    }

    #[test]
    fn only_closing_states_are_reopened_by_a_syn() {
        let reopened: Vec<u8> = (0..=15).filter(|&state| reopens(state)).collect();
        assert_eq!(reopened, [state::FIN, state::TIME_WAIT, state::CLOSED]);
    }

    #[test]
    fn flags_of_scanners_are_nonsense_and_those_of_connections_are_not() {
        const PSH: u8 = 0x08;
        const URG: u8 = 0x20;
        for flags in [0, PSH, URG, SYN | FIN, SYN | RST, FIN, FIN | PSH | URG, 0xff] {
            assert!(nonsense(flags), "{flags:#x}");
        }
        for flags in [SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, 0xc2] {
            assert!(!nonsense(flags), "{flags:#x}");
        }
    }
}

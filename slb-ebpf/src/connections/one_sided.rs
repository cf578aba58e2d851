//! The states of a connection of which only the client's direction passes by: in dr and tunnel the
//! backend answers the client directly.

use slb_common::connection::{Control, flag, state};

use super::tcp_state::tcp;

/// Ticks that a client must have been sending for before its UDP flow counts as answered.
const UDP_AGE: u32 = 8;
/// Packets before the one that makes it count as answered.
const UDP_PACKETS: u8 = 2;

/// The control word of an entry after a packet of the client; `age` is the ticks since the first.
#[inline(always)]
pub const fn after(control: Control, segment: u8, age: u32) -> Control {
    match control.state() {
        state::UDP_SEEN => control,
        state::UDP_NEW => udp(control, age),
        now => {
            let (flags, to) = next(control.flags(), now, segment);
            control.with(flags, to)
        }
    }
}

/// Nobody who only spoofs sources once keeps a place: what goes on for a while has been answered.
#[inline(always)]
const fn udp(control: Control, age: u32) -> Control {
    let count = control.flags() & flag::COUNT;
    if count < UDP_PACKETS {
        return control.with(count + 1, state::UDP_NEW);
    }
    control.with(count, if age < UDP_AGE { state::UDP_NEW } else { state::UDP_SEEN })
}

/// Flags and state after a segment. What a client acknowledges has been said to it; as in
/// [`super::tcp_state`], what comes after a RST shows that it was forged.
#[inline(always)]
const fn next(flags: u8, now: u8, segment: u8) -> (u8, u8) {
    if segment & tcp::RST != 0 {
        return (flags, state::CLOSED);
    }
    if segment & tcp::SYN != 0 {
        return (flags, now);
    }
    let closes = segment & tcp::FIN != 0;
    let flags = flags | flag::ANSWERED | if closes { flag::CLIENT_FIN } else { 0 };
    (flags, if flags & flag::CLIENT_FIN != 0 { state::FIN } else { state::ESTABLISHED })
}

#[cfg(test)]
mod tests {
    use super::{tcp::*, *};

    fn after_all(first: u8, packets: &[(u8, u32)]) -> u8 {
        let control = Control::new(7, 9, 0, first);
        let last = packets.iter().fold(control, |now, (segment, age)| after(now, *segment, *age));
        assert_eq!((last.tag(), last.generation()), (7, 9));
        last.state()
    }

    fn tcp_after(segments: &[u8]) -> u8 {
        let packets: Vec<_> = segments.iter().map(|segment| (*segment, 0)).collect();
        after_all(state::SYN, &packets)
    }

    #[test]
    fn the_clients_ack_establishes_and_a_repeated_syn_does_not() {
        assert_eq!(tcp_after(&[SYN]), state::SYN);
        assert_eq!(tcp_after(&[SYN, SYN]), state::SYN);
        assert_eq!(tcp_after(&[SYN, ACK]), state::ESTABLISHED);
        assert_eq!(tcp_after(&[SYN, ACK, SYN]), state::ESTABLISHED);
    }

    #[test]
    fn the_clients_fin_closes_and_what_it_acknowledges_later_opens_nothing() {
        assert_eq!(tcp_after(&[ACK, FIN | ACK]), state::FIN);
        assert_eq!(tcp_after(&[ACK, FIN | ACK, ACK]), state::FIN);
        assert_eq!(tcp_after(&[FIN | ACK]), state::FIN);
    }

    #[test]
    fn a_reset_closes_until_the_client_goes_on() {
        assert_eq!(tcp_after(&[ACK, RST]), state::CLOSED);
        assert_eq!(tcp_after(&[ACK, RST, ACK]), state::ESTABLISHED);
        assert_eq!(tcp_after(&[ACK, FIN | ACK, RST, ACK]), state::FIN);
    }

    #[test]
    fn a_udp_flow_counts_as_answered_with_its_third_packet_two_seconds_after_the_first() {
        let old = UDP_AGE;
        let age_of_2_s = slb_common::connection::ticks(2);
        assert_eq!(old, age_of_2_s);
        assert_eq!(after_all(state::UDP_NEW, &[(0, 0), (0, old)]), state::UDP_NEW);
        assert_eq!(after_all(state::UDP_NEW, &[(0, 0), (0, 1), (0, old - 1)]), state::UDP_NEW);
        assert_eq!(after_all(state::UDP_NEW, &[(0, 0), (0, 1), (0, old)]), state::UDP_SEEN);
        let many = [(0, 0); 20];
        assert_eq!(after_all(state::UDP_NEW, &many), state::UDP_NEW);
        assert_eq!(after_all(state::UDP_NEW, &[&many[..], &[(0, old)]].concat()), state::UDP_SEEN);
    }
}

//! Connections whose handshake with the client was made by cookie. What sequence numbers should be is
//! worked out here from what each side has said.

use std::net::SocketAddr;

use slb_common::{Answer, Verdict::*, connection::state, service::mode};
use slb_tests::{
    icmp::{Trouble, error, quote, segment},
    packets::{BACKEND_START, CLIENT_START, Packet, Transport, endpoints, flags},
};
use slb_userspace::config::model::Family;

use super::{
    balancer::{Balancer, ELSEWHERE, INTERFACE, OWN_MAC},
    cases::{CLIENT_MAC, Case, FRONT_MAC, assert_sent, router},
    cookies::{answer, balancer, client, of_buckets, spliced_modes, syn},
    full_nat,
    icmp_errors::least,
    listener::Listener,
    tcp_options::{toa, with_options},
};

/// What a backend gets of it: all but timestamps.
const CARRIED: [u8; 12] = [2, 4, 5, 0xb4, 4, 2, 1, 1, 1, 3, 3, 7];
/// The window scale of the backends here: 2 more than what clients are told.
const BACKEND_SCALE: u8 = 9;

/// A connection of the first client that has been opened by cookie.
pub(super) struct Spliced {
    case: Case,
    cookie: u32,
    /// Whom the backend talks to: the client, or the local endpoint in its place.
    peer: SocketAddr,
}
impl Spliced {
    /// Opens one: its backend has got the SYN.
    fn open(balancer: &mut Balancer, case: Case) -> Self {
        let cookie = answer(balancer, &syn(case)).header.sequence_number;
        let opened = balancer.receive(&client(case, cookie, flags::ACK));
        assert_eq!(opened.verdict, Redirected, "{case:?}");
        let (peer, _) = endpoints(&opened.frame);
        Self { case, cookie, peer }
    }

    /// Opens one whose backend has answered; the client knows.
    pub(super) fn answered(balancer: &mut Balancer, case: Case) -> Self {
        let spliced = Self::open(balancer, case);
        assert_eq!(balancer.receive(&spliced.syn_ack()).verdict, Transmitted, "{case:?}");
        spliced
    }

    fn syn_ack(&self) -> Packet {
        let options = [2, 4, 5, 0xb4, 4, 2, 1, 1, 1, 3, 3, BACKEND_SCALE];
        let packet =
            self.backend(flags::SYN | flags::ACK).numbered(BACKEND_START, CLIENT_START + 1);
        window(with_options(packet, &options), 64_000)
    }

    fn client(&self, tcp: u8) -> Packet {
        client(self.case, self.cookie, tcp)
    }

    fn backend(&self, tcp: u8) -> Packet {
        self.case.reply(self.case.backend(1), self.peer, tcp)
    }

    /// A client's packet as its backend gets it, the acknowledgement apart.
    fn to_backend(&self, packet: &Packet) -> Packet {
        full_nat::forwarded(packet, self.peer, self.case.backend(1))
    }

    /// A backend's packet as the client gets it, the sequence number apart.
    fn to_client(&self, packet: &Packet) -> Packet {
        full_nat::answered(packet, self.case.vip(), self.case.client(1))
    }

    /// An error about a reply, from a router to the VIP, and the same as the backend gets it.
    fn error_outside(&self, reply: [&Packet; 2], quoted: usize) -> [Packet; 2] {
        let ends = [self.case.vip(), self.case.backend(1)];
        let [came, left] = self.errors(reply, ends, quoted);
        let macs = (OWN_MAC, [2, 0, 0, 0, 1, 1]);
        [Packet { macs: (CLIENT_MAC, FRONT_MAC), ..came }, Packet { macs, ttl: 63, ..left }]
    }

    /// An error about the client's packet, from a router before the backend, and the same as the
    /// client gets it.
    fn error_inside(&self, request: [&Packet; 2], quoted: usize) -> [Packet; 2] {
        let ends = [self.peer, self.case.client(1)];
        let [came, left] = self.errors(request, ends, quoted);
        let macs = ([2, 0, 0, 0, 1, 1], OWN_MAC);
        [Packet { macs, ..came }, Packet { macs: (FRONT_MAC, CLIENT_MAC), ttl: 63, ..left }]
    }

    /// A router's errors to both ends, about the packet as either knows it.
    fn errors(&self, packets: [&Packet; 2], to: [SocketAddr; 2], quoted: usize) -> [Packet; 2] {
        [0, 1].map(|n| {
            let quote = quote(packets[n], quoted);
            error(router(self.case.family), to[n].ip(), Trouble::HostUnreachable, &quote)
        })
    }

    /// What is on a client's segment until its backend has said something.
    fn named(&self, mode: u8, packet: Packet) -> Packet {
        match mode {
            mode::FULL_NAT => with_options(packet, &toa(self.case.client(1))),
            _ => packet,
        }
    }
}

/// The same packet with another window.
fn window(packet: Packet, window: u16) -> Packet {
    Packet { window, ..packet }
}

#[test]
fn the_answer_to_a_cookie_reaches_a_backend_as_the_clients_syn() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let cookie = answer(&mut balancer, &syn(case)).header.sequence_number;
        let early = Packet { payload: b"with data".to_vec(), ..client(case, cookie, flags::ACK) };
        for ack in [early, client(case, cookie, flags::ACK | flags::PSH)] {
            let ended = balancer.receive(&window(ack.clone(), 500));
            let (peer, _) = endpoints(&ended.frame);
            let mss: [u8; 2] = match case.family {
                Family::V4 => [5, 0xb4],
                // The next below 1460 that a cookie carries over IPv6.
                Family::V6 => [5, 0xa0],
            };
            let mut options = CARRIED;
            options[2..4].copy_from_slice(&mss);
            let syn = Packet {
                payload: Vec::new(),
                ..case.to_vip(case.client(1), case.vip(), flags::SYN)
            };
            let syn = with_options(syn.numbered(CLIENT_START, 0), &options);
            // 500 in the client's scale of 7 is more than 16 bits take: 64 000 is not.
            let syn = window(syn, 64_000);
            assert_sent(&ended, &full_nat::forwarded(&syn, peer, case.backend(1)), ELSEWHERE);
            assert_eq!(balancer.entry().control.state(), state::SYN);
        }
    }
}

#[test]
fn a_client_whose_answer_to_a_cookie_was_lost_gets_in_by_its_window_probe() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let cookie = answer(&mut balancer, &syn(case)).header.sequence_number;
        let probe = client(case, cookie, flags::ACK).numbered(CLIENT_START, cookie.wrapping_add(1));
        let ended = balancer.receive(&probe);
        assert_eq!(ended.verdict, Redirected, "{case:?}");
        let header = segment(&ended.frame).header;
        assert!(header.syn && !header.ack);
        assert_eq!(header.sequence_number, CLIENT_START);
    }
}

#[test]
fn data_goes_both_ways_in_the_numbers_of_each_side() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let spliced = Spliced::open(&mut balancer, case);
        let cookie = spliced.cookie;
        // The SYN-ACK opens the client's window: 64 000 in a scale of 7.
        let update = Packet {
            transport: Transport::Tcp { flags: flags::ACK, options: Vec::new() },
            ..spliced.to_client(&spliced.syn_ack())
        };
        let update = window(update.numbered(cookie.wrapping_add(1), CLIENT_START + 1), 125 << 2);
        assert_sent(&balancer.receive(&spliced.syn_ack()), &update, INTERFACE);
        assert_eq!(balancer.entry().control.state(), state::SYN, "only the client completes it");

        let request = Packet { payload: b"request".to_vec(), ..spliced.client(flags::ACK) };
        let out = spliced.to_backend(&request).numbered(CLIENT_START + 1, BACKEND_START + 1);
        assert_sent(&balancer.receive(&request), &spliced.named(mode, out), ELSEWHERE);
        assert_eq!(balancer.entry().control.state(), state::ESTABLISHED);

        let response = Packet { payload: b"response".to_vec(), ..spliced.backend(flags::ACK) };
        let response = response.numbered(BACKEND_START + 1, CLIENT_START + 8);
        let back = spliced.to_client(&response).numbered(cookie.wrapping_add(1), CLIENT_START + 8);
        // 4096 in a scale of 9 is 16 384 in one of 7.
        assert_sent(&balancer.receive(&response), &window(back, 4096 << 2), INTERFACE);
        let large = window(response, 40_000);
        let back = spliced.to_client(&large).numbered(cookie.wrapping_add(1), CLIENT_START + 8);
        assert_sent(&balancer.receive(&large), &window(back, 0xffff), INTERFACE);

        // Bytes 100 to 200 of the response are there, and before them a hole.
        let numbers = |first: u32| {
            [first.wrapping_add(101), first.wrapping_add(201)].map(u32::to_be_bytes).concat()
        };
        let holes = |first| [vec![1, 1, 5, 10], numbers(first)].concat();
        let ack = spliced.client(flags::ACK).numbered(CLIENT_START + 8, cookie.wrapping_add(9));
        let out = spliced.to_backend(&ack).numbered(CLIENT_START + 8, BACKEND_START + 9);
        assert_sent(
            &balancer.receive(&with_options(ack, &holes(cookie))),
            &with_options(out, &holes(BACKEND_START)),
            ELSEWHERE,
        );
        let (end, acknowledged) = balancer.sequences();
        assert_eq!((end, acknowledged), (CLIENT_START + 8, cookie.wrapping_add(9)));
    }
}

/// Bytes that are quoted: up to the sequence number, what is acknowledged and not the checksum, up
/// to the checksum, everything.
fn quotes(case: Case) -> [usize; 4] {
    [0, 4, 10, 1000].map(|more| least(case) + more)
}

#[test]
fn an_icmp_error_speaks_of_a_spliced_connection_in_its_receivers_numbers() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let spliced = Spliced::answered(&mut balancer, case);
        let cookie = spliced.cookie;
        let request = Packet { payload: b"request".to_vec(), ..spliced.client(flags::ACK) };
        assert_eq!(balancer.receive(&request).verdict, Redirected);
        let (source, destination) = (spliced.peer, case.backend(1));
        let inside = Packet { source, destination, ..request.clone() };
        let inside = inside.numbered(CLIENT_START + 1, BACKEND_START + 1);
        for quoted in quotes(case) {
            let [came, left] = spliced.error_inside([&inside, &request], quoted);
            assert_sent(&balancer.receive(&came), &left, INTERFACE);
        }
        let response = Packet { payload: b"response".to_vec(), ..spliced.backend(flags::ACK) };
        let response = response.numbered(BACKEND_START + 1, CLIENT_START + 8);
        let (source, destination) = (case.vip(), case.client(1));
        let outside = Packet { source, destination, ..response.clone() };
        let outside = outside.numbered(cookie.wrapping_add(1), CLIENT_START + 8);
        for quoted in quotes(case) {
            let [came, left] = spliced.error_outside([&outside, &response], quoted);
            assert_sent(&balancer.receive(&came), &left, ELSEWHERE);
        }
    }
}

#[test]
fn an_icmp_error_about_the_syn_behind_a_cookie_quotes_a_number_that_the_client_has_sent() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let spliced = Spliced::open(&mut balancer, case);
        let (source, destination) = (spliced.peer, case.backend(1));
        let syn = case.to_vip(case.client(1), case.vip(), flags::SYN).numbered(CLIENT_START, 0);
        let inside = Packet { source, destination, ..syn.clone() };
        let known = syn.numbered(CLIENT_START + 1, spliced.cookie.wrapping_add(1));
        for quoted in quotes(case) {
            let [came, left] = spliced.error_inside([&inside, &known], quoted);
            assert_sent(&balancer.receive(&came), &left, INTERFACE);
        }
    }
}

#[test]
fn fins_and_resets_of_a_spliced_connection_are_believed_by_its_own_numbers() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let spliced = Spliced::answered(&mut balancer, case);
        balancer.receive(&spliced.client(flags::ACK));
        assert_eq!(balancer.entry().control.state(), state::ESTABLISHED);
        let forged = spliced.backend(flags::RST).numbered(BACKEND_START + 0x4000_0000, 0);
        balancer.receive(&forged);
        assert_eq!(balancer.entry().control.state(), state::ESTABLISHED);
        balancer.receive(&spliced.backend(flags::FIN | flags::ACK));
        assert_eq!(balancer.entry().control.state(), state::FIN);
        balancer.receive(&spliced.backend(flags::RST));
        assert_eq!(balancer.entry().control.state(), state::CLOSED);
        // Its ports may be used again without a cookie: no new place is taken.
        let again = syn(case).numbered(CLIENT_START + 77, 0);
        assert_eq!(balancer.receive(&again).verdict, Redirected);
        assert_eq!(balancer.entry().control.state(), state::SYN);
    }
}

#[test]
fn a_backend_that_does_not_answer_is_asked_again_by_whatever_its_client_sends() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let spliced = Spliced::open(&mut balancer, case);
        let probe = spliced.client(flags::ACK).numbered(CLIENT_START, spliced.cookie + 1);
        let data = Packet { payload: b"x".to_vec(), ..spliced.client(flags::ACK | flags::PSH) };
        for packet in
            [spliced.client(flags::ACK), probe, data, spliced.client(flags::FIN | flags::ACK)]
        {
            let ended = balancer.receive(&packet);
            let header = segment(&ended.frame).header;
            assert_eq!(ended.verdict, Redirected);
            assert!(header.syn && !header.ack && !header.fin, "{packet:?}");
            assert_eq!(header.sequence_number, CLIENT_START);
            assert_eq!(endpoints(&ended.frame), (spliced.peer, case.backend(1)));
        }
        assert_eq!(balancer.receive(&spliced.syn_ack()).verdict, Transmitted);
        let header = segment(&balancer.receive(&spliced.client(flags::ACK)).frame).header;
        assert_eq!((header.syn, header.acknowledgment_number), (false, BACKEND_START + 1));
    }
}

#[test]
fn a_backend_that_repeats_its_answer_gets_the_clients_in_its_place() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let spliced = Spliced::answered(&mut balancer, case);
        let ended = balancer.receive(&spliced.syn_ack());
        assert_eq!(ended.verdict, AnsweredHandshake);
        let ack = segment(&ended.frame);
        let (from, to) = spliced.syn_ack().macs;
        assert_eq!(ack.macs, (to, from));
        assert_eq!((ack.source, ack.destination), (spliced.peer, case.backend(1)));
        let header = &ack.header;
        assert!(header.ack && !header.syn && !header.rst && header.window_size > 0);
        assert_eq!(header.sequence_number, CLIENT_START + 1);
        assert_eq!(header.acknowledgment_number, BACKEND_START + 1);
        let expected = if mode == mode::FULL_NAT { toa(case.client(1)) } else { Vec::new() };
        assert_eq!(header.options.as_slice(), expected, "{case:?}");
    }
}

#[test]
fn a_refusal_reaches_the_client_at_the_number_that_it_expects() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let spliced = Spliced::open(&mut balancer, case);
        let refusal = spliced.backend(flags::RST | flags::ACK).numbered(0, CLIENT_START + 1);
        let told = spliced.to_client(&refusal);
        let told = told.numbered(spliced.cookie.wrapping_add(1), CLIENT_START + 1);
        assert_sent(&balancer.receive(&refusal), &told, INTERFACE);
        assert_eq!(balancer.entry().control.state(), state::CLOSED, "{case:?}");
    }
}

#[test]
fn a_backend_with_a_former_connection_of_the_ports_is_told_to_forget_it() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let spliced = Spliced::open(&mut balancer, case);
        let challenge = spliced.backend(flags::ACK).numbered(0x7777, 0x8888);
        let ended = balancer.receive(&challenge);
        assert_eq!((ended.verdict, ended.answer), (DropNoConnection, Some(Answer::Reset)));
        assert_eq!(segment(&ended.frame).header.sequence_number, 0x8888);
        assert_eq!(endpoints(&ended.frame), (spliced.peer, case.backend(1)));
        assert_eq!(balancer.entry().control.state(), state::SYN);
    }
}

#[test]
fn a_backend_that_answers_a_former_syn_of_the_ports_is_told_to_forget_it() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let spliced = Spliced::open(&mut balancer, case);
        // Of somebody whose half-open connection has given these ports up.
        let former = spliced.syn_ack().numbered(0x7777, 0x8888);
        let ended = balancer.receive(&former);
        assert_eq!((ended.verdict, ended.answer), (DropNoConnection, Some(Answer::Reset)));
        assert_eq!(segment(&ended.frame).header.sequence_number, 0x8888, "{case:?}");
        // The right one, once the backend has got the client's SYN again.
        let probe = client(case, spliced.cookie, flags::ACK);
        assert_eq!(balancer.receive(&probe).verdict, Redirected);
        let ended = balancer.receive(&spliced.syn_ack());
        assert_eq!(ended.verdict, Transmitted, "{case:?}");
        let header = segment(&ended.frame).header;
        assert_eq!(header.sequence_number, spliced.cookie.wrapping_add(1), "{case:?}");
    }
}

#[test]
fn a_client_that_has_proven_itself_keeps_its_place_beside_those_that_have_not() {
    for (case, mode) in spliced_modes() {
        // Eight places, which every client hashes to.
        let mut balancer = of_buckets(2, case, mode);
        let other = case.vip_number(2);
        balancer.listen(&Listener::new(other, case.protocol, &[case.backend(2)]));
        Spliced::open(&mut balancer, case);
        for number in 2..40 {
            let unproven = case.to_vip(case.client(number), other, flags::SYN);
            assert_eq!(balancer.receive(&unproven).verdict, Redirected, "{case:?} {number}");
        }
        let entries = balancer.entries();
        assert_eq!(entries.len(), 8);
        assert!(entries.iter().any(|entry| entry.client == case.client(1)), "{case:?}");
        balancer.assert_consistent();
    }
}

//! SYN cookies: what stands in the answer to a SYN, and which segments prove that they answer one.

use etherparse::TcpOptionElement::{
    self, MaximumSegmentSize, SelectiveAcknowledgementPermitted, WindowScale,
};
use slb_common::{
    Answer,
    Verdict::*,
    cookie::CookieKeys,
    service::{
        Limits, SERVICE_ADOPT, SERVICE_COOKIES_ALWAYS, SERVICE_COOKIES_AUTO, SERVICE_PRESENT,
        Service, mode,
    },
};
use slb_tests::{
    icmp::{Segment, segment},
    packets::{CLIENT_START, Packet, flags},
};
use slb_userspace::{config::model::Family, maps::table::tick};

use super::{
    balancer::Balancer,
    cases::{CLIENT_MAC, Case, FRONT_MAC, TCP_CASES},
    full_nat::local,
    listener::Listener,
    splicing::Spliced,
    tcp_options::with_options,
    tunnel,
};

/// What Linux sends in a SYN: MSS 1460, SACK permitted, timestamps, no-operation, window scale 7.
const LINUX: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7];

/// Both modes that translate sequence numbers, over both families.
pub(super) fn spliced_modes() -> impl Iterator<Item = (Case, u8)> {
    TCP_CASES.into_iter().flat_map(|case| [mode::NAT, mode::FULL_NAT].map(|mode| (case, mode)))
}

/// Both modes that cannot, likewise.
pub(super) fn challenged_modes() -> impl Iterator<Item = (Case, u8)> {
    TCP_CASES.into_iter().flat_map(|case| [mode::DIRECT, mode::TUNNEL].map(|mode| (case, mode)))
}

/// A listener whose SYNs are always answered.
pub(super) fn listener(case: Case, mode: u8) -> Listener {
    Listener { mode, flags: SERVICE_PRESENT | SERVICE_COOKIES_ALWAYS, ..case.listener(1) }
}

pub(super) fn balancer_with(case: Case, listener: &Listener) -> Balancer {
    set_up(Balancer::new(), case, listener)
}

/// One with tables of so many buckets.
pub(super) fn of_buckets(buckets: u32, case: Case, mode: u8) -> Balancer {
    set_up(Balancer::with_buckets(buckets), case, &listener(case, mode))
}

fn set_up(mut balancer: Balancer, case: Case, listener: &Listener) -> Balancer {
    balancer.listen(listener);
    balancer.kernel.set_locals(&[local(case, 1)]);
    tunnel::set_sources(&mut balancer);
    balancer.kernel.set_cookie_keys(&CookieKeys {
        current: 0,
        keys: [[1, 2], [3, 4]],
        secret: [0; 2],
    });
    balancer
}

pub(super) fn balancer(case: Case, mode: u8) -> Balancer {
    balancer_with(case, &listener(case, mode))
}

/// The first client's SYN.
pub(super) fn syn(case: Case) -> Packet {
    with_options(case.first(), &LINUX)
}

/// Has a SYN answered; returns the answer.
pub(super) fn answer(balancer: &mut Balancer, syn: &Packet) -> Segment {
    let ended = balancer.receive(syn);
    assert_eq!(ended.verdict, AnsweredCookie, "{syn:?}");
    segment(&ended.frame)
}

/// The client's segment of these flags, as it follows the cookie.
pub(super) fn client(case: Case, cookie: u32, tcp: u8) -> Packet {
    case.to_vip(case.client(1), case.vip(), tcp).numbered(CLIENT_START + 1, cookie.wrapping_add(1))
}

#[test]
fn a_syn_is_answered_by_a_cookie_that_leaves_nothing_behind() {
    for (case, mode) in spliced_modes() {
        let mut balancer = balancer(case, mode);
        let answer = answer(&mut balancer, &syn(case));
        assert_eq!(answer.macs, (FRONT_MAC, CLIENT_MAC));
        assert_eq!((answer.source, answer.destination), (case.vip(), case.client(1)));
        let header = &answer.header;
        assert!(header.syn && header.ack && !header.rst && !header.fin && !header.psh);
        assert_eq!(header.acknowledgment_number, CLIENT_START + 1);
        assert_eq!(header.window_size, 0, "no data before there is a backend for it");
        let mss = match (case.family, mode) {
            (Family::V4, mode::NAT) => 1460,
            (Family::V4, _) => 1452,
            (Family::V6, mode::NAT) => 1440,
            (Family::V6, _) => 1420,
        };
        let options = [MaximumSegmentSize(mss), SelectiveAcknowledgementPermitted, WindowScale(7)];
        assert_eq!(said(&answer), options, "{case:?}");
        assert!(balancer.entries().is_empty());
        let again = self::answer(&mut balancer, &syn(case));
        assert_eq!(again.header.sequence_number, header.sequence_number, "the same for the same");
    }
}

/// Options of a segment, no-operations left out.
fn said(segment: &Segment) -> Vec<TcpOptionElement> {
    let elements = segment.header.options_iterator().map(Result::unwrap);
    elements.filter(|element| *element != TcpOptionElement::Noop).collect()
}

#[test]
fn a_cookie_offers_what_the_syn_did_and_no_more() {
    for case in TCP_CASES {
        let mut balancer = balancer(case, mode::NAT);
        let mss = if case.family == Family::V4 { 1460 } else { 1440 };
        let answer = answer(&mut balancer, &case.first());
        assert_eq!(said(&answer), [MaximumSegmentSize(mss)]);
        let tagged = Packet { tags: vec![7], payload: b"early".to_vec(), ..syn(case) };
        let ended = balancer.receive(&tagged);
        assert_eq!(ended.verdict, AnsweredCookie);
        let header = segment(&ended.frame).header;
        assert_eq!(header.acknowledgment_number, CLIENT_START + 1, "the data comes once more");
        let mut narrow = listener(case, mode::NAT);
        narrow.mss = 1300;
        let mut balancer = balancer_with(case, &narrow);
        let answer = self::answer(&mut balancer, &syn(case));
        assert_eq!(said(&answer)[0], MaximumSegmentSize(1300));
    }
}

#[test]
fn what_proves_nothing_opens_nothing() {
    for (case, mode) in spliced_modes() {
        let mut adopting = listener(case, mode);
        adopting.flags |= SERVICE_ADOPT;
        let mut balancer = balancer_with(case, &adopting);
        let cookie = answer(&mut balancer, &syn(case)).header.sequence_number;
        let right = client(case, cookie, flags::ACK);
        let stranger = Packet { source: case.client(2), ..right.clone() };
        for wrong in [
            client(case, cookie.wrapping_add(1), flags::ACK),
            client(case, cookie ^ 2, flags::ACK),
            client(case, cookie ^ 1 << 31, flags::ACK),
            right.clone().numbered(CLIENT_START + 2, cookie.wrapping_add(1)),
            stranger,
        ] {
            let ended = balancer.receive(&wrong);
            assert_eq!((ended.verdict, ended.answer), (DropNoConnection, Some(Answer::Reset)));
        }
        assert!(balancer.entries().is_empty(), "{case:?}");
        assert_eq!(balancer.receive(&right).verdict, Redirected);
    }
}

#[test]
fn a_cookie_outlives_its_key_by_one_epoch() {
    for case in TCP_CASES {
        let mut balancer = balancer(case, mode::NAT);
        let cookie = answer(&mut balancer, &syn(case)).header.sequence_number;
        let mut keys = CookieKeys { current: 1, keys: [[1, 2], [5, 6]], secret: [0; 2] };
        balancer.kernel.set_cookie_keys(&keys);
        let other = answer(&mut balancer, &syn(case)).header.sequence_number;
        assert_ne!(other, cookie);
        assert_eq!(balancer.receive(&client(case, cookie, flags::ACK)).verdict, Redirected);
        balancer.cut_all();
        keys = CookieKeys { current: 0, keys: [[7, 8], [5, 6]], ..keys };
        balancer.kernel.set_cookie_keys(&keys);
        let late = balancer.receive(&client(case, cookie, flags::ACK));
        assert_eq!(late.verdict, DropNoConnection, "two epochs late");
        // Another node with the same keys takes what this one has given.
        let mut node = self::balancer(case, mode::NAT);
        node.kernel.set_cookie_keys(&keys);
        assert_eq!(node.receive(&client(case, other, flags::ACK)).verdict, Redirected);
    }
}

#[test]
fn a_cookie_of_a_changed_defence_counts_as_long_as_the_service_says() {
    for (case, mode) in spliced_modes() {
        // Off, or of a VIP that is not flooded.
        for flags in [SERVICE_PRESENT, SERVICE_PRESENT | SERVICE_COOKIES_AUTO] {
            let mut balancer = balancer(case, mode);
            let cookie = answer(&mut balancer, &syn(case)).header.sequence_number;
            let change = |balancer: &mut Balancer, answers_until| {
                let more = Service { answers_until, cookie_threshold: 99, ..Service::default() };
                let ring = balancer.kernel.service(0).ring;
                let listener = Listener { flags, more, ..listener(case, mode) };
                balancer.set_service(0, &listener, ring);
            };
            let ack = client(case, cookie, flags::ACK);
            change(&mut balancer, tick());
            let late = balancer.receive(&ack);
            assert_eq!((late.verdict, late.answer), (DropNoConnection, Some(Answer::Reset)));
            change(&mut balancer, tick() + 1000);
            let wrong = balancer.receive(&client(case, cookie ^ 1 << 31, flags::ACK));
            assert_eq!((wrong.verdict, wrong.answer), (DropNoConnection, Some(Answer::Reset)));
            assert_eq!(balancer.receive(&ack).verdict, Redirected, "{case:?}");
            let next = Packet { source: case.client(2), ..syn(case) };
            assert_eq!(balancer.receive(&next).verdict, Redirected, "no new cookie is given");
        }
    }
}

#[test]
fn a_proven_client_that_meets_a_limit_is_told_in_its_numbers_where_nobody_is_left() {
    for (case, mode) in spliced_modes() {
        let mut limited = listener(case, mode);
        limited.more = Service { limits: Limits { connections: 1, rate: 0 }, ..Service::default() };
        let mut balancer = balancer_with(case, &limited);
        Spliced::answered(&mut balancer, case);
        let second = Packet { source: case.client(2), ..syn(case) };
        let cookie = answer(&mut balancer, &second).header.sequence_number;
        let ack = Packet { source: case.client(2), ..client(case, cookie, flags::ACK) };
        assert_eq!(balancer.receive(&ack).verdict, DropConnectionLimit, "{case:?}");
        // Its backend goes before the client comes.
        let mut balancer = self::balancer(case, mode);
        let cookie = answer(&mut balancer, &syn(case)).header.sequence_number;
        let empty = balancer.ring(limited.scheduler, Vec::new());
        balancer.set_service(0, &listener(case, mode), empty);
        let ended = balancer.receive(&client(case, cookie, flags::ACK));
        assert_eq!((ended.verdict, ended.answer), (DropNoBackend, Some(Answer::Reset)));
        let header = segment(&ended.frame).header;
        assert_eq!(header.sequence_number, cookie.wrapping_add(1), "{case:?}");
    }
}

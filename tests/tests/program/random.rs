//! Two hundred thousand packets at random: bytes without sense, and sound packets with some of
//! their bits turned, cut off or drawn out.

use slb_common::{Answer, Verdict};
use slb_tests::packets::{Packet, flags};
use slb_userspace::config::model::Family;

use super::{
    balancer::{Action, Balancer, INTERFACE},
    cases::{CASES, Case},
};

/// xorshift64* (Vigna 2016): the same packets in every run.
pub(crate) struct Random(u64);

impl Random {
    /// Numbers that follow from `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// A packet of one of a few connections, in either direction.
fn sound(random: &mut Random) -> Packet {
    const FLAGS: [u8; 8] = [
        flags::SYN,
        flags::SYN,
        flags::SYN | flags::ACK,
        flags::ACK,
        flags::ACK | flags::PSH,
        flags::FIN | flags::ACK,
        flags::RST,
        flags::RST | flags::ACK,
    ];
    let case = CASES[random.below(4) as usize];
    let client = case.client(random.below(40) as u16);
    let tcp = FLAGS[random.below(8) as usize];
    let packet = match random.below(3) {
        0 => case.reply(case.backend(1 + random.below(2) as u8), client, tcp),
        _ => case.to_vip(client, case.vip(), tcp),
    };
    let tags = [vec![], vec![], vec![5], vec![6, 5]][random.below(4) as usize].clone();
    let extras = match (random.below(4), case.family) {
        (0, Family::V4) => vec![(0, vec![1; 4 * random.below(11) as usize])],
        (0, Family::V6) => vec![(60, vec![1; 6 + 8 * random.below(3) as usize])],
        _ => vec![],
    };
    let payload = vec![0x5a; random.below(50) as usize];
    Packet { tags, extras, payload, ttl: random.below(256) as u8, ..packet }
}

/// A frame without any sense, or one that has only a little less than it should.
fn frame(random: &mut Random) -> Vec<u8> {
    if random.below(5) == 0 {
        let length = 14 + random.below(120);
        return (0..length).map(|_| random.below(256) as u8).collect();
    }
    let packet = sound(random);
    let mut frame = packet.bytes();
    for _ in 0..random.below(4) {
        let place = random.below(frame.len() as u64) as usize;
        frame[place] ^= 1 << random.below(8);
    }
    // A wrong checksum would keep nearly all of them from the stages behind it.
    if packet.source.is_ipv4() && random.below(4) != 0 {
        mend(&mut frame, packet.network_at());
    }
    match random.below(6) {
        0 => frame.truncate(14 + random.below(frame.len() as u64 - 14) as usize),
        1 => frame.extend(vec![0; random.below(40) as usize]),
        _ => {}
    }
    frame
}

/// Makes an IPv4 header's checksum right if there is a header.
fn mend(frame: &mut [u8], at: usize) {
    if frame[at] >> 4 == 4
        && frame[at] & 15 >= 5
        && frame.len() >= at + usize::from(frame[at] & 15) * 4
    {
        slb_tests::packets::mend_header_checksum(frame, at);
    }
}

/// A program that balances all four cases.
fn balancer() -> Balancer {
    // So small that it is full at times.
    let mut balancer = Balancer::with_buckets(8);
    for case in CASES {
        let mut listener = Case::listener(case, 2);
        listener.backends[0].interface = INTERFACE;
        listener.backends[1].vlan = 7;
        balancer.listen(&listener);
    }
    balancer
}

#[test]
fn random_packets_are_each_counted_once_and_leave_the_tables_whole() {
    const PACKETS: u64 = 200_000;
    let mut balancer = balancer();
    let mut random = Random::new(0x0dd_ba11);
    let (before, answers) = (balancer.verdicts(), balancer.answers());
    let mut actions = [0_u64; 4];
    for number in 1..=PACKETS {
        let frame = frame(&mut random);
        let (action, out) = balancer.run(INTERFACE, &[], &frame).unwrap();
        actions[action as usize] += 1;
        assert!(out == frame || action != Action::Pass, "packet {number} was changed and passed");
        if number % 5000 == 0 {
            balancer.assert_consistent();
        }
    }
    let after = balancer.verdicts();
    let counters: Vec<u64> =
        after.iter().zip(before).map(|(after, before)| after - before).collect();
    let counted = |of: &dyn Fn(Verdict) -> bool| -> u64 {
        Verdict::ALL.iter().zip(&counters).filter(|(v, _)| of(**v)).map(|(_, count)| count).sum()
    };
    let answered = Answer::ALL.iter().zip(balancer.answers().into_iter().zip(answers));
    let answered = answered.filter(|(answer, _)| answer.sent());
    let answered: u64 = answered.map(|(_, (after, before))| after - before).sum();
    let by = |wanted: slb_common::Action| counted(&move |verdict| verdict.action() == wanted);
    assert_eq!(
        actions,
        [
            by(slb_common::Action::Drop) + by(slb_common::Action::Refuse) - answered,
            by(slb_common::Action::Pass),
            counted(&|verdict| verdict == Verdict::Transmitted) + answered,
            counted(&|verdict| verdict == Verdict::Redirected),
        ]
    );
    assert_eq!(actions.iter().sum::<u64>(), PACKETS);
    assert!(answered > 0);
    // Every stage was really reached.
    assert!(actions.iter().all(|count| *count > PACKETS / 50), "{actions:?}");
    for verdict in [Verdict::DropTableFull, Verdict::DropBadLength, Verdict::DropBadFlags] {
        assert!(counters[verdict.index() as usize] > 0, "{verdict:?} was never met");
    }
}

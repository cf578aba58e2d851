//! Several processors at once: what they take at the same time is never the same.

use std::{collections::HashSet, net::SocketAddr, thread};

use aya::programs::{TestRun, TestRunOptions};
use slb_common::Verdict;
use slb_tests::{packets::flags, table_lab::pin};

use super::{
    balancer::{Balancer, INTERFACE},
    cases::CASES,
    full_nat::{LARGE, listener, local},
};

/// Runs the program on frames, each list on a processor of its own, all at the same time.
fn receive_at_once(balancer: &mut Balancer, lists: &[Vec<Vec<u8>>]) {
    let program = balancer.object.program("slb").unwrap();
    let program = &*program;
    thread::scope(|scope| {
        for (processor, frames) in lists.iter().enumerate() {
            scope.spawn(move || {
                pin(processor).unwrap();
                for frame in frames {
                    // struct xdp_md: data, data_end, data_meta, ingress and queue, egress.
                    let context = [0, frame.len() as u32, 0, INTERFACE, 0, 0];
                    let context: Vec<u8> =
                        context.iter().flat_map(|word| word.to_ne_bytes()).collect();
                    let options = TestRunOptions {
                        data_in: Some(frame),
                        ctx_in: Some(&context),
                        repeat: 1,
                        ..TestRunOptions::default()
                    };
                    program.test_run(options).unwrap();
                }
            });
        }
    });
}

#[test]
fn two_processors_that_seek_the_last_free_ports_never_take_the_same_one() {
    /// Connections that each processor opens.
    const EACH: u16 = 900;
    for case in CASES {
        let mut balancer = Balancer::with_buckets(LARGE);
        balancer.listen(&listener(case, 1));
        balancer.kernel.set_locals(&[local(case, 1)]);
        // 2016 ports are free, so nearly all of them are wanted.
        let is_free = |port: u16| port.is_multiple_of(32);
        for port in (1024..=u16::MAX).filter(|port| !is_free(*port)) {
            balancer.take_local_port(case, (local(case, 1), port), case.backend(1));
        }
        let frames = |from: u16| -> Vec<Vec<u8>> {
            let first = |number| case.to_vip(case.client(number), case.vip(), flags::SYN);
            (from..from + EACH).map(|number| first(number).bytes()).collect()
        };
        let before = balancer.verdicts();
        receive_at_once(&mut balancer, &[frames(0), frames(EACH)]);
        let after = balancer.verdicts();
        let [opened, refused] = [Verdict::Redirected, Verdict::DropNoLocalPort]
            .map(|verdict| verdict.index() as usize)
            .map(|index| after[index] - before[index]);
        assert_eq!(opened + refused, 2 * u64::from(EACH), "{case:?}");
        assert!(opened > 1500, "{case:?}: {opened} opened");
        let entries = balancer.entries();
        let ports: HashSet<SocketAddr> = entries
            .iter()
            .map(|entry| {
                let port = u16::from_be_bytes(entry.ties.local_port());
                assert!(is_free(port), "{case:?}: {port} was somebody else's");
                (balancer.kernel.local(entry.ties.local_address()), port).into()
            })
            .collect();
        assert_eq!((entries.len() as u64, ports.len() as u64), (opened, opened), "{case:?}");
        balancer.assert_consistent();
    }
}

//! Two processors at once.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use aya::programs::{TestRun, TestRunOptions};
use slb_userspace::config::model::Protocol;

use super::{Balancer, CASES, all, listener, port};

#[test]
fn first_packets_of_one_client_on_two_processors_agree_on_one_backend() {
    const CLIENTS: u16 = 400;
    for case in CASES.into_iter().filter(|case| case.protocol == Protocol::Udp) {
        let (mut balancer, _) = Balancer::with(&listener(case, 4));
        let round = AtomicUsize::new(0);
        let program = &*balancer.object.program("slb").unwrap();
        std::thread::scope(|scope| {
            for thread in 0..2_u16 {
                let round = &round;
                scope.spawn(move || {
                    for client in 0..CLIENTS {
                        let frame = case.to_vip(port(case, client, thread), case.vip(), 0).bytes();
                        // Both begin at once.
                        round.fetch_add(1, SeqCst);
                        while round.load(SeqCst) < 2 * (usize::from(client) + 1) {
                            std::hint::spin_loop();
                        }
                        let options =
                            TestRunOptions { data_in: Some(&frame), ..TestRunOptions::default() };
                        program.test_run(options).unwrap();
                    }
                });
            }
        });
        let entries = balancer.entries();
        assert_eq!(entries.len(), 2 * usize::from(CLIENTS));
        for client in 0..CLIENTS {
            let own = entries.iter().filter(|one| one.client.ip() == case.client(client).ip());
            let backends: BTreeSet<_> = own.map(|entry| entry.backend).collect();
            assert_eq!(backends.len(), 1, "{case:?} client {client}: {backends:?}");
        }
        assert_eq!(all(case, &balancer).len(), usize::from(CLIENTS));
        balancer.assert_consistent();
    }
}

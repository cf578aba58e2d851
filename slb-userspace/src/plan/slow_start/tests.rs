//! Ramps by a clock of the test's own.

use super::*;
use crate::{
    config::model::Scheduler,
    plan::tests::world::{World, service},
};

const RAMP: Duration = Duration::from_secs(10);

/// Backends on ports 1 to 3, of which these are usable.
fn services(usable: &[u16]) -> Vec<DesiredService> {
    let backends: Vec<_> = (1..=3).map(|port| (port, 50, usable.contains(&port))).collect();
    vec![DesiredService { slow_start: RAMP, ..service(1, Scheduler::Wlc, &backends) }]
}

fn shares(services: &[DesiredService]) -> Vec<u16> {
    services[0].backends.iter().map(|backend| backend.share).collect()
}

/// A daemon that has found the first two backends usable, as time goes by.
struct Daemon {
    ramps: Ramps,
    now: Instant,
}

impl Daemon {
    fn start() -> Self {
        Self { ramps: Ramps::standing(&services(&[1, 2])), now: Instant::now() }
    }

    fn after_ms(&mut self, ms: u64, usable: &[u16]) -> Vec<u16> {
        self.now += Duration::from_millis(ms);
        let mut services = services(usable);
        self.ramps = self.ramps.follow(&mut services, self.now);
        shares(&services)
    }
}

#[test]
fn a_share_grows_in_a_straight_line_from_a_tenth_to_the_whole() {
    let at = |ms| share(Duration::from_millis(ms), RAMP);
    assert_eq!([0, 5_000, 9_999, 10_000, 20_000].map(at), [100, 550, 999, 1000, 1000]);
    assert_eq!(share(Duration::ZERO, Duration::ZERO), WHOLE);
    assert_eq!(share(Duration::from_secs(450), Duration::from_secs(900)), 550);
}

#[test]
fn what_a_daemon_finds_usable_at_its_start_does_not_ramp_and_what_comes_does() {
    let mut daemon = Daemon::start();
    assert_eq!(daemon.after_ms(0, &[1, 2]), [1000, 1000, 1000]);
    assert!(!daemon.ramps.ramping());
    assert_eq!(daemon.after_ms(5_000, &[1, 2, 3]), [1000, 1000, 100]);
    assert!(daemon.ramps.ramping());
    assert_eq!(daemon.after_ms(1_000, &[1, 2, 3]), [1000, 1000, 190]);
    assert_eq!(daemon.after_ms(8_000, &[1, 2, 3]), [1000, 1000, 910]);
    assert_eq!(daemon.after_ms(1_000, &[1, 2, 3]), [1000, 1000, 1000]);
    assert!(!daemon.ramps.ramping(), "no more steps once the whole weight is reached");
}

#[test]
fn a_backend_that_comes_back_begins_anew() {
    let mut daemon = Daemon::start();
    daemon.after_ms(5_000, &[2]);
    assert_eq!(daemon.after_ms(1_000, &[1, 2]), [100, 1000, 1000]);
    assert_eq!(daemon.after_ms(5_000, &[1, 2]), [550, 1000, 1000]);
    daemon.after_ms(1_000, &[2]);
    assert_eq!(daemon.after_ms(1_000, &[1, 2]), [100, 1000, 1000]);
}

#[test]
fn what_else_happens_between_two_steps_changes_no_share() {
    let mut daemon = Daemon::start();
    daemon.after_ms(0, &[1, 2, 3]);
    for _ in 0..8 {
        assert_eq!(daemon.after_ms(100, &[1, 2, 3]), [1000, 1000, 100]);
    }
    // One that comes meanwhile begins at once, with a tenth.
    daemon.after_ms(50, &[2, 3]);
    assert_eq!(daemon.after_ms(10, &[1, 2, 3]), [100, 1000, 100]);
    assert_eq!(daemon.after_ms(140, &[1, 2, 3]), [112, 1000, 190]);
}

#[test]
fn without_slow_start_a_backend_gets_its_whole_weight_at_once() {
    let mut wanted = services(&[1, 2, 3]);
    wanted[0].slow_start = Duration::ZERO;
    let ramps = Ramps::standing(&services(&[1])).follow(&mut wanted, Instant::now());
    assert_eq!(shares(&wanted), [1000; 3]);
    assert!(!ramps.ramping());
}

#[test]
fn a_step_of_a_least_connections_service_writes_the_weight_of_the_backend_that_ramps_alone() {
    let (mut world, mut daemon) = (World::default(), Daemon::start());
    let mut carry_out = |ms: u64| {
        let mut services = services(&[1, 2, 3]);
        daemon.now += Duration::from_millis(ms);
        daemon.ramps = daemon.ramps.follow(&mut services, daemon.now);
        let writes = world.carry_out(&services).operations.len();
        let weights: Vec<_> = world.memory.backends.values().map(|one| one.weight).collect();
        (writes, weights)
    };
    assert_eq!(carry_out(0).1, [5000, 5000, 500]);
    assert_eq!(carry_out(5_000), (1, vec![5000, 5000, 2750]));
    assert_eq!(carry_out(5_000), (1, vec![5000, 5000, 5000]));
}

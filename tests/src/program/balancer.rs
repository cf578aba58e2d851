//! The program under test: with maps of its own, set up by the daemon's operations, and run
//! on one packet at a time.

use std::{
    net::{IpAddr, SocketAddr},
    ops::{Deref, DerefMut},
    process::Command,
};

use crate::packets::{Mac, Packet};
use aya::programs::TestRunOptions;
use nix::sched::{CloneFlags, unshare};
use slb_common::{
    Answer, Verdict,
    next_hop::{HOP_VALID, NextHop},
    service::{
        BACKEND_DOWN, BACKEND_PRESENT, BACKEND_SAME_PORT, BACKEND_USABLE, Backend, Ring, Service,
        scheduler,
    },
};
use slb_userspace::{
    bpf::{self, Sizes},
    config::model::Family,
    maps::{
        Operation,
        operation::Addresses,
        table::Line,
        words::{number, words},
    },
    plan::entrances,
};

use super::{
    listener::{Installed, Listener, Target},
    loaded::Loaded,
};

/// The loopback of the test's namespace, by which packets come unless a test says otherwise.
pub const INTERFACE: u32 = 1;
/// An interface that does not exist: redirecting to it is not carried out by a test run.
pub const ELSEWHERE: u32 = 77;
/// The balancer's MAC address toward backends.
pub const OWN_MAC: Mac = [2, 0, 0, 0, 0, 0xbb];

/// What the kernel was told to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `XDP_DROP`.
    Drop,
    /// `XDP_PASS`.
    Pass,
    /// `XDP_TX`.
    Transmit,
    /// `XDP_REDIRECT`.
    Redirect,
}

/// How a packet ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What was counted.
    pub verdict: Verdict,
    /// What its sender was told, or would have been.
    pub answer: Option<Answer>,
    /// What the kernel was told.
    pub action: Action,
    /// What the frame had become.
    pub frame: Vec<u8>,
}

/// The program and its maps.
pub struct Balancer {
    /// There until it is handed on.
    loaded: Option<Loaded>,
    vips: Vec<IpAddr>,
    backends: Vec<IpAddr>,
    services: u16,
    slots: u32,
    places: u32,
}

impl Balancer {
    /// The program with room for everything.
    #[allow(clippy::new_without_default, reason = "it takes a namespace and the kernel's verifier")]
    pub fn new() -> Self {
        Self::with_buckets(1024)
    }

    /// The program with tables of so many buckets, in a namespace without any routes: the
    /// kernel knows no way to anybody there.
    pub fn with_buckets(buckets: u32) -> Self {
        Self::of(|| Loaded::take(buckets))
    }

    /// The program with maps of these sizes, which nobody gets after it, in such a namespace.
    pub fn with_sizes(sizes: Sizes) -> Self {
        Self::of(|| Loaded::of_sizes(sizes))
    }

    fn of(load: impl FnOnce() -> Loaded) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: the program needs root");
        let (vips, backends) = (Vec::new(), Vec::new());
        Self { loaded: Some(load()), vips, backends, services: 0, slots: 0, places: 0 }
    }

    /// The program with one listener.
    pub fn with(listener: &Listener) -> (Self, Installed) {
        let mut balancer = Self::new();
        let installed = balancer.listen(listener);
        (balancer, installed)
    }

    /// Sets up a listener, as the daemon would.
    pub fn listen(&mut self, listener: &Listener) -> Installed {
        let service = self.services;
        self.services += 1;
        let slots: Vec<u32> = (self.slots..).take(listener.backends.len()).collect();
        self.slots += slots.len() as u32;
        for (slot, target) in slots.iter().zip(&listener.backends) {
            self.set_backend(*slot, service, target);
        }
        // Schedulers by place find a backend as often as it weighs, comparing ones once.
        let times = |target: &Target| match listener.scheduler {
            scheduler::LEAST_CONNECTIONS | scheduler::SHORTEST_DELAY | scheduler::NEVER_QUEUE => 1,
            _ => usize::from(target.weight),
        };
        let places: Vec<u32> = slots
            .iter()
            .zip(&listener.backends)
            .flat_map(|(slot, target)| std::iter::repeat_n(*slot, times(target)))
            .collect();
        let ring = self.ring(listener.scheduler, places);
        self.set_service(service, listener, ring);
        self.vips.extend(listener.vips.iter().map(SocketAddr::ip));
        self.backends.extend(listener.backends.iter().map(|target| target.address.ip()));
        self.apply(Operation::SetAddresses {
            which: Addresses::Backends,
            addresses: self.backends.clone(),
        });
        self.apply(Operation::SetAddresses {
            which: Addresses::Vips,
            addresses: self.vips.clone(),
        });
        for vip in &listener.vips {
            let ports = (vip.port(), listener.last_port.unwrap_or(vip.port()));
            for from in entrances(vip.ip(), ports, listener.protocol) {
                self.apply(Operation::Lead { from, service });
            }
        }
        Installed { service, slots }
    }

    /// Fills a fresh stretch of the arena.
    pub fn ring(&mut self, scheduler: u8, places: Vec<u32>) -> Ring {
        let ring = Ring::new(self.places, places.len() as u32, scheduler);
        self.places += places.len() as u32;
        self.apply(Operation::FillRing { offset: ring.offset(), places });
        ring
    }

    /// Writes a service anew.
    pub fn set_service(&mut self, service: u16, listener: &Listener, ring: Ring) {
        let vip = listener.vips[0];
        let to = Service {
            ring,
            flags: listener.flags,
            port: vip.port(),
            protocol: number(listener.protocol),
            family: if vip.is_ipv4() { 4 } else { 6 },
            last_port: listener.last_port.unwrap_or(vip.port()),
            mode: listener.mode,
            mss: listener.mss,
            persistence: listener.persistence,
            timeouts: listener.timeouts,
            ..listener.more
        };
        self.apply(Operation::SetService { service, to });
    }

    /// Writes a backend slot anew.
    pub fn set_backend(&mut self, slot: u32, service: u16, target: &Target) {
        let hop = NextHop {
            destination: target.mac,
            vlan: target.vlan,
            source: OWN_MAC,
            mtu: target.mtu,
            interface: target.interface,
            state: HOP_VALID,
        };
        let backend = Backend {
            address: words(target.address.ip()),
            hop,
            port: target.address.port().to_be_bytes(),
            flags: BACKEND_PRESENT
                | if target.usable { BACKEND_USABLE } else { 0 }
                | if target.failed { BACKEND_DOWN } else { 0 }
                | if target.same_port { BACKEND_SAME_PORT } else { 0 },
            weight: target.weight,
            service,
            generation: target.generation,
            family: if target.address.is_ipv4() { 4 } else { 6 },
            limits: target.limits,
            ..Backend::default()
        };
        self.apply(Operation::SetBackend { slot, backend });
    }

    /// Says what a backend's way carries.
    pub fn set_backend_mtu(&mut self, slot: u32, mtu: u16) {
        let mut backend = self.kernel.backend(slot);
        backend.hop.mtu = mtu;
        self.apply(Operation::SetBackend { slot, backend });
    }

    /// Does one write.
    pub fn apply(&mut self, operation: Operation) {
        self.kernel.apply(&operation).unwrap();
    }

    /// Runs the program on a packet.
    pub fn receive(&mut self, packet: &Packet) -> Ended {
        self.receive_frame(&packet.bytes())
    }

    /// Runs the program on a frame that comes by [`INTERFACE`].
    pub fn receive_frame(&mut self, frame: &[u8]) -> Ended {
        self.receive_by(INTERFACE, frame)
    }

    /// Runs the program on a frame that comes by `interface`.
    pub fn receive_by(&mut self, interface: u32, frame: &[u8]) -> Ended {
        self.receive_behind(interface, &[], frame).unwrap()
    }

    /// Runs the program on a frame with metadata before it. Exactly one verdict is counted, and an
    /// answer only if there is one.
    pub fn receive_behind(
        &mut self,
        interface: u32,
        metadata: &[u8],
        frame: &[u8],
    ) -> Result<Ended, bpf::Error> {
        let before = (self.verdicts(), self.answers());
        let (action, frame) = self.run(interface, metadata, frame)?;
        let counted = grown(Verdict::ALL, &before.0, &self.verdicts());
        let answers = grown(Answer::ALL, &before.1, &self.answers());
        let [verdict] = counted[..] else { panic!("verdicts of one packet: {counted:?}") };
        assert!(answers.len() <= 1, "answers to one packet: {answers:?}");
        let answer = answers.first().copied();
        assert_eq!(expected_action(verdict, answer), action, "{verdict:?}, {answer:?}");
        Ok(Ended { verdict, answer, action, frame })
    }

    /// Runs the program on a frame with so many bytes of metadata before it.
    pub fn run(
        &mut self,
        interface: u32,
        metadata: &[u8],
        frame: &[u8],
    ) -> Result<(Action, Vec<u8>), bpf::Error> {
        let bytes = [metadata, frame].concat();
        // struct xdp_md: data, data_end, data_meta, ingress and queue, egress.
        let context = [metadata.len() as u32, bytes.len() as u32, 0, interface, 0, 0];
        let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut out = vec![0; bytes.len() + 64];
        let run = self.object.run(
            "slb",
            TestRunOptions {
                data_in: Some(&bytes),
                data_out: Some(&mut out),
                ctx_in: Some(&context),
                repeat: 1,
                ..TestRunOptions::default()
            },
        )?;
        out.truncate(run.data_size_out as usize);
        let action = match run.return_value {
            1 => Action::Drop,
            2 => Action::Pass,
            3 => Action::Transmit,
            4 => Action::Redirect,
            other => panic!("not an action that the program takes: {other}"),
        };
        Ok((action, out))
    }

    /// Counters of all verdicts, in their order.
    pub fn verdicts(&self) -> Vec<u64> {
        let read = |verdict: &Verdict| self.kernel.verdict(verdict.index()).unwrap();
        Verdict::ALL.iter().map(read).collect()
    }

    /// Counters of all answers, in their order.
    pub fn answers(&self) -> Vec<u64> {
        let read = |answer: &Answer| self.kernel.answer(answer.index()).unwrap();
        Answer::ALL.iter().map(read).collect()
    }

    /// Every entry in the tables.
    pub fn entries(&self) -> Vec<Line> {
        let table = &self.kernel.table;
        table.lines(Family::V4).chain(table.lines(Family::V6)).collect()
    }

    /// The only entry in the tables.
    pub fn entry(&self) -> Line {
        let entries = self.entries();
        let [entry] = entries[..] else { panic!("one entry was expected: {entries:#?}") };
        entry
    }

    /// What is known of where the only entry stands: the client's next number, the backend's.
    pub fn sequences(&self) -> (u32, u32) {
        let entry = self.entry();
        let known = self.kernel.table.sequences(entry.family, entry.slot);
        (known.end(), known.acknowledged())
    }

    /// The gauges of a slot: active, inactive.
    pub fn gauges(&self, slot: u32) -> (u64, u64) {
        let gauges = self.kernel.gauges(slot);
        (gauges.active, gauges.inactive())
    }
}

impl Deref for Balancer {
    type Target = Loaded;

    fn deref(&self) -> &Loaded {
        self.loaded.as_ref().expect("there until it is dropped")
    }
}

impl DerefMut for Balancer {
    fn deref_mut(&mut self) -> &mut Loaded {
        self.loaded.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Nobody knows in which state a test that failed leaves it.
        if !std::thread::panicking() {
            self.loaded.take().into_iter().for_each(Loaded::give_back);
        }
    }
}

/// What was counted between two readings of all counters.
fn grown<T: Copy>(all: &[T], before: &[u64], after: &[u64]) -> Vec<T> {
    let times = |(one, (before, after)): (&T, (&u64, &u64))| {
        std::iter::repeat_n(*one, (after - before) as usize)
    };
    all.iter().zip(before.iter().zip(after)).flat_map(times).collect()
}

/// What the kernel should be told for a verdict and the answer that was counted.
fn expected_action(verdict: Verdict, answer: Option<Answer>) -> Action {
    if verdict.action() != slb_common::Action::Refuse {
        assert_eq!(answer, None, "{verdict:?} is not answered");
    }
    match (verdict, verdict.action()) {
        (Verdict::Transmitted, _) => Action::Transmit,
        (Verdict::Redirected, _) => Action::Redirect,
        (_, slb_common::Action::Refuse) if answer.is_some_and(Answer::sent) => Action::Transmit,
        (_, slb_common::Action::Drop | slb_common::Action::Refuse) => Action::Drop,
        (_, slb_common::Action::Pass) => Action::Pass,
        (_, slb_common::Action::Answer) => Action::Transmit,
        (_, slb_common::Action::Forward) => unreachable!("there are two of them"),
        (_, slb_common::Action::HandOver) => unreachable!("never counted"),
    }
}

/// Runs iproute2 in the test's namespace.
pub fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {arguments}: {said}");
}

/// The index of an interface of the test's namespace.
pub fn interface(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

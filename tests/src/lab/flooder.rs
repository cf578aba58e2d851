//! A flood of SYNs from clients that do not exist, onto the balancer's third arm: the kernel runs a
//! program on frames as a driver would, 64 at a time, which makes each a SYN of another client and
//! sends it. What comes back is counted where it would leave for those clients.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf,
    programs::{TestRun, TestRunOptions, xdp::XdpMode},
};
use nix::net::if_::if_nametoindex;
use slb_common::bench::{Answered, SPOOFED_PAD, SPOOFED_WORDS, Spoofed};
use slb_userspace::{bpf::mapping::Mapping, objects};

use super::{Host, Lab, Namespace};
use crate::{
    bench_object::{live, mapping, program, received},
    packets::{Mac, Packet, Transport, flags},
};

/// Both ends of the wire, in the namespaces of the host outside and of the balancer.
const HERE: &str = "eth0";
const THERE: &str = "eth2";
/// What Linux offers in a SYN: MSS 1460, SACK, timestamps, window scale 7.
const OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 1, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

/// The programs of a flood, on the host outside of a lab.
pub struct Flooder {
    outside: Host,
    balancer: Namespace,
    ebpf: Ebpf,
    spoofed: Mapping<Spoofed>,
    answered: Mapping<Answered>,
    /// Addresses of both ends of the wire.
    macs: (Mac, Mac),
}

impl Flooder {
    /// Loads the programs, for a lab of three arms; from now on the host outside hears nothing of
    /// TCP.
    ///
    /// # Errors
    /// The kernel's.
    pub fn start(lab: &Lab) -> Result<Self> {
        let outside = lab.outside.clone().context("the lab has no third arm")?;
        let mut ebpf = Ebpf::load(objects::bench())?;
        for name in ["spoofed_v4", "spoofed_v6", "absorb", "bare_drop"] {
            program(&mut ebpf, name)?;
        }
        let absorb = program(&mut ebpf, "absorb")?;
        outside.namespace.run(|| absorb.attach(HERE, XdpMode::Driver))??;
        Ok(Self {
            macs: (outside.namespace.mac(HERE)?, lab.balancer.mac(THERE)?),
            balancer: lab.balancer.clone(),
            spoofed: mapping(&ebpf, "SPOOFED", 1)?,
            answered: mapping(&ebpf, "ANSWERED", 1)?,
            outside,
            ebpf,
        })
    }

    /// Sends SYNs, each of another client, until so many have come to the balancer. Those that the
    /// wire has no room for are made up for.
    ///
    /// # Errors
    /// The kernel's.
    pub fn send(&mut self, to: SocketAddr, syns: u32) -> Result<()> {
        let wanted = self.carried()? + u64::from(syns);
        loop {
            match wanted.saturating_sub(self.carried()?) {
                0 => return Ok(()),
                missing => self.make(to, u32::try_from(missing)?)?,
            }
        }
    }

    /// Makes so many SYNs and sends them.
    fn make(&mut self, to: SocketAddr, syns: u32) -> Result<()> {
        let frame = self.frame(to);
        let mut words = [0; SPOOFED_WORDS];
        let (fours, rest) = frame.as_chunks::<4>();
        assert!(rest.is_empty() && fours.len() <= words.len(), "a SYN of {} bytes", frame.len());
        words.iter_mut().zip(fours).for_each(|(word, four)| *word = u32::from_ne_bytes(*four));
        let made = self.spoofed.get(0).made;
        self.spoofed.set(0, &Spoofed { words, made });

        self.run(if to.is_ipv4() { "spoofed_v4" } else { "spoofed_v6" }, &frame, syns)
    }

    /// Makes as many frames as the kernel can in this time, and throws each away at once.
    ///
    /// # Errors
    /// The kernel's.
    pub fn waste(&mut self, to: SocketAddr, time: Duration) -> Result<()> {
        const AT_ONCE: u32 = 1_000_000;
        let (frame, begun) = (self.frame(to), Instant::now());
        while begun.elapsed() < time {
            self.run("bare_drop", &frame, AT_ONCE)?;
        }
        Ok(())
    }

    /// Runs a program on so many frames, as if each had come in on the wire.
    fn run(&mut self, name: &str, frame: &[u8], times: u32) -> Result<()> {
        let program = program(&mut self.ebpf, name)?;
        self.outside.namespace.run(|| -> Result<()> {
            let context = received(frame.len(), if_nametoindex(HERE)?);
            program.test_run(TestRunOptions {
                data_in: Some(frame),
                ctx_in: Some(&context),
                repeat: times,
                attrs: live(),
                ..TestRunOptions::default()
            })?;
            Ok(())
        })?
    }

    /// SYNs that the wire took so far: they come to the balancer, as the kernel counts them.
    fn carried(&self) -> Result<u64> {
        statistic(&self.outside.namespace, HERE, "_xdp_xmit")
    }

    /// What the balancer has sent back out of its third arm for which the wire had no room.
    ///
    /// # Errors
    /// There is no such count.
    pub fn lost_on_the_way_back(&self) -> Result<u64> {
        statistic(&self.balancer, THERE, "_xdp_tx_errors")
    }

    /// What came for the clients so far.
    pub fn answered(&self) -> Answered {
        self.answered.get(0)
    }

    /// The SYN that all others are made of.
    fn frame(&self, to: SocketAddr) -> Vec<u8> {
        let from = match to {
            SocketAddr::V4(_) => "32.0.0.1:1024",
            SocketAddr::V6(_) => "[2001:db8:f100:d::1]:1024",
        };
        let from = from.parse().expect("an address and a port");
        let transport = Transport::Tcp { flags: flags::SYN, options: OPTIONS.to_vec() };
        let macs = self.macs;
        let syn = Packet { macs, ..Packet::of(from, to, transport) }.numbered(0, 0);
        [vec![0; SPOOFED_PAD], syn.bytes()].concat()
    }
}

/// The sum over the queues of an interface of the statistic whose name ends so.
fn statistic(namespace: &Namespace, interface: &str, name: &str) -> Result<u64> {
    let shown = namespace.output("ethtool", &["-S", interface])?;
    let of_queue = |line: &str| {
        let (what, number) = line.trim().split_once(": ")?;
        if what.ends_with(name) { number.parse::<u64>().ok() } else { None }
    };
    let queues: Vec<u64> = shown.lines().filter_map(of_queue).collect();
    ensure!(!queues.is_empty(), "{interface} has no statistic {name}:\n{shown}");
    Ok(queues.iter().sum())
}

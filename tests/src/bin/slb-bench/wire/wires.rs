//! Two veth pairs in the namespace of the program under test: one by which packets come, one toward
//! its backends. A program on every end that receives counts what arrives.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use aya::programs::xdp::XdpMode;
use slb_common::{
    Verdict,
    bench::{HEAD_V4, Receiver, STAMP_WORD},
    service::mode,
};
use slb_tests::{
    bench_object::{live, received},
    program::{
        balancer::{interface, ip},
        listener::{Installed, Listener, Target},
    },
};

use super::busy;
use crate::{
    program::scene::Stage,
    stream::Stream,
    varied::{Sizes, Varied},
};

/// By which packets come; its other end is the client's.
const FRONT: [&str; 2] = ["front", "client"];
/// Toward backends.
const BACK: [&str; 2] = ["back", "backend"];
/// What a tunnel puts before the packet.
const OUTER_BYTES: u32 = 20;
/// After so long without any, no frame is on its way.
const ON_THE_WAY: Duration = Duration::from_millis(5);

/// A program of the benchmark's own in place of the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    Drop,
    Transmit,
    Redirect,
}

impl Bare {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Transmit => "transmit",
            Self::Redirect => "redirect",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Drop => "bare_drop",
            Self::Transmit => "bare_transmit",
            Self::Redirect => "bare_redirect",
        }
    }
}

/// What came of a run.
pub(super) struct Sent {
    /// Processor time of a packet.
    pub(super) busy_ns: f64,
    /// Frames on the far end.
    pub(super) arrived: u64,
}

/// The wires.
pub(super) struct Wires {
    /// Interface by which packets come.
    front: u32,
    back: u32,
}

impl Wires {
    /// Lays the wires in the namespace of the calling thread and leads the listener's backends
    /// there. Times of so many packets can be kept.
    pub(super) fn lay(
        stage: &mut Stage,
        listener: &Listener,
        installed: &Installed,
        packets: u32,
    ) -> Result<Self> {
        for [here, there] in [FRONT, BACK] {
            ip(&format!("link add {here} mtu 2000 type veth peer name {there} mtu 2000"));
            for end in [here, there] {
                // Without addresses of its own the kernel sends nothing there.
                ip(&format!("link set {end} addrgenmode none up"));
            }
        }
        let (front, back) = (interface(FRONT[0]), interface(BACK[0]));
        for (slot, target) in installed.slots.iter().zip(&listener.backends) {
            let target = Target { interface: back, ..*target };
            stage.balancer.set_backend(*slot, installed.service, &target);
        }
        let flows = stage.varied.all_flows();
        stage.varied =
            Varied::load(Sizes { latencies: packets, ..Sizes::flows(flows.len() as u32) })?;
        stage.varied.write_flows(0, &flows);
        let program = stage.varied.program("receive")?;
        // Packets only come by an interface that has a program; it sees none of them.
        for end in [FRONT[0], FRONT[1], BACK[1]] {
            program.attach(end, XdpMode::Driver).with_context(|| format!("attach to {end}"))?;
        }
        Ok(Self { front, back })
    }

    /// Sends so many packets, through the program under test if not through a bare one.
    pub(super) fn send(
        &self,
        stage: &mut Stage,
        bare: Option<Bare>,
        stream: &mut Stream,
        packets: u32,
    ) -> Result<Sent> {
        let receiver = Receiver { interface: self.back, ..Receiver::default() };
        stage.varied.set_receiver(&receiver);
        let before = busy::of_softirqs()?;
        let ended = stage.balancer.kernel.verdict(Verdict::Redirected.index())?;
        let own = match bare {
            Some(bare) => self.live(stage, bare.program(), stream, packets)?,
            None => {
                stage.varied.hand_to(stage.balancer.object.program("slb")?.fd()?)?;
                self.live(stage, stream.program, stream, packets)?
            }
        };
        let busy_ns = own + (busy::of_softirqs()? - before).as_nanos() as f64 / f64::from(packets);
        if bare.is_none() {
            let ended = stage.balancer.kernel.verdict(Verdict::Redirected.index())? - ended;
            ensure!(ended == u64::from(packets), "{ended} of {packets} were redirected");
        }
        Ok(Sent { busy_ns, arrived: arrived(stage, packets) })
    }

    /// Sends so many packets with the time in them; how long each was under way that arrived.
    pub(super) fn time(
        &self,
        stage: &mut Stage,
        bare: Option<Bare>,
        stream: &mut Stream,
        packets: u32,
        stamp_at: u32,
    ) -> Result<Vec<u64>> {
        match bare {
            Some(bare) => stage.varied.hand_to_own(bare.program())?,
            None => stage.varied.hand_to(stage.balancer.object.program("slb")?.fd()?)?,
        }
        let receiver = Receiver { interface: self.back, stamp_at, ..Receiver::default() };
        stage.varied.set_receiver(&receiver);
        self.live(stage, "stamped_v4", stream, packets)?;
        Ok(stage.varied.latencies().collect())
    }

    fn live(
        &self,
        stage: &mut Stage,
        program: &str,
        stream: &mut Stream,
        packets: u32,
    ) -> Result<f64> {
        let context = received(stream.frame.len(), self.front);
        stage.varied.run_with(program, stream, packets, Some(&context), live())
    }
}

/// Frames that have arrived, once no more are on their way.
fn arrived(stage: &Stage, packets: u32) -> u64 {
    let (mut before, mut now) = (u64::MAX, stage.varied.receiver().frames);
    while now != before && now < u64::from(packets) {
        thread::sleep(ON_THE_WAY);
        (before, now) = (now, stage.varied.receiver().frames);
    }
    now
}

/// Where the time of a stamped frame stands when it arrives.
pub(super) const fn stamp_at(forwarded: u8) -> u32 {
    let at = (HEAD_V4 + STAMP_WORD * 8) as u32;
    if forwarded == mode::TUNNEL { at + OUTER_BYTES } else { at }
}

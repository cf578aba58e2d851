//! Where packets are forwarded: a lab of two arms. The generator sends on the far end of the first
//! arm; on the far end of the second is counted what arrives, and goes no further.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use aya::programs::xdp::XdpMode;
use slb_tests::lab::{Arms, Families, Lab, Namespace};

use super::generator::{Sent, Stream};
use crate::varied::{Sizes, Varied};

/// The balancer's interface toward clients; its far end has the same name.
pub(super) const FRONT: &str = "eth0";
/// Toward backends, likewise.
pub(super) const BACK: &str = "eth1";
/// Where backends say that they live.
pub(super) const HEALTH_PORT: u16 = 9;
const BACKENDS: u8 = 4;
/// The first of the clients, of which there are as many as flows.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 0);
/// Bytes of a frame without its checksum: the shortest there is.
const BYTES: u32 = 60;
/// A flow of datagrams without answers counts as established after some, over two seconds.
const SETTLING: Duration = Duration::from_millis(2500);
/// Packets that open a flow and establish it.
const OPENING: u32 = 4;

/// The lab, its generator and its counter.
pub(super) struct Ground {
    pub(super) lab: Lab,
    /// The kernel answers for them.
    _health: Vec<TcpListener>,
    generator: Namespace,
    far: Namespace,
    counter: Counter,
    front_mac: String,
    /// Each contender's flows come from another port: nobody's state is in another's way.
    source_port: u16,
}

/// What counts on the far end.
enum Counter {
    /// A program, for which frames that a program has sent stay what they are.
    Program(Box<Varied>),
    /// The interface: there, the kernel drops at once what is for another host. For a program it
    /// would copy the packets first that its own stack has sent.
    Interface,
}

/// What to send through a contender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) to: (Ipv4Addr, u16),
    pub(super) flows: u32,
    pub(super) packets: u32,
}

/// What came of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forwarded {
    pub(super) sent: Sent,
    pub(super) arrived: u64,
}

impl Ground {
    /// Builds it.
    pub(super) fn lay() -> Result<Self> {
        let lab = Lab::builder()
            .arms(Arms::Two)
            .families(Families::V4)
            .clients(1)
            .backends(BACKENDS)
            .build()?;
        let switch = |number: u8| Namespace::open(&format!("{}-switch{number}", lab.name));
        let (generator, far) = (switch(0)?, switch(1)?);
        let way = format!("route add {CLIENTS}/16 via {}", lab.clients[0].v4);
        lab.balancer.ip_batch(&way)?;
        far.ip_batch(&format!("link set dev {BACK} xdp off"))?;
        let mut counter = Varied::load(Sizes::flows(1))?;
        let attach = || {
            counter.program("arrive")?.attach(BACK, XdpMode::Driver)?;
            anyhow::Ok(())
        };
        far.run(attach)?.context("attach the counter")?;
        let listen = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, HEALTH_PORT));
        let health = lab.backends.iter().map(|host| anyhow::Ok(host.namespace.run(listen)??));
        let health = health.collect::<Result<_>>()?;
        let front_mac = lab.balancer.link_address(FRONT)?;
        let counter = Counter::Program(Box::new(counter));
        let ground =
            Self { lab, _health: health, generator, far, counter, front_mac, source_port: 5000 };
        ground.meet()?;
        Ok(ground)
    }

    /// The balancer learns where everybody is.
    fn meet(&self) -> Result<()> {
        for host in self.lab.backends.iter().chain(&self.lab.clients) {
            self.lab.balancer.output("ping", &["-c", "1", "-W", "5", &host.v4.to_string()])?;
        }
        Ok(())
    }

    /// From now on it is the kernel's stack that forwards.
    pub(super) fn count_by_interface(&mut self) -> Result<()> {
        // Nobody answers for backends any more.
        for host in &self.lab.backends {
            let mac = host.namespace.link_address(FRONT)?;
            let known = format!("neigh replace {} lladdr {mac} dev {BACK} nud permanent", host.v4);
            self.lab.balancer.ip_batch(&known)?;
        }
        self.far.ip_batch(&format!("link set dev {BACK} nomaster"))?;
        self.counter = Counter::Interface;
        Ok(())
    }

    /// What has arrived so far.
    fn arrived(&self) -> Result<u64> {
        match &self.counter {
            Counter::Program(program) => Ok(program.receiver().frames),
            Counter::Interface => self.far.run(|| {
                let said = fs::read_to_string("/proc/thread-self/net/dev")?;
                received(&said, BACK).context("the interface's counters have another form")
            })?,
        }
    }

    /// Sends a load once its flows are established, and counts what arrives.
    pub(super) fn load(&mut self, load: Load, answered: bool) -> Result<Forwarded> {
        self.source_port += 1;
        let opening = load.flows * OPENING;
        self.send(load, opening)?;
        if answered {
            self.answer(load)?;
        }
        thread::sleep(SETTLING);
        self.send(load, opening)?;
        let before = self.arrived()?;
        let sent = self.send(load, load.packets)?;
        // Somebody may say something else meanwhile: asking for a neighbour, for a router.
        let arrived = (self.arrived()? - before).min(sent.packets);
        ensure!(arrived > 0, "no packet to port {} has arrived", load.to.1);
        Ok(Forwarded { sent, arrived })
    }

    fn send(&self, load: Load, packets: u32) -> Result<Sent> {
        let stream = Stream {
            interface: FRONT.to_owned(),
            packets,
            bytes: BYTES,
            to_mac: self.front_mac.clone(),
            to: load.to,
            from: (CLIENTS, self.source_port),
            flows: load.flows,
        };
        self.generator.run(|| stream.send())?
    }

    /// A datagram from every backend to every client: one of them is the answer.
    fn answer(&self, load: Load) -> Result<()> {
        for host in &self.lab.backends {
            host.namespace.run(|| {
                let socket = UdpSocket::bind((host.v4, load.to.1))?;
                for number in 0..load.flows {
                    let client = Ipv4Addr::from(u32::from(CLIENTS) + number);
                    socket.send_to(b"answer", (client, self.source_port))?;
                }
                anyhow::Ok(())
            })??;
        }
        Ok(())
    }
}

/// Packets that an interface has received, by `/proc/net/dev`: bytes come first.
fn received(said: &str, interface: &str) -> Option<u64> {
    let of_interface =
        |line: &str| line.trim().strip_prefix(interface)?.strip_prefix(':').map(str::to_owned);
    let counters = said.lines().find_map(of_interface)?;
    counters.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_the_second_of_an_interface_s_counters() {
        let said = "Inter-|   Receive                            |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n    \
            lo:       0       0    0    0    0     0          0         0        0       0\n  \
            eth1: 9000123  150002    0    0    0     0          0         0     1056      12\n \
            eth11:      7       8    0    0    0     0          0         0        0       0\n";
        assert_eq!(received(said, "eth1"), Some(150_002));
        assert_eq!(received(said, "eth0"), None);
    }
}

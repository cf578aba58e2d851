//! The kernel's packet generator: one interface told by files what to send.

use std::{
    fs,
    io::ErrorKind,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// Its files of the namespace that the calling thread is in; `/proc/net` would be the process's.
const DIRECTORY: &str = "/proc/thread-self/net/pktgen";
/// The kernel's thread that sends, on the first processor.
const THREAD: &str = "kpktgend_0";

/// What to send: UDP over IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// Interface to send by.
    pub(super) interface: String,
    pub(super) packets: u32,
    /// Bytes of a frame without its checksum.
    pub(super) bytes: u32,
    /// As Ethernet has it, in words: `02:00:00:00:00:01`.
    pub(super) to_mac: String,
    pub(super) to: (Ipv4Addr, u16),
    /// The first of as many addresses as there are flows, which take turns.
    pub(super) from: (Ipv4Addr, u16),
    pub(super) flows: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// From the first packet to the last.
    pub(super) microseconds: u64,
    pub(super) packets: u64,
    /// Packets that the interface did not take.
    pub(super) errors: u64,
}

impl Stream {
    /// Sends all of it from the namespace of the calling thread.
    ///
    /// # Errors
    /// There is no generator, or it does not do what it is told.
    pub(super) fn send(&self) -> Result<Sent> {
        ensure_there()?;
        write(THREAD, "rem_device_all")?;
        write(THREAD, &format!("add_device {}", self.interface))?;
        for command in self.commands() {
            write(&self.interface, &command)?;
        }
        // Returns when everything is sent.
        write("pgctrl", "start")?;
        let path = file(&self.interface);
        let said = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Sent::of(&said)
    }

    fn commands(&self) -> Vec<String> {
        let last = u32::from(self.from.0).saturating_add(self.flows.saturating_sub(1));
        vec![
            format!("count {}", self.packets),
            format!("pkt_size {}", self.bytes),
            "delay 0".to_owned(),
            // Each is made anew: others share one with the program that changes it.
            "clone_skb 0".to_owned(),
            format!("dst_mac {}", self.to_mac),
            format!("dst_min {}", self.to.0),
            format!("dst_max {}", self.to.0),
            format!("udp_dst_min {}", self.to.1),
            format!("udp_dst_max {}", self.to.1),
            format!("src_min {}", self.from.0),
            format!("src_max {}", Ipv4Addr::from(last)),
            format!("udp_src_min {}", self.from.1),
            format!("udp_src_max {}", self.from.1),
        ]
    }
}

impl Sent {
    /// Reads the file of an interface after a run.
    fn of(said: &str) -> Result<Self> {
        let (_, result) = said.rsplit_once("Result: ").context("pktgen tells no result")?;
        let Some(words) = result.strip_prefix("OK: ") else {
            bail!("pktgen: {}", result.lines().next().unwrap_or_default());
        };
        // OK: 1043215(c1043215+d0) usec, 150000 (60byte,0frags)
        let (time, rest) = words.split_once('(').context("pktgen tells no time")?;
        let (_, rest) = rest.split_once("usec, ").context("pktgen tells no unit of time")?;
        let (packets, _) = rest.split_once(' ').context("pktgen tells no count")?;
        let errors = rest.rsplit_once("errors: ").context("pktgen tells no errors")?.1;
        Ok(Self {
            microseconds: time.trim().parse()?,
            packets: packets.parse()?,
            errors: errors.lines().next().unwrap_or_default().trim().parse()?,
        })
    }
}

/// Makes sure of the generator: a module of the kernel, which not every kernel has.
fn ensure_there() -> Result<()> {
    if Path::new(DIRECTORY).exists() {
        return Ok(());
    }
    let loaded = Command::new("modprobe").arg("pktgen").output();
    ensure!(
        loaded.is_ok() && Path::new(DIRECTORY).exists(),
        "this kernel has no pktgen\nhint: without --iface a virtual machine with another kernel is \
         used, and no interface of this machine"
    );
    Ok(())
}

fn write(name: &str, command: &str) -> Result<()> {
    let path = file(name);
    match fs::write(&path, format!("{command}\n")) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("there is no interface {name} for pktgen")
        }
        other => other.with_context(|| format!("tell {}: {command}", path.display())),
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Params: count 150000  min_pkt_size: 60  max_pkt_size: 60\n\
        \x20    frags: 0  delay: 0  clone_skb: 0  ifname: eth0\n\
        Current:\n\
        \x20    pkts-sofar: 150000  errors: 3\n\
        \x20    started: 5033012us  stopped: 6076227us idle: 0us\n\
        Result: OK: 1043215(c1043200+d15) usec, 150000 (60byte,0frags)\n\
        \x20 143786pps 69Mb/sec (69017280bps) errors: 3\n";

    #[test]
    fn the_result_is_read_from_the_interface_s_file() {
        let sent = Sent::of(SAID).unwrap();
        assert_eq!(sent, Sent { microseconds: 1_043_215, packets: 150_000, errors: 3 });
    }

    #[test]
    fn a_run_that_did_not_take_place_is_an_error() {
        assert!(Sent::of("Params: count 0\nResult: Idle\n").is_err());
        assert!(Sent::of("Result: OK: add_device=eth0\n").is_err());
        assert!(Sent::of("").is_err());
    }

    #[test]
    fn as_many_sources_take_turns_as_there_are_flows() {
        let stream = Stream {
            interface: "eth0".into(),
            packets: 5,
            bytes: 60,
            to_mac: "02:00:00:00:00:01".into(),
            to: (Ipv4Addr::new(10, 0, 0, 100), 80),
            from: (Ipv4Addr::new(10, 8, 0, 0), 5000),
            flows: 1000,
        };
        let commands = stream.commands();
        for wanted in ["src_min 10.8.0.0", "src_max 10.8.3.231", "udp_src_min 5000", "count 5"] {
            assert!(commands.iter().any(|command| command == wanted), "{commands:?}");
        }
        let one = Stream { flows: 1, ..stream }.commands();
        assert!(one.iter().any(|command| command == "src_max 10.8.0.0"), "{one:?}");
    }
}

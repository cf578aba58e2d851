//! What leaves the balancer, captured by tcpdump at clients and backends and judged by scapy and
//! tcpdump, which know nothing of it. A lab's wires have no offloads: every checksum is in its frame.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use slb_tests::lab::{Host, Load, Namespace, ask};
use socket2::SockRef;

use crate::{
    PATIENCE,
    ground::{Ground, LISTENERS, VIPS},
    seen,
};

/// Of each of these, something has to have left the balancer.
const KINDS: [&str; 26] = [
    // nat, dr and fullnat: handshakes, ends, resets by the balancer, and data.
    "IP/TCP/S",
    "IP/TCP/F",
    "IP/TCP/R",
    "IP/TCP",
    "IP/TCP/TOA",
    "IP/UDP",
    "IPv6/TCP/S",
    "IPv6/TCP/F",
    "IPv6/TCP/R",
    "IPv6/TCP",
    "IPv6/TCP/TOA",
    "IPv6/UDP",
    // Tunnels.
    "IP/IP/TCP/S",
    "IP/IP/TCP/F",
    "IP/IP/UDP",
    "IP/IPv6/TCP/S",
    "IP/IPv6/TCP/F",
    "IP/IPv6/UDP",
    "IPv6/IP/TCP/S",
    "IPv6/IP/TCP/F",
    "IPv6/IP/UDP",
    "IPv6/IPv6/TCP/S",
    "IPv6/IPv6/TCP/F",
    "IPv6/IPv6/UDP",
    // Answers of its own.
    "IP/ICMP",
    "IPv6/ICMPv6TimeExceeded",
];

#[test]
fn every_frame_that_leaves_the_balancer_is_sound_to_scapy_and_tcpdump() -> Result<()> {
    let mut ground = Ground::start()?;
    let captures: Vec<Capture> =
        ground.hosts().map(|host| Capture::start(&ground, host)).collect::<Result<_>>()?;
    for (listener, vip) in LISTENERS.iter().flat_map(|one| VIPS.map(|vip| (one, vip))) {
        for &question in listener.questions() {
            let at = SocketAddr::new(vip, listener.port);
            let answers = ask(ground.client(), at, question, Load::concurrent(40, 8))?;
            ensure!(answers.errors.is_empty(), "{at} {question:?}: {answers}");
        }
    }
    for vip in VIPS {
        answers_of_its_own(ground.client(), vip)?;
    }
    ground.kill_all();
    ground.slbd.wait_for_status("no backend is left", PATIENCE, |status| {
        seen::backends(status).all(|one| one["health"] == "unhealthy")
    })?;
    for (listener, vip) in LISTENERS.iter().flat_map(|one| VIPS.map(|vip| (one, vip))) {
        let question = listener.questions()[0];
        let load = Load::sequential(1).patience(Duration::from_secs(1));
        let answers = ask(ground.client(), (vip, listener.port).into(), question, load)?;
        ensure!(answers.answered() == 0, "{} answers without a backend", listener.port);
    }

    let files: Vec<PathBuf> = captures.into_iter().map(Capture::stop).collect::<Result<_>>()?;
    let mut wrong = Vec::new();
    for file in &files {
        let arguments = ["-n", "-vv", "-r"];
        let output = Command::new("tcpdump").args(arguments).arg(file).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(text.lines().count() > 10, "nothing was captured in {}", file.display());
        let signs = [" bad ", "[bad ", "incorrect", "truncated"];
        let bad = |line: &&str| signs.iter().any(|sign| line.contains(sign));
        wrong.extend(text.lines().filter(bad).map(str::to_owned));
    }
    // Debian's, which has Debian's modules; another may come before it on the path.
    let output = Command::new("/usr/bin/python3")
        .args(["-c", include_str!("judge.py"), &ground.balancer_mac()?])
        .args(&files)
        .output()
        .context("python3 (Debian: python3-scapy; `cargo xtask setup` installs it)")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "scapy (Debian: python3-scapy): {errors}");
    let kinds: BTreeMap<&str, u64> = said
        .lines()
        .filter_map(|line| line.strip_prefix("seen: ")?.rsplit_once(' '))
        .filter_map(|(kind, count)| Some((kind, count.parse().ok()?)))
        .collect();
    wrong.extend(said.lines().filter(|line| !line.starts_with("seen: ")).map(str::to_owned));
    ensure!(wrong.is_empty(), "bad frames:\n{}", wrong.join("\n"));
    let missing: Vec<_> = KINDS.iter().filter(|kind| !kinds.contains_key(*kind)).collect();
    ensure!(missing.is_empty(), "no {missing:?} among {kinds:#?}");
    Ok(())
}

/// Has the balancer answer time exceeded.
fn answers_of_its_own(client: &Namespace, vip: IpAddr) -> Result<()> {
    let any = if vip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    for listener in LISTENERS.iter().filter(|one| one.protocol == "udp") {
        let socket = client.run(|| UdpSocket::bind(any))??;
        let raw = SockRef::from(&socket);
        if vip.is_ipv4() { raw.set_ttl_v4(1) } else { raw.set_unicast_hops_v6(1) }?;
        socket.send_to(b"too far", (vip, listener.port))?;
    }
    Ok(())
}

/// tcpdump on a host's interface.
struct Capture {
    tcpdump: Child,
    file: PathBuf,
}

impl Capture {
    fn start(ground: &Ground, host: &Host) -> Result<Self> {
        let file = ground.work_dir().join(format!("{}.pcap", host.name));
        let mut tcpdump = host
            .namespace
            .command("tcpdump")
            .args(["-i", "eth0", "-U", "-Z", "root", "-w"])
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .context("tcpdump")?;
        let said = tcpdump.stderr.take().context("it has an error output")?;
        let mut line = String::new();
        let mut lines = BufReader::new(said);
        while !line.contains("listening on") {
            line.clear();
            ensure!(lines.read_line(&mut line)? > 0, "tcpdump does not listen");
        }
        // It goes on writing there when it ends.
        thread::spawn(move || lines.lines().count());
        Ok(Self { tcpdump, file })
    }

    /// What it captured, all of it.
    fn stop(mut self) -> Result<PathBuf> {
        // It reads what waits in its buffer at the latest after a second.
        thread::sleep(Duration::from_millis(1500));
        let id = nix::unistd::Pid::from_raw(self.tcpdump.id().cast_signed());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT)?;
        self.tcpdump.wait()?;
        Ok(self.file.clone())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
    }
}

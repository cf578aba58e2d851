//! A backend with a cgroup of its own, and unchanged servers in it: Python and Debian's nginx.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use slb_tests::lab::{Families, Host, Lab, binary};

use super::client::{Client, MAC};
use crate::scene::{PATIENCE, within};

/// Whose options are believed, and a sender in each.
pub(super) const BELIEVED: [(&str, IpAddr); 2] = [
    ("100.64.0.0/10", IpAddr::V4(Ipv4Addr::new(100, 64, 0, 7))),
    ("fd64::/64", IpAddr::V6(Ipv6Addr::new(0xfd64, 0, 0, 0, 0, 0, 0, 7))),
];
/// Senders in none of them.
pub(super) const STRANGERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 1, 77)),
    IpAddr::V6(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 0x77)),
];

/// Says of each connection what `accept` returned, what `getpeername` returns then and what after
/// the first data.
const SERVER: &str = "
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
listener = socket.socket(family, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if sys.argv[3] == 'v6only':
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen(16)
def show(address):
    return '%s %d' % address[:2]
while True:
    connection, accepted = listener.accept()
    try:
        before = connection.getpeername()
        with open(sys.argv[4], 'a') as file:
            file.write('.')
        connection.settimeout(5)
        if connection.recv(1000) == b'again':
            connection.recv(1000)
        after = connection.getpeername()
        said = '\\n'.join([show(accepted), show(before), show(after)])
        connection.sendall(said.encode())
    except OSError as error:
        print(error, file=sys.stderr)
    connection.close()
";

/// Says of each datagram where it came from.
const UDP_SERVER: &str = "
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
server = socket.socket(family, socket.SOCK_DGRAM)
if family == socket.AF_INET6:
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
server.bind((sys.argv[1], int(sys.argv[2])))
while True:
    data, peer = server.recvfrom(1000)
    server.sendto(('%s %d' % peer[:2]).encode(), peer)
";

/// The network, the backend's cgroup, and what runs in it.
pub(super) struct Backend {
    pub(super) lab: Lab,
    pub(super) cgroup: PathBuf,
    servers: Vec<Child>,
}

impl Backend {
    /// A backend whose way to the clients, and to everything, leads by the balancer. Nothing is
    /// attached.
    pub(super) fn behind_the_balancer() -> Result<Self> {
        let lab = Lab::builder().backends(1).families(Families::Both).build()?;
        let cgroup = cgroup_root()?.join(&lab.name);
        fs::create_dir(&cgroup).with_context(|| cgroup.display().to_string())?;
        Ok(Self { lab, cgroup, servers: Vec::new() })
    }

    /// A backend for clients of raw frames that are on its own wire, with a balancer's addresses or
    /// strangers'.
    pub(super) fn new() -> Result<Self> {
        let backend = Self::behind_the_balancer()?;
        let mut lines = Vec::new();
        for (network, address) in BELIEVED {
            lines.push(format!("route add {network} dev eth0"));
            lines.push(neighbour(address));
        }
        lines.extend(STRANGERS.map(neighbour));
        backend.host().namespace.ip_batch(&lines.join("\n"))?;
        Ok(backend)
    }

    pub(super) fn host(&self) -> &Host {
        &self.lab.backends[0]
    }

    /// Starts the Python server in the backend's cgroup.
    pub(super) fn python(&mut self, address: &str, port: u16, only: &str) -> Result<()> {
        let file = self.accepted_file(port).display().to_string();
        self.start("python3", &["-u", "-c", SERVER, address, &port.to_string(), only, &file])?;
        self.wait_for(port)?;
        // The connection that waited for it.
        self.wait_for_accepted(port, 1)
    }

    /// Starts the Python server of datagrams in the backend's cgroup.
    pub(super) fn python_udp(&mut self, address: &str, port: u16) -> Result<()> {
        self.start("python3", &["-u", "-c", UDP_SERVER, address, &port.to_string()])
    }

    /// Connections that the Python server has accepted and asked for their peer.
    pub(super) fn accepted(&self, port: u16) -> Result<u64> {
        Ok(fs::metadata(self.accepted_file(port))?.len())
    }

    pub(super) fn wait_for_accepted(&self, port: u16, count: u64) -> Result<()> {
        within(PATIENCE, || {
            ensure!(self.accepted(port)? == count, "not accepted");
            Ok(())
        })
    }

    fn accepted_file(&self, port: u16) -> PathBuf {
        self.lab.work_dir().join(format!("accepted-{port}"))
    }

    /// Starts nginx in the backend's cgroup; it answers what it takes for the client.
    pub(super) fn nginx(&mut self, listen: &str, port: u16) -> Result<()> {
        let directory = self.lab.work_dir();
        let here = directory.display();
        let configuration = format!(
            "daemon off; master_process off; pid {here}/nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
             log_format peer '$remote_addr:$remote_port';\n\
             access_log {here}/access.log peer;\n\
             client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;\n\
             fastcgi_temp_path {here}/fastcgi; uwsgi_temp_path {here}/uwsgi;\n\
             scgi_temp_path {here}/scgi;\n\
             server {{ {listen} location / {{ return 200 '$remote_addr $remote_port'; }} }}\n\
             }}\n"
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, configuration)?;
        let file = file.display().to_string();
        self.start("nginx", &["-e", "stderr", "-p", &here.to_string(), "-c", &file])
            .context("nginx (Debian: nginx; `cargo xtask setup` installs it)")?;
        self.wait_for(port)
    }

    /// The lines of nginx's access log, once there are so many.
    pub(super) fn nginx_log(&self, lines: usize) -> Result<Vec<String>> {
        let path = self.lab.work_dir().join("access.log");
        within(PATIENCE, || {
            let log: Vec<String> = fs::read_to_string(&path)?.lines().map(str::to_owned).collect();
            ensure!(log.len() >= lines, "{} lines of {lines}", log.len());
            Ok(log)
        })
    }

    /// Runs `slb toa` with this backend's pins.
    pub(super) fn slb_toa(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary("slb")?);
        command.arg("toa").args(arguments).arg("--pin-dir").arg(self.pin_dir());
        Ok(command.output()?)
    }

    /// `slb toa attach` as the tests need it.
    pub(super) fn attach(&self) -> Result<()> {
        let cgroup = self.cgroup.display().to_string();
        let from = BELIEVED.map(|(network, _)| network);
        let arguments = ["attach", "--cgroup", &cgroup, "--from", from[0], "--from", from[1]];
        let output = self.slb_toa(&arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "slb toa attach: {said}");
        Ok(())
    }

    /// What `slb toa status --json` says, whatever its exit code.
    pub(super) fn status(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.slb_toa(&["status", "--json"])?.stdout)?)
    }

    /// How often something was counted.
    pub(super) fn counted(&self, name: &str) -> Result<u64> {
        let status = self.status()?;
        let counters = status["counters"].as_array().context("no counters")?;
        let found = counters.iter().find(|one| one["name"] == name);
        found.and_then(|one| one["connections"].as_u64()).with_context(|| name.to_owned())
    }

    pub(super) fn pin_dir(&self) -> PathBuf {
        self.lab.pin_dir().with_file_name(format!("{}-toa", self.lab.name))
    }

    /// A client that has not yet sent anything.
    pub(super) fn client(&self, source: SocketAddr, port: u16) -> Result<Client> {
        let server = self.host().endpoint(source.ip(), port);
        let mac = self.host().namespace.mac("eth0")?;
        Client::new(&self.lab.balancer, "eth1", mac, source, server)
    }

    /// Starts a program in the backend's network and cgroup.
    fn start(&mut self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.host().namespace.command("sh");
        let join = "echo $$ > \"$0\"/cgroup.procs && exec \"$@\"";
        command.args(["-c", join]).arg(&self.cgroup).arg(program).args(arguments);
        self.servers.push(command.stdin(Stdio::null()).spawn()?);
        Ok(())
    }

    fn wait_for(&mut self, port: u16) -> Result<()> {
        let host = self.host();
        let addresses = [host.v4.into(), IpAddr::from(host.v6)];
        let namespace = host.namespace.clone();
        within(PATIENCE, || {
            for server in &mut self.servers {
                if let Some(status) = server.try_wait()? {
                    bail!("a server ended: {status}");
                }
            }
            let connects = |address: IpAddr| TcpStream::connect((address, port)).is_ok();
            ensure!(namespace.run(|| addresses.into_iter().any(connects))?, "nobody at {port}");
            Ok(())
        })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = self.slb_toa(&["detach"]);
        // A cgroup may be taken for busy a moment after its last process.
        let _ = within(PATIENCE, || Ok(fs::remove_dir(&self.cgroup)?));
    }
}

fn neighbour(address: IpAddr) -> String {
    let mac = MAC.map(|byte| format!("{byte:02x}")).join(":");
    format!("neigh replace {address} lladdr {mac} dev eth0 nud permanent")
}

/// Where cgroup2 is mounted.
fn cgroup_root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let cgroup2 = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let path = cgroup2.and_then(|line| line.split(' ').nth(1)).context("no cgroup2 is mounted")?;
    Ok(Path::new(path).to_owned())
}

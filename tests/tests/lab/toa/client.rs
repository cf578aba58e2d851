//! A TCP client made of raw frames, as a balancer sends them: from addresses that no kernel has,
//! with any options on any segment. Headers are etherparse's.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpSlice, TransportSlice};
use nix::ifaddrs::getifaddrs;
use slb_tests::{lab::Namespace, packets::flags};
use socket2::{Domain, Protocol, Socket, Type};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where frames come from: nobody has this address, so no kernel answers in the client's place.
pub(super) const MAC: [u8; 6] = [2, 0, 0, 0, 0x64, 7];

/// One connection.
pub(super) struct Client {
    socket: Socket,
    peer_mac: [u8; 6],
    source: SocketAddr,
    server: SocketAddr,
    sequence: u32,
    acknowledged: u32,
}

/// A segment that came.
struct Segment {
    flags: u8,
    sequence: u32,
    data: Vec<u8>,
}

impl Client {
    /// A client on the wire that `interface` of a namespace is on; nothing is sent yet.
    pub(super) fn new(
        namespace: &Namespace,
        interface: &str,
        peer_mac: [u8; 6],
        source: SocketAddr,
        server: SocketAddr,
    ) -> Result<Self> {
        let socket = namespace.run(|| wire(interface))??;
        Ok(Self { socket, peer_mac, source, server, sequence: 1_000, acknowledged: 0 })
    }

    /// SYN, SYN-ACK.
    pub(super) fn open(&mut self) -> Result<()> {
        self.send(flags::SYN, &[], &[])?;
        let answer = self.receive().context("no SYN-ACK")?;
        ensure!(answer.flags & flags::SYN != 0, "the SYN was refused");
        self.sequence += 1;
        self.acknowledged = answer.sequence.wrapping_add(1);
        Ok(())
    }

    /// The handshake's last segment.
    pub(super) fn acknowledge(&self, options: &[u8]) -> Result<()> {
        self.send(flags::ACK, options, &[])
    }

    /// Data.
    pub(super) fn say(&mut self, options: &[u8], data: &[u8]) -> Result<()> {
        self.send(flags::ACK | flags::PSH, options, data)?;
        self.sequence = self.sequence.wrapping_add(data.len() as u32);
        Ok(())
    }

    /// All that the server says until it ends the connection.
    pub(super) fn hear(&mut self) -> Result<String> {
        let mut heard = Vec::new();
        loop {
            let segment = self.receive().context("the server did not end the connection")?;
            ensure!(segment.flags & flags::RST == 0, "reset by the server");
            if segment.sequence != self.acknowledged {
                continue;
            }
            heard.extend(&segment.data);
            let end = u32::from(segment.flags & flags::FIN != 0);
            self.acknowledged = segment.sequence.wrapping_add(segment.data.len() as u32 + end);
            if end == 1 {
                self.send(flags::ACK | flags::FIN, &[], &[])?;
                return Ok(String::from_utf8(heard)?);
            }
            self.send(flags::ACK, &[], &[])?;
        }
    }

    fn send(&self, flags: u8, options: &[u8], data: &[u8]) -> Result<()> {
        let frame = PacketBuilder::ethernet2(MAC, self.peer_mac);
        let packet = match (self.source.ip(), self.server.ip()) {
            (IpAddr::V4(source), IpAddr::V4(server)) => {
                frame.ipv4(source.octets(), server.octets(), 64)
            }
            (IpAddr::V6(source), IpAddr::V6(server)) => {
                frame.ipv6(source.octets(), server.octets(), 64)
            }
            _ => bail!("both ends are of one family"),
        };
        let (from, to) = (self.source.port(), self.server.port());
        let mut segment = packet.tcp(from, to, self.sequence, 64_000).options_raw(options)?;
        if flags & flags::SYN != 0 {
            segment = segment.syn();
        }
        if flags & flags::ACK != 0 {
            segment = segment.ack(self.acknowledged);
        }
        if flags & flags::PSH != 0 {
            segment = segment.psh();
        }
        if flags & flags::FIN != 0 {
            segment = segment.fin();
        }
        let mut bytes = Vec::new();
        segment.write(&mut bytes, data)?;
        (&self.socket).write_all(&bytes)?;
        Ok(())
    }

    /// The next segment of this connection.
    fn receive(&self) -> Result<Segment> {
        let begun = Instant::now();
        let mut frame = [0; 65_536];
        while begun.elapsed() < PATIENCE {
            let length = match (&self.socket).read(&mut frame) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => continue,
                read => read?,
            };
            if let Some(segment) = self.of_this_connection(&frame[..length]) {
                return Ok(segment);
            }
        }
        bail!("nothing came within {PATIENCE:?}")
    }

    fn of_this_connection(&self, frame: &[u8]) -> Option<Segment> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let (from, to): (IpAddr, IpAddr) = match &packet.net {
            Some(NetSlice::Ipv4(ip)) => {
                (ip.header().source_addr().into(), ip.header().destination_addr().into())
            }
            Some(NetSlice::Ipv6(ip)) => {
                (ip.header().source_addr().into(), ip.header().destination_addr().into())
            }
            _ => return None,
        };
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return None };
        let ours = (from, tcp.source_port()) == (self.server.ip(), self.server.port())
            && (to, tcp.destination_port()) == (self.source.ip(), self.source.port());
        ours.then(|| Segment {
            flags: flags_of(tcp),
            sequence: tcp.sequence_number(),
            data: tcp.payload().to_vec(),
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A server that waits for more would hold up the next client.
        let _ = self.send(flags::ACK | flags::FIN, &[], &[]);
    }
}

fn flags_of(tcp: &TcpSlice<'_>) -> u8 {
    [(tcp.fin(), flags::FIN), (tcp.syn(), flags::SYN), (tcp.rst(), flags::RST)]
        .into_iter()
        .filter_map(|(set, flag)| set.then_some(flag))
        .sum()
}

/// A socket for whole frames on an interface.
fn wire(interface: &str) -> Result<Socket> {
    /// `ETH_P_ALL` in network byte order.
    const ALL: i32 = 0x0003_u16.to_be() as i32;
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(ALL)))?;
    let mut links = getifaddrs()?.filter(|link| link.interface_name == interface);
    let link = links.find_map(|link| link.address?.as_link_addr().copied());
    let link = link.with_context(|| format!("no interface {interface}"))?;
    nix::sys::socket::bind(socket.as_raw_fd(), &link)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}

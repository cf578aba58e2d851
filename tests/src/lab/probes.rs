//! Probes with few hops to live, as traceroute sends them: who says where they end.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
    sockopt::{Ipv4RecvErr, Ipv6RecvErr},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::Namespace;

const PATIENCE: Duration = Duration::from_secs(2);

/// Where a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A router says that it went no further, or that the port is unreachable.
    At(IpAddr),
    /// It was answered.
    There,
}

/// Sends a datagram with so many hops to live.
pub fn datagram(from: &Namespace, to: SocketAddr, hops: u8) -> Result<Ended> {
    let socket = socket(from, to, hops, Type::DGRAM, Protocol::UDP)?;
    socket.connect(&to.into())?;
    let socket: UdpSocket = socket.into();
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(b"probe")?;
    let answered = socket.recv(&mut [0; 100]).map(drop);
    ended(&socket, answered)
}

/// Opens a connection with so many hops to live.
pub fn connection(from: &Namespace, to: SocketAddr, hops: u8) -> Result<Ended> {
    let socket = socket(from, to, hops, Type::STREAM, Protocol::TCP)?;
    let opened = socket.connect_timeout(&to.into(), PATIENCE);
    ended(&socket, opened)
}

fn socket(
    from: &Namespace,
    to: SocketAddr,
    hops: u8,
    kind: Type,
    protocol: Protocol,
) -> Result<Socket> {
    let socket = from.run(|| Socket::new(Domain::for_address(to), kind, Some(protocol)))??;
    match to {
        SocketAddr::V4(_) => {
            socket.set_ttl_v4(hops.into())?;
            setsockopt(&socket, Ipv4RecvErr, &true)?;
        }
        SocketAddr::V6(_) => {
            socket.set_unicast_hops_v6(hops.into())?;
            setsockopt(&socket, Ipv6RecvErr, &true)?;
        }
    }
    Ok(socket)
}

fn ended(socket: &impl AsFd, outcome: io::Result<()>) -> Result<Ended> {
    let Err(error) = outcome else { return Ok(Ended::There) };
    let (mut quoted, mut control) = ([0; 600], nix::cmsg_space!([u8; 64]));
    let mut buffers = [IoSliceMut::new(&mut quoted)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_fd().as_raw_fd(),
        &mut buffers,
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE,
    )
    .with_context(|| format!("no ICMP error came: {error}"))?;
    for part in message.cmsgs()? {
        match part {
            ControlMessageOwned::Ipv4RecvErr(_, Some(who)) => {
                return Ok(Ended::At(IpAddr::from(
                    u32::from_be(who.sin_addr.s_addr).to_be_bytes(),
                )));
            }
            ControlMessageOwned::Ipv6RecvErr(_, Some(who)) => {
                return Ok(Ended::At(IpAddr::from(who.sin6_addr.s6_addr)));
            }
            _ => {}
        }
    }
    anyhow::bail!("an error without its sender: {error}")
}

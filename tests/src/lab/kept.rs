//! HTTP connections that stay open between requests, each looked at by itself, and sockets from
//! chosen endpoints.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::Namespace;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A connected TCP socket that comes from `source`; port 0 leaves the port to the kernel.
pub fn tcp_from(client: &Namespace, source: SocketAddr, target: SocketAddr) -> Result<TcpStream> {
    let connected = client.run(|| -> io::Result<TcpStream> {
        let socket = bound(source, Type::STREAM, Protocol::TCP)?;
        socket.connect_timeout(&target.into(), PATIENCE)?;
        Ok(socket.into())
    })?;
    let stream = connected.with_context(|| format!("connect from {source} to {target}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A UDP socket that comes from `source` and takes answers from `target` alone.
pub fn udp_from(client: &Namespace, source: SocketAddr, target: SocketAddr) -> Result<UdpSocket> {
    let connected = client.run(|| -> io::Result<UdpSocket> {
        let socket = bound(source, Type::DGRAM, Protocol::UDP)?;
        socket.connect(&target.into())?;
        Ok(socket.into())
    })?;
    let socket = connected.with_context(|| format!("bind to {source}"))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Several sockets may share a source, as long as their targets differ.
fn bound(source: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(source), kind, Some(protocol))?;
    socket.set_reuse_address(true)?;
    socket.bind(&source.into())?;
    Ok(socket)
}

/// The name that a server of [`super::Service::Name`] says.
pub fn name_on(stream: &TcpStream) -> io::Result<String> {
    let mut name = String::new();
    BufReader::new(stream).read_line(&mut name)?;
    match name.trim() {
        "" => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a name")),
        name => Ok(name.to_owned()),
    }
}

/// Open HTTP connections.
#[derive(Debug)]
pub struct Kept {
    connections: Vec<TcpStream>,
}

impl Kept {
    /// Opens connections one after the other.
    pub fn open(client: &Namespace, target: SocketAddr, count: usize) -> Result<Self> {
        let any: SocketAddr = match target {
            SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let connections = (0..count).map(|_| tcp_from(client, any, target));
        Ok(Self { connections: connections.collect::<Result<_>>()? })
    }

    /// One request on every connection, in the order of their opening: the backend's name, or
    /// what went wrong.
    pub fn ask(&mut self) -> Vec<Result<String, String>> {
        self.connections.iter_mut().map(|one| get(one).map_err(|error| error.to_string())).collect()
    }

    /// The same, where all must answer.
    pub fn names(&mut self) -> Result<Vec<String>> {
        let answers = self.ask().into_iter().enumerate();
        answers.map(|(number, answer)| answer.map_err(|e| lost(number, &e))).collect()
    }

    /// The sockets, in the order of their opening.
    pub fn sockets(&self) -> &[TcpStream] {
        &self.connections
    }
}

fn lost(number: usize, why: &str) -> anyhow::Error {
    anyhow::anyhow!("open connection {}: {why}", number + 1)
}

fn get(stream: &mut TcpStream) -> io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: lab\r\nconnection: keep-alive\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer"));
        }
        match line.trim().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(_) => {}
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    // The server has nothing more to say until it is asked again: the buffer holds no other
    // answer that would be lost with it.
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).trim().to_owned())
}

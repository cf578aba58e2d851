//! Sends resets in a thread of its own: a hundred thousand of them must not keep the daemon from
//! its other work. Frames go past routing, firewall and connection tracking of the host.

use std::{
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    sync::mpsc::{self, SyncSender, TrySendError},
    thread,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::Frame;

/// Lists of frames that may wait.
const QUEUE: usize = 64;
/// Tries of one frame while the interface's queue is full.
const TRIES: u32 = 20;
/// Rest between them.
const REST: Duration = Duration::from_millis(1);

/// Where frames to be sent go.
#[derive(Debug)]
pub struct Sender {
    frames: SyncSender<Vec<Frame>>,
}

impl Sender {
    /// Opens the socket and starts the thread, which ends with this value.
    ///
    /// # Errors
    /// The kernel's: the daemon lacks `CAP_NET_RAW`.
    pub fn start() -> io::Result<Self> {
        let sockets = Sockets::open()?;
        let (frames, waiting) = mpsc::sync_channel::<Vec<Frame>>(QUEUE);
        thread::Builder::new().name("resets".to_owned()).spawn(move || {
            for list in waiting {
                send_all(&sockets, &list);
            }
        })?;
        Ok(Self { frames })
    }

    /// Sends frames soon; where too many wait already, they are let go: an endpoint that is not
    /// told finds out with its next segment.
    pub fn send(&self, frames: Vec<Frame>) {
        if frames.is_empty() {
            return;
        }
        match self.frames.try_send(frames) {
            Ok(()) => {}
            Err(TrySendError::Full(frames) | TrySendError::Disconnected(frames)) => {
                tracing::warn!(frames = frames.len(), "resets were not sent: too many at once");
            }
        }
    }
}

fn send_all(sockets: &Sockets, frames: &[Frame]) {
    let mut failed = 0;
    for frame in frames {
        if let Err(error) = sockets.send(frame) {
            failed += 1;
            tracing::debug!("a reset was not sent: {error}");
        }
    }
    tracing::debug!(sent = frames.len() - failed, failed, "resets");
}

/// They only send: of protocols of which they would get nothing.
struct Sockets {
    frames: Socket,
    v4: Socket,
    v6: Socket,
}

impl Sockets {
    fn open() -> io::Result<Self> {
        let raw = Some(Protocol::from(libc::IPPROTO_RAW));
        Ok(Self {
            frames: Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?,
            v4: Socket::new(Domain::IPV4, Type::RAW, raw)?,
            v6: Socket::new(Domain::IPV6, Type::RAW, raw)?,
        })
    }

    fn send(&self, frame: &Frame) -> io::Result<()> {
        let mut tries = 0;
        loop {
            match self.send_once(frame) {
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) && tries < TRIES => {
                    tries += 1;
                    thread::sleep(REST);
                }
                outcome => return outcome,
            }
        }
    }

    fn send_once(&self, frame: &Frame) -> io::Result<()> {
        match frame {
            Frame::To { interface, bytes } => send_by(&self.frames, *interface, bytes),
            Frame::Routed { destination, bytes } => {
                let socket = if destination.is_ipv4() { &self.v4 } else { &self.v6 };
                // Both kinds of socket take the network header as it is; the port must be 0.
                let address = SocketAddr::new(*destination, 0);
                socket.send_to_with_flags(bytes, &address.into(), libc::MSG_DONTWAIT).map(drop)
            }
        }
    }
}

fn send_by(socket: &Socket, interface: u32, bytes: &[u8]) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: interface.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: buffer and address are valid for their lengths while the call lasts.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

//! Sends frames as they are, past routing, firewall and connection tracking of the host, in a
//! thread of its own: a hundred thousand of them must not keep the daemon from its other work.

use std::{
    io,
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
        // Protocol 0: it gets no frames, it only sends.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        let (frames, waiting) = mpsc::sync_channel::<Vec<Frame>>(QUEUE);
        thread::Builder::new().name("resets".to_owned()).spawn(move || {
            for list in waiting {
                send_all(&socket, &list);
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

fn send_all(socket: &Socket, frames: &[Frame]) {
    let mut failed = 0;
    for frame in frames {
        if let Err(error) = send(socket, frame) {
            failed += 1;
            tracing::debug!(interface = frame.interface, "a reset was not sent: {error}");
        }
    }
    tracing::debug!(sent = frames.len() - failed, failed, "resets");
}

fn send(socket: &Socket, frame: &Frame) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match send_once(socket, frame) {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) && tries < TRIES => {
                tries += 1;
                thread::sleep(REST);
            }
            outcome => return outcome,
        }
    }
}

fn send_once(socket: &Socket, frame: &Frame) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: frame.interface.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: buffer and address are valid for their lengths while the call lasts.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.bytes.as_ptr().cast(),
            frame.bytes.len(),
            libc::MSG_DONTWAIT,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

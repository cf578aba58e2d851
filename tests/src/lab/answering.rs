//! What the servers of a lab say on their sockets.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::{
    Served, Service,
    http::{Connection, Reuse},
};

/// The path that only health checks ask for; it is counted apart.
pub const HEALTH_PATH: &str = "/healthz";

/// What a server needs to answer.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) name: Arc<str>,
    pub(super) service: Service,
    pub(super) served: Arc<Served>,
    pub(super) health_status: Arc<AtomicU16>,
}

impl Answering {
    /// Accepts until told to stop or aborted; aborting ends the connections too.
    pub(super) async fn accept(self, listener: TcpListener, mut accepting: watch::Receiver<bool>) {
        // Dropping the set ends its connections: aborting this task is killing the server.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        self.served.connections.fetch_add(1, Ordering::Relaxed);
                        connections.spawn(self.clone().converse(stream));
                    }
                    // The client was gone before we came, or descriptors ran out for a moment.
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                },
                Some(_) = connections.join_next() => {}
                _ = accepting.changed() => break,
            }
        }
        drop(listener);
        drop(accepting);
        while connections.join_next().await.is_some() {}
    }

    async fn converse(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        // The other side may go without a word; its errors are counted there.
        let _ = match self.service {
            Service::Name => self.say_name(stream).await,
            Service::Http | Service::Echo => self.serve_http(Connection::new(stream)).await,
        };
    }

    async fn say_name(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.write_all(format!("{}\n", self.name).as_bytes()).await?;
        let mut ignored = [0; 64];
        loop {
            stream.readable().await?;
            match stream.try_read(&mut ignored) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn serve_http(&self, mut connection: Connection) -> io::Result<()> {
        while let Some(request) = connection.next_request().await? {
            let (status, counter) = if request.path == HEALTH_PATH {
                (self.health_status.load(Ordering::Relaxed), &self.served.health_requests)
            } else {
                (200, &self.served.requests)
            };
            connection.answer(&request, status, &self.name).await?;
            counter.fetch_add(1, Ordering::Relaxed);
            if request.reuse == Reuse::Close {
                break;
            }
        }
        Ok(())
    }

    /// Answers datagrams until aborted.
    pub(super) async fn echo(self, socket: UdpSocket) {
        let mut buffer = vec![0; 65_535];
        loop {
            // An ICMP error from an earlier answer surfaces here; the next datagram still comes.
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            let mut answer = format!("{}:", self.name).into_bytes();
            answer.extend_from_slice(&buffer[..length]);
            if timeout(Duration::from_secs(1), socket.send_to(&answer, from)).await.is_ok() {
                self.served.datagrams.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

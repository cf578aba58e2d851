//! The TCP check: a handshake that leaves nothing behind.

use std::{io, net::SocketAddr, time::Duration};

use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    fault::Fault,
    probe::{Answer, Endpoint},
};

/// Asks for a handshake and takes it back by RST as soon as it is known.
///
/// The kernel is told to hold back the ACK that would complete the handshake, so the backend sees
/// SYN, SYN-ACK, RST: no connection comes into its accept queue, and its log stays empty. Should
/// this process be too slow for that (40 ms), the connection is completed and then reset.
///
/// # Errors
///
/// The fault, if no SYN-ACK comes within `limit`.
pub(super) async fn probe(endpoint: Endpoint, limit: Duration) -> Result<Answer, Fault> {
    let socket = traceless_socket(endpoint).map_err(Fault::System)?;
    drop(connected(socket, endpoint.address, limit).await?);
    Ok(Answer::Connected)
}

/// Opens an ordinary connection.
///
/// # Errors
///
/// The fault, if there is none within `limit`.
pub(super) async fn connect(endpoint: Endpoint, limit: Duration) -> Result<TcpStream, Fault> {
    let socket = socket(endpoint).map_err(Fault::System)?;
    connected(socket, endpoint.address, limit).await
}

/// A socket whose handshake is not completed at once, and that resets when it is closed.
fn traceless_socket(endpoint: Endpoint) -> io::Result<TcpSocket> {
    let socket = socket(endpoint)?;
    SockRef::from(&socket).set_tcp_quickack(false)?;
    socket.set_zero_linger()?;
    Ok(socket)
}

fn socket(endpoint: Endpoint) -> io::Result<TcpSocket> {
    let socket = match endpoint.address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = endpoint.source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket)
}

async fn connected(
    socket: TcpSocket,
    address: SocketAddr,
    limit: Duration,
) -> Result<TcpStream, Fault> {
    match timeout(limit, socket.connect(address)).await {
        Ok(connection) => connection.map_err(Fault::System),
        Err(_) => Err(Fault::NoConnection { after: limit }),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

    use socket2::{Domain, Socket, Type};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn to(address: SocketAddr) -> Endpoint {
        Endpoint { address, source: None }
    }

    #[tokio::test]
    async fn a_listener_is_connected_to_and_finds_nothing_in_its_accept_queue() {
        let hosts: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for host in hosts {
            let listener = TcpListener::bind((host, 0)).unwrap();
            listener.set_nonblocking(true).unwrap();
            for _ in 0..100 {
                let answer = probe(to(listener.local_addr().unwrap()), LIMIT).await;
                assert_eq!(answer.unwrap(), Answer::Connected);
            }
            let queued = std::iter::from_fn(|| listener.accept().ok()).count();
            // A pause of this process may complete some; they are reset all the same.
            assert!(queued < 50, "{queued} connections of 100 checks were left to the backend");
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_completed_is_reset_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = traceless_socket(to(listener.local_addr().unwrap())).unwrap();
        SockRef::from(&socket).set_tcp_quickack(true).unwrap();
        let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (served, _) = listener.accept().await.unwrap();
        drop(client);
        served.readable().await.unwrap();
        let read = served.try_read(&mut [0; 1]);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_port_without_a_listener_is_refused() {
        // Bound and not listening, so that nobody else can take the port meanwhile.
        let taken = TcpSocket::new_v4().unwrap();
        taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let fault = probe(to(taken.local_addr().unwrap()), LIMIT).await.unwrap_err();
        assert_eq!(fault.to_string(), "connection refused");
    }

    #[tokio::test]
    async fn a_host_that_answers_no_syn_times_out() {
        let (_listener, _queued, address) = deaf_listener();
        let fault = probe(to(address), Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(fault.to_string(), "timed out after 50 ms");
    }

    #[tokio::test]
    async fn the_check_comes_from_the_source_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let source = IpAddr::from([127, 0, 0, 77]);
        let client = connect(Endpoint { address, source: Some(source) }, LIMIT).await.unwrap();
        let (_served, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip(), source);
        drop(client);
    }

    /// A listener whose accept queue is full: its kernel answers no further SYN.
    fn deaf_listener() -> (Socket, Vec<Socket>, SocketAddr) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = (0..4).map(|_| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            // In progress at first, also when it succeeds.
            let _ = client.connect(&address);
            client
        });
        let queued = queued.collect();
        (listener, queued, address.as_socket().unwrap())
    }
}

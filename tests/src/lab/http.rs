//! As much HTTP/1.1 as the labs need: GET, bodies with a length, keep-alive.
//!
//! Hand-written, so that the tests judge the balancer by the bytes on the wire and not by what a
//! client library repeats or hides.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What happens to the connection after one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It takes the next request.
    KeepAlive,
    /// The server closes it.
    Close,
}

impl Reuse {
    const fn header(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Close => "close",
        }
    }
}

/// A request as the server sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`...
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Whether the client wants the connection kept.
    pub reuse: Reuse,
}

/// An answer as the client sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body without the trailing line end.
    pub body: String,
}

/// A TCP stream with what was read beyond the last message.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Takes over a connected stream.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Sends one GET and reads its answer.
    pub async fn get(&mut self, path: &str, reuse: Reuse) -> io::Result<Response> {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: lab\r\nconnection: {}\r\n\r\n", reuse.header());
        self.stream.write_all(request.as_bytes()).await?;
        let head = self.read_head().await?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer")
        })?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| malformed(&head))?;
        let length = header(&head, "content-length").and_then(|length| length.parse().ok());
        let body = self.read_body(length.unwrap_or(0)).await?;
        Ok(Response { status, body: body.trim_end().to_owned() })
    }

    /// Reads the next request; `None` when the client is done.
    pub async fn next_request(&mut self) -> io::Result<Option<Request>> {
        let Some(head) = self.read_head().await? else {
            return Ok(None);
        };
        let mut words = head.split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Err(malformed(&head));
        };
        let closes = header(&head, "connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        Ok(Some(Request {
            method: method.to_owned(),
            path: path.to_owned(),
            reuse: if closes { Reuse::Close } else { Reuse::KeepAlive },
        }))
    }

    /// Answers a request; HEAD gets no body.
    pub async fn answer(&mut self, request: &Request, status: u16, body: &str) -> io::Result<()> {
        let body = format!("{body}\n");
        let mut answer = format!(
            "HTTP/1.1 {status} Lab\r\ncontent-length: {}\r\nconnection: {}\r\n\r\n",
            body.len(),
            request.reuse.header()
        );
        if request.method != "HEAD" {
            answer.push_str(&body);
        }
        self.stream.write_all(answer.as_bytes()).await
    }

    async fn read_head(&mut self) -> io::Result<Option<String>> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            let end = self.unread.windows(END.len()).position(|window| window == END);
            if let Some(end) = end {
                let rest = self.unread.split_off(end + END.len());
                let head = std::mem::replace(&mut self.unread, rest);
                return Ok(Some(String::from_utf8_lossy(&head[..end]).into_owned()));
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return if self.unread.is_empty() {
                    Ok(None)
                } else {
                    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed in mid-message"))
                };
            }
        }
    }

    async fn read_body(&mut self, length: usize) -> io::Result<String> {
        while self.unread.len() < length {
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed in mid-body"));
            }
        }
        let rest = self.unread.split_off(length);
        let body = std::mem::replace(&mut self.unread, rest);
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn malformed(head: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {head:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (Connection, Connection) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        (Connection::new(client), Connection::new(listener.accept().await.unwrap().0))
    }

    #[tokio::test]
    async fn one_connection_carries_several_requests() {
        let (mut client, mut server) = pair().await;
        let serve = tokio::spawn(async move {
            let mut paths = Vec::new();
            while let Some(request) = server.next_request().await.unwrap() {
                server.answer(&request, 200, "backend1").await.unwrap();
                paths.push(request.path);
            }
            paths
        });
        for path in ["/one", "/two"] {
            let response = client.get(path, Reuse::KeepAlive).await.unwrap();
            assert_eq!(response, Response { status: 200, body: "backend1".to_owned() });
        }
        drop(client);
        assert_eq!(serve.await.unwrap(), ["/one", "/two"]);
    }

    #[tokio::test]
    async fn a_close_before_the_answer_is_an_error() {
        let (mut client, server) = pair().await;
        drop(server);
        assert!(client.get("/", Reuse::Close).await.is_err());
    }
}

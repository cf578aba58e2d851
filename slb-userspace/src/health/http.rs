//! The HTTP check: one request, of whose answer only the status counts.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use http_body_util::Empty;
use hyper::{
    Method, Request, Uri,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, HOST, HeaderValue, USER_AGENT},
    http::uri::PathAndQuery,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    fault::Fault,
    probe::{Answer, Endpoint},
    tcp,
};
use crate::config::model::{HttpCheck, HttpMethod};

/// Tells the backend's log who is asking.
const WHO: &str = concat!("slb-health/", env!("CARGO_PKG_VERSION"));

/// The port that a `Host` header leaves out.
const HTTP_PORT: u16 = 80;

/// Asks over a connection of its own, which is closed once the status is known. A redirect is an
/// answer like any other; it is not followed.
///
/// # Errors
///
/// The fault, if no status that `check` wants comes within `limit`, connecting included.
pub(super) async fn probe(
    endpoint: Endpoint,
    check: &HttpCheck,
    limit: Duration,
) -> Result<Answer, Fault> {
    let deadline = Instant::now() + limit;
    let request = request(endpoint.address, check)?;
    let connection = tcp::connect(endpoint, limit).await?;
    let status = match timeout_at(deadline, status_of(connection, request)).await {
        Ok(answer) => answer.map_err(|error| Fault::from_http(&error))?,
        Err(_) => return Err(Fault::NoAnswer { after: limit }),
    };
    if check.codes.contains(&(status / 100)) {
        Ok(Answer::Status(status))
    } else {
        Err(Fault::Status { status, codes: check.codes.clone() })
    }
}

/// The request of a check. A `#` and what follows it stays here, as a fragment is never sent.
fn request(address: SocketAddr, check: &HttpCheck) -> Result<Request<Empty<Bytes>>, Fault> {
    let method = match check.method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
    };
    let path: PathAndQuery = check
        .path
        .parse()
        .map_err(|_| Fault::Request { part: "path", written: check.path.clone() })?;
    let host = host(address, check);
    let host = HeaderValue::from_str(&host)
        .map_err(|_| Fault::Request { part: "domain", written: host })?;

    let mut request = Request::new(Empty::new());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(path);
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(WHO));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// The domain of the check as it is written, else the address that is asked.
fn host(address: SocketAddr, check: &HttpCheck) -> String {
    if !check.domain.is_empty() {
        return check.domain.clone();
    }
    match (address.ip(), address.port()) {
        (IpAddr::V4(ip), HTTP_PORT) => ip.to_string(),
        (IpAddr::V6(ip), HTTP_PORT) => format!("[{ip}]"),
        _ => address.to_string(),
    }
}

async fn status_of(stream: TcpStream, request: Request<Empty<Bytes>>) -> hyper::Result<u16> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut answer = pin!(sender.send_request(request));
    let mut connection = pin!(connection);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // A connection that has ended has told the reason to the request.
        _ = &mut connection => answer.await,
    };
    answer.map(|answer| answer.status().as_u16())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinHandle,
        time::timeout,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn check(method: HttpMethod, domain: &str) -> HttpCheck {
        HttpCheck { method, path: "/up?x=1".into(), domain: domain.into(), codes: vec![2, 3] }
    }

    /// A backend that takes one request, answers with these bytes, and returns the request.
    async fn backend(answer: &'static [u8]) -> (Endpoint, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(client.read_buf(&mut request).await.unwrap(), 0);
            }
            client.write_all(answer).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (Endpoint { address, source: None }, served)
    }

    async fn answer_to_get(answer: &'static [u8]) -> Result<Answer, String> {
        let (endpoint, _) = backend(answer).await;
        let answer = probe(endpoint, &check(HttpMethod::Get, ""), LIMIT).await;
        answer.map_err(|fault| fault.to_string())
    }

    #[tokio::test]
    async fn a_wanted_status_is_a_success_whatever_the_body_does() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(answer_to_get(whole).await, Ok(Answer::Status(200)));
        let cut_short = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\no";
        assert_eq!(answer_to_get(cut_short).await, Ok(Answer::Status(200)));
        let old = b"HTTP/1.0 204 No Content\r\n\r\n";
        assert_eq!(answer_to_get(old).await, Ok(Answer::Status(204)));
        let provisional = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(answer_to_get(provisional).await, Ok(Answer::Status(200)));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let elsewhere = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n";
        assert_eq!(answer_to_get(elsewhere).await, Ok(Answer::Status(302)));
    }

    #[tokio::test]
    async fn another_status_is_a_failure_that_names_what_is_wanted() {
        let not_found = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        let words = "status 404, want 2xx or 3xx";
        assert_eq!(answer_to_get(not_found).await, Err(words.into()));
        let broken = b"HTTP/1.1 500 Internal Server Error\r\n\r\n";
        let words = "status 500, want 2xx or 3xx";
        assert_eq!(answer_to_get(broken).await, Err(words.into()));
    }

    #[tokio::test]
    async fn what_is_no_http_is_called_so() {
        let ssh = b"SSH-2.0-OpenSSH_10.0\r\n";
        assert_eq!(answer_to_get(ssh).await, Err("the answer is not HTTP".into()));
        let tls_alert = b"\x15\x03\x03\x00\x02\x02\x46";
        assert_eq!(answer_to_get(tls_alert).await, Err("the answer is not HTTP".into()));
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_the_answer_is_called_so() {
        let words = "connection closed without an answer";
        assert_eq!(answer_to_get(b"").await, Err(words.into()));
        assert_eq!(answer_to_get(b"HTTP/1.1 200 OK\r\nserv").await, Err(words.into()));
    }

    #[tokio::test]
    async fn a_reset_in_place_of_an_answer_is_called_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            client.read_exact(&mut [0; 10]).await.unwrap();
            // Closed with unread bytes of the request.
        });
        let endpoint = Endpoint { address, source: None };
        let fault = probe(endpoint, &check(HttpMethod::Get, ""), LIMIT).await.unwrap_err();
        assert_eq!(fault.to_string(), "connection reset");
        served.await.unwrap();
    }

    #[tokio::test]
    async fn a_backend_that_connects_and_never_answers_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint { address: listener.local_addr().unwrap(), source: None };
        let (get, limit) = (check(HttpMethod::Get, ""), Duration::from_millis(50));
        let answer = timeout(LIMIT, probe(endpoint, &get, limit)).await.expect("waits longer");
        let words = "timed out after 50 ms waiting for the answer";
        assert_eq!(answer.unwrap_err().to_string(), words);
    }

    #[tokio::test]
    async fn a_get_asks_for_the_path_by_the_address_and_says_who_asks() {
        let (endpoint, served) = backend(b"HTTP/1.1 200 OK\r\n\r\n").await;
        probe(endpoint, &check(HttpMethod::Get, ""), LIMIT).await.unwrap();
        let request = served.await.unwrap();
        let mut lines = request.split("\r\n");
        assert_eq!(lines.next(), Some("GET /up?x=1 HTTP/1.1"));
        let headers: Vec<&str> = lines.collect();
        assert!(headers.contains(&format!("host: {}", endpoint.address).as_str()), "{request}");
        assert!(headers.contains(&format!("user-agent: {WHO}").as_str()), "{request}");
        assert!(headers.contains(&"connection: close"), "{request}");
    }

    #[tokio::test]
    async fn a_head_asks_for_the_domain_and_takes_an_answer_without_a_body() {
        let (endpoint, served) = backend(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await;
        let answer = probe(endpoint, &check(HttpMethod::Head, "shop.example"), LIMIT).await;
        assert_eq!(answer.unwrap(), Answer::Status(200));
        let request = served.await.unwrap();
        assert!(request.starts_with("HEAD /up?x=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nhost: shop.example\r\n"), "{request}");
    }

    #[test]
    fn the_host_of_an_address_has_a_port_where_it_is_not_80() {
        let host = |address: &str| host(address.parse().unwrap(), &check(HttpMethod::Get, ""));
        assert_eq!(host("10.0.1.11:80"), "10.0.1.11");
        assert_eq!(host("10.0.1.11:8080"), "10.0.1.11:8080");
        assert_eq!(host("[fd01::11]:80"), "[fd01::11]");
        assert_eq!(host("[fd01::11]:8080"), "[fd01::11]:8080");
    }

    #[test]
    fn every_character_that_a_path_may_have_is_sent() {
        let path = "/-_/.%?#&=aZ9";
        let check = HttpCheck { path: path.into(), ..check(HttpMethod::Get, "") };
        let request = request("10.0.1.11:80".parse().unwrap(), &check).unwrap();
        assert_eq!(request.uri().to_string(), "/-_/.%?", "all before the fragment");
        let double = HttpCheck { path: "//up".into(), ..check };
        let request = super::request("10.0.1.11:80".parse().unwrap(), &double).unwrap();
        assert_eq!(request.uri().to_string(), "//up");
    }
}

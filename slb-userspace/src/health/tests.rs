//! The checker against real sockets: what it tells, keeps and stops.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
    time::timeout,
};

use super::*;
use crate::config::model::{CheckKind, HealthCheck, HttpCheck, HttpMethod, Protocol};

/// How long a test waits for what must come; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn target(listener_port: u16, backend: SocketAddr, kind: CheckKind) -> Target {
    Target {
        key: TargetKey {
            instance: "shop".into(),
            protocol: Protocol::Tcp,
            port: listener_port,
            backend,
        },
        check: HealthCheck {
            kind,
            interval: Duration::from_millis(5),
            timeout: Duration::from_secs(5),
            healthy: 2,
            unhealthy: 3,
            port: None,
        },
    }
}

fn http() -> CheckKind {
    CheckKind::Http(HttpCheck {
        method: HttpMethod::Get,
        path: "/".into(),
        domain: String::new(),
        codes: vec![2],
    })
}

async fn next(changes: &mut mpsc::Receiver<Change>) -> Change {
    timeout(PATIENCE, changes.recv()).await.expect("no change came").expect("the checker ended")
}

/// Waits until what is known about `key` is so.
async fn until(checker: &Checker, key: &TargetKey, so: impl Fn(&Observed) -> bool) -> Observed {
    let watching = async {
        loop {
            let mut known = checker.snapshot();
            if let Some(observed) = known.remove(key).filter(&so) {
                return observed;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, watching).await.expect("never came about")
}

/// A bound socket: refuses until it listens, and nobody else can take its port.
fn closed_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A backend that answers its first requests with these statuses, and all later ones with the
/// last of them. A connection without a request is none of them.
async fn scripted(statuses: &'static [u16]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let last = statuses.last().unwrap();
        for status in statuses.iter().chain(std::iter::repeat(last)) {
            let mut client = loop {
                let (mut client, _) = listener.accept().await.unwrap();
                if client.read(&mut [0; 1024]).await.is_ok_and(|bytes| bytes > 0) {
                    break client;
                }
            };
            let answer = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: 0\r\n\r\n");
            client.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn exactly_the_checks_that_reach_a_threshold_change_the_health() {
    // The status of each deciding answer is one that no other has.
    let backend =
        scripted(&[200, 503, 503, 200, 503, 503, 504, 202, 503, 503, 202, 203, 204]).await;
    let (sender, mut changes) = mpsc::channel(16);
    let mut checker = Checker::new(sender);
    checker.set_targets(vec![target(80, backend, http())]);

    let mut told = Vec::new();
    for _ in 0..3 {
        let change = next(&mut changes).await;
        told.push((change.previous, change.health, change.reason));
    }
    assert_eq!((told[0].0, told[0].1), (Health::Checking, Health::Healthy));
    assert!(told[0].2.starts_with("HTTP 200 in "), "{}", told[0].2);
    let gone = (Health::Healthy, Health::Unhealthy, "status 504, want 2xx".to_owned());
    assert_eq!(told[1], gone);
    assert_eq!((told[2].0, told[2].1), (Health::Unhealthy, Health::Healthy));
    assert!(told[2].2.starts_with("HTTP 203 in "), "{}", told[2].2);
}

#[tokio::test]
async fn a_refusing_backend_comes_back_without_a_restart() {
    let (socket, backend) = closed_port();
    let (sender, mut changes) = mpsc::channel(16);
    let mut checker = Checker::new(sender);
    let target = target(80, backend, CheckKind::Tcp);
    checker.set_targets(vec![target.clone()]);
    assert_eq!(checker.snapshot()[&target.key].health, Health::Checking);

    let refused = next(&mut changes).await;
    assert_eq!((refused.previous, refused.health), (Health::Checking, Health::Unhealthy));
    assert_eq!((&refused.key, refused.reason.as_str()), (&target.key, "connection refused"));

    socket.listen(16).unwrap();
    let back = next(&mut changes).await;
    assert_eq!((back.previous, back.health), (Health::Unhealthy, Health::Healthy));
    assert!(back.reason.starts_with("connected in "), "{}", back.reason);

    let known = checker.observations().snapshot().remove(&target.key).unwrap();
    assert_eq!((known.health, known.since), (Health::Healthy, back.at));
}

#[tokio::test]
async fn two_listeners_check_the_backend_they_share_each_in_its_own_way() {
    let backend = scripted(&[404]).await;
    let (sender, mut changes) = mpsc::channel(16);
    let mut checker = Checker::new(sender);
    checker.set_targets(vec![target(80, backend, http()), target(81, backend, CheckKind::Tcp)]);
    let mut told = HashMap::new();
    for _ in 0..2 {
        let change = next(&mut changes).await;
        told.insert(change.key.port, change.health);
    }
    assert_eq!(told, HashMap::from([(80, Health::Unhealthy), (81, Health::Healthy)]));
}

#[tokio::test]
async fn another_check_keeps_the_health_and_is_used_from_then_on() {
    let (_socket, closed) = closed_port();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (sender, mut changes) = mpsc::channel(16);
    let mut checker = Checker::new(sender);
    let mut target = target(80, listener.local_addr().unwrap(), CheckKind::Tcp);
    checker.set_targets(vec![target.clone()]);
    assert_eq!(next(&mut changes).await.health, Health::Healthy);

    target.check.port = Some(closed.port());
    checker.set_targets(vec![target.clone()]);
    assert_eq!(checker.snapshot()[&target.key].health, Health::Healthy);
    let change = next(&mut changes).await;
    assert_eq!((change.previous, change.health), (Health::Healthy, Health::Unhealthy));
    let known = checker.snapshot().remove(&target.key).unwrap();
    assert!(known.failures >= 3, "the first result decided alone: {known:?}");
}

#[tokio::test]
async fn a_resumed_health_is_known_at_once_and_changes_by_threshold_only() {
    let (_socket, backend) = closed_port();
    let (sender, mut changes) = mpsc::channel(16);
    let mut checker = Checker::new(sender);
    let target = target(80, backend, CheckKind::Tcp);
    checker.resume(HashMap::from([(target.key.clone(), Health::Healthy)]));
    checker.set_targets(vec![target.clone()]);
    assert_eq!(checker.snapshot()[&target.key].health, Health::Healthy);

    let change = next(&mut changes).await;
    assert_eq!((change.previous, change.health), (Health::Healthy, Health::Unhealthy));
    assert!(checker.snapshot()[&target.key].failures >= 3);

    // A backend that is taken away and comes back later is a new one.
    checker.set_targets(Vec::new());
    checker.set_targets(vec![target.clone()]);
    assert_eq!(checker.snapshot()[&target.key].health, Health::Checking);
}

#[tokio::test]
async fn a_target_that_is_taken_away_is_forgotten_and_the_others_go_on() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = listener.local_addr().unwrap();
    let (sender, _changes) = mpsc::channel(16);
    let mut checker = Checker::new(sender);
    let (stays, goes) = (target(80, backend, CheckKind::Tcp), target(81, backend, CheckKind::Tcp));
    checker.set_targets(vec![stays.clone(), goes.clone()]);
    until(&checker, &goes.key, |goes| goes.successes >= 1).await;
    let before = until(&checker, &stays.key, |stays| stays.successes >= 1).await;

    checker.set_targets(vec![stays.clone()]);
    assert_eq!(checker.snapshot().keys().collect::<Vec<_>>(), [&stays.key]);
    // Its last change may still be on its way to the loop.
    assert!(checker.checks(&stays.key) && !checker.checks(&goes.key));
    let more = before.successes + 2;
    let after = until(&checker, &stays.key, |stays| stays.successes >= more).await;
    assert_eq!(after.since, before.since);
}

#[tokio::test]
async fn a_reload_that_changes_nothing_restarts_no_check() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (sender, mut changes) = mpsc::channel(16);
    let mut checker = Checker::new(sender);
    let target = target(80, listener.local_addr().unwrap(), CheckKind::Tcp);
    checker.set_targets(vec![target.clone()]);
    next(&mut changes).await;
    let before = checker.snapshot().remove(&target.key).unwrap();

    let task = checker.task_of(&target.key);
    checker.set_targets(vec![target.clone()]);
    assert_eq!(checker.task_of(&target.key), task);
    assert!(checker.snapshot()[&target.key].successes >= before.successes);

    let mut slower = target.clone();
    slower.check.interval *= 2;
    checker.set_targets(vec![slower]);
    assert_ne!(checker.task_of(&target.key), task);
}

#[tokio::test]
async fn a_dropped_checker_stops_every_check() {
    let (_socket, backend) = closed_port();
    let (sender, mut changes) = mpsc::channel(1);
    let mut checker = Checker::new(sender);
    // More than the channel takes, so that some are stopped while they wait for a place.
    checker.set_targets((1..=100).map(|port| target(port, backend, CheckKind::Tcp)).collect());
    next(&mut changes).await;
    drop(checker);
    // The channel ends when the last task has let go of it.
    let ended = async { while changes.recv().await.is_some() {} };
    timeout(PATIENCE, ended).await.expect("a task still runs");
}

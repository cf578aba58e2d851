//! The soak: every mode, family and protocol at once on one balancer, under random reloads and
//! failures, for as long as `SLB_SOAK_MINUTES` says. `SLB_SOAK_SEED` repeats a run's choices.
//!
//! Time passes faster than in operation: what is idle goes after 10 s instead of 900, what is
//! closed after 1 s instead of 60, and there is a reload about every half second. Two minutes see
//! more of each than an ordinary hour does.

// Shared with the lab, which uses more of it.
#[allow(dead_code)]
#[path = "../lab/seen.rs"]
mod seen;

mod chance;
mod ground;
mod judged;
mod oracle;

use std::{
    collections::BTreeMap,
    env, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use slb_tests::lab::{Answers, ClientError, Question, Traffic};

use chance::Chance;
use ground::{Ground, LISTENERS, Listener, VIPS};
use oracle::Counted;

/// What the last connections need to expire, sweep included, on a busy machine.
const SETTLING: Duration = Duration::from_secs(45);
/// Checks of a backend that is there again, or is new.
const PATIENCE: Duration = Duration::from_secs(20);

/// A backend whose servers are dead, and what that may have cost.
struct Flap {
    backend: String,
    killed: Instant,
    /// When every listener had noticed.
    noticed: Option<Instant>,
    /// When it is to be started again.
    until: Instant,
}

#[test]
fn mixed_traffic_under_reloads_and_failures_meets_no_error_of_ours_and_every_count_agrees()
-> Result<()> {
    let minutes: f64 = setting("SLB_SOAK_MINUTES")?.unwrap_or(2.0);
    let clock = || std::time::UNIX_EPOCH.elapsed().map(|now| now.as_secs());
    let seed = setting("SLB_SOAK_SEED")?.map_or_else(clock, Ok)?;
    println!("soak: SLB_SOAK_MINUTES={minutes} SLB_SOAK_SEED={seed}");
    let mut chance = Chance::new(seed);
    let mut ground = Ground::start()?;
    let counted = Counted::start(ground.client())?;
    let traffic: Vec<(&Listener, Question, Traffic)> = LISTENERS
        .iter()
        .flat_map(|listener| VIPS.map(|vip| (listener, vip)))
        .flat_map(|(listener, vip)| {
            let start = |&question| (listener, question, ground.traffic(listener, vip, question));
            listener.questions().iter().map(start).collect::<Vec<_>>()
        })
        .collect();
    let (flaps, reloads) =
        trouble(&mut ground, &mut chance, Duration::from_secs_f64(minutes * 60.0))?;

    let mut by_port = BTreeMap::<u16, Answers>::new();
    let (mut provoked, mut ours) = (0, Vec::new());
    for (listener, question, traffic) in traffic {
        let answers = traffic.stop()?;
        let what = format!("{} {}, {question:?}", listener.mode, listener.port);
        ensure!(answers.answered() > 100, "{what} hardly ran: {answers}");
        for error in &answers.errors {
            match flaps.iter().any(|flap| explains(flap, error, listener)) {
                true => provoked += 1,
                false => ours.push(format!("{what}: {}", told(error, &flaps))),
            }
        }
        by_port.entry(listener.port).or_default().add(answers);
    }
    let answered: u64 = by_port.values().map(Answers::answered).sum();
    println!(
        "soak: {answered} answers, {reloads} reloads, {} flaps, {provoked} errors that they \
         provoked, {} others",
        flaps.len(),
        ours.len()
    );
    let drops = ground.slbd.slb_ok(&["drops"])?;
    println!("soak: drops:\n{drops}");
    ensure!(ours.is_empty(), "errors that the test did not provoke:\n{}", ours.join("\n"));
    ensure!(!flaps.is_empty() && reloads > 10, "there was hardly any trouble");

    ground.slbd.wait_for_status("all is over", SETTLING, nothing_left)?;
    ensure!(ground.local_ports()? == 0, "local ports are taken: {}", ground.local_ports()?);
    agree(&ground, &counted, &by_port)
}

/// A number out of the environment.
fn setting<T: std::str::FromStr>(name: &str) -> Result<Option<T>> {
    let Ok(text) = env::var(name) else { return Ok(None) };
    text.parse().ok().with_context(|| format!("{name}={text} is no number")).map(Some)
}

/// Reloads and failures until the time is over; returns when all backends are healthy again.
fn trouble(
    ground: &mut Ground,
    chance: &mut Chance,
    duration: Duration,
) -> Result<(Vec<Flap>, u32)> {
    let (end, mut reloads, mut flaps) = (Instant::now() + duration, 0, Vec::<Flap>::new());
    let mut down = false;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(chance.between(100, 800)));
        let now = Instant::now();
        if let Some(flap) = flaps.last_mut().filter(|_| down) {
            let status = ground.slbd.status()?;
            if flap.noticed.is_none() && ground.is_down(&status, &flap.backend) {
                flap.noticed = Some(Instant::now());
            }
            if flap.noticed.is_some() && now > flap.until {
                ground.restart(&flap.backend)?;
                down = false;
            }
        } else if chance.one_in(3) && ground.can_lose_one(&ground.slbd.status()?) {
            let backend = ground.kill(chance);
            let until = now + Duration::from_millis(chance.between(1000, 6000));
            flaps.push(Flap { backend, killed: now, noticed: None, until });
            down = true;
        }
        if !chance.one_in(4) {
            ground.reload(chance)?;
            reloads += 1;
        }
    }
    if let Some(flap) = flaps.last_mut().filter(|_| down) {
        let what = "the dead backend is noticed";
        ground
            .slbd
            .wait_for_status(what, PATIENCE, |status| ground.is_down(status, &flap.backend))?;
        flap.noticed = Some(Instant::now());
        ground.restart(&flap.backend)?;
    }
    ground.reload_all()?;
    ground.slbd.wait_for_status("all are healthy again", PATIENCE, seen::all_healthy)?;
    Ok((flaps, reloads))
}

/// Whether a request could meet the dead backend: it was under way before all had noticed, and
/// what it says is what a dead server says. A kept connection to another backend has no excuse;
/// one to the dead backend may find out later, at its next request.
fn explains(flap: &Flap, error: &ClientError, listener: &Listener) -> bool {
    let owned = error.owner.is_some();
    let grace = if owned { Duration::from_secs(2) } else { Duration::ZERO };
    let during = error.at >= flap.killed && flap.noticed.is_none_or(|at| error.begun <= at + grace);
    let there = error.owner.as_ref().is_none_or(|owner| *owner == flap.backend);
    let dead = ["refused", "reset", "closed", "Broken pipe"];
    // ICMP errors are limited by rate, so a datagram to a dead server may find no answer at all.
    let quiet = listener.protocol == "udp" && error.text.contains("no answer");
    during && there && (quiet || dead.iter().any(|word| error.text.contains(word)))
}

fn told(error: &ClientError, flaps: &[Flap]) -> String {
    let since = |at: Instant| format!("{:.3} s", error.begun.duration_since(at).as_secs_f32());
    let last = flaps.iter().rfind(|flap| flap.killed < error.begun);
    let after = last.map_or_else(String::new, |flap| {
        let noticed = flap.noticed.map_or_else(|| "not yet".to_owned(), since);
        format!(
            ", begun {} after {} died, noticed {noticed} before",
            since(flap.killed),
            flap.backend
        )
    });
    let owner = error.owner.as_deref().unwrap_or("nobody");
    let taken = error.at.duration_since(error.begun);
    format!("{} (kept: {owner}) after {taken:?}{after}", error.text)
}

/// Gauges and the table are empty.
fn nothing_left(status: &Value) -> bool {
    let gauges = ["active_connections", "inactive_connections"];
    let open = |one: &Value| gauges.iter().any(|name| seen::number(one, name) != 0);
    let entries = ["connections", "connections_v6"];
    entries.iter().all(|name| seen::number(&status["dataplane"], name) == 0)
        && !seen::listeners(status).any(open)
        && !seen::backends(status).any(open)
}

/// The balancer's counts, the client's kernel's, the clients' and the servers'.
fn agree(ground: &Ground, counted: &Counted, by_port: &BTreeMap<u16, Answers>) -> Result<()> {
    let status = ground.slbd.status()?;
    let mut wrong = Vec::new();
    for listener in &LISTENERS {
        let (port, answers) = (listener.port, &by_port[&listener.port]);
        let (sent, received) = counted.at(port)?;
        let shown = seen::listener(&status, port);
        // Replies do not pass the balancer in dr and tunnel mode.
        // A SYN that is repeated because its backend has died may be scheduled once more.
        let repeated = match listener.protocol {
            "tcp" => counted.syns(port)?.checked_sub(answers.opened).context("SYNs were sent")?,
            _ => 0,
        };
        let connections = seen::number(shown, "connections_total");
        let possible = answers.opened..=answers.opened + repeated;
        println!("soak: {} {port}: {connections} connections, {possible:?}", listener.mode);
        if !possible.contains(&connections) {
            wrong.push(format!(
                "{} {port}: connections_total is {connections}, not in {possible:?}",
                listener.mode
            ));
        }
        let back = if listener.replies_pass() { received } else { Default::default() };
        for (name, wanted) in [
            ("packets_in", sent.packets),
            ("bytes_in", sent.bytes),
            ("packets_out", back.packets),
            ("bytes_out", back.bytes),
        ] {
            let number = seen::number(shown, name);
            if number != wanted {
                wrong.push(format!("{} {port}: {name} is {number}, not {wanted}", listener.mode));
            }
        }
        for (backend, served) in ground.served(listener) {
            // A server that dies has counted answers that did not arrive.
            let got = answers.of(&backend);
            let lost = answers.errors.len() as u64;
            if !(got..=got + lost).contains(&served) {
                wrong.push(format!(
                    "{} {port}: {backend} served {served}, clients got {got}",
                    listener.mode
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "counts differ:\n{}\n{status:#}", wrong.join("\n"));
    Ok(())
}

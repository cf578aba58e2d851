//! A flood of SYNs beside open connections: how many are answered in a second, and how long the
//! connections' messages take then and without it.
//!
//! One processor has the flood alone: the program that makes the SYNs, the balancer's receiver that
//! answers them, and what counts the answers. The other one has everything else: clients, servers,
//! the balancer's other receivers, the daemon. Calm and flooded stretches take turns, on connections
//! that stay open throughout, with a third kind in which the flood's processor makes frames that go
//! nowhere: what that changes comes of what both processors share, not of the balancer.

use std::{
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use nix::unistd::gettid;
use serde_json::{Value, json};
use slb_tests::{
    lab::{
        Arms, Conversations, Families, Flooder, Host, Inverter, Lab, Pace, Slbd, VIP_V4,
        conversations,
    },
    table_lab::pin,
};

use crate::{measure, report};

/// Processors of the flood and of everything else.
const FLOOD: usize = 0;
const ELSE: usize = 1;
/// Of the listener and of its backends.
const PORT: u16 = 80;
/// Of a message, and of its answer.
const BYTES: usize = 1000;
/// The first stretches; the others are as long as the flood before them took.
const LENGTH: Duration = Duration::from_secs(4);
/// What is not measured at the beginning of each stretch.
const SETTLES: Duration = Duration::from_millis(500);
/// How long the daemon and its checks may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);
/// Millions of SYNs in a second, at least.
const LEAST_MPPS: f64 = 1.0;
/// The flooded p99 divided by the calm one, at most.
const MOST_RATIO: f64 = 2.0;
/// What is told of a histogram.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Rounds, each of a calm, a busy and a flooded stretch
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// SYNs of a flooded stretch
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u32).range(1_000_000..))]
    syns: u32,
    /// Open connections
    #[arg(long, default_value_t = 200)]
    connections: usize,
    /// Milliseconds from one message of a connection to its next one
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    interval_ms: u64,
    /// End with 1 if the rate is below 1 Mpps, the flooded p99 above twice the calm one, or a
    /// connection broken
    #[arg(long)]
    check: bool,
}

/// How long messages take in stretches of one kind.
struct Stretch {
    what: &'static str,
    /// Of each round, nanoseconds.
    p99: Vec<f64>,
    latencies: Histogram<u64>,
}

impl Stretch {
    fn new(what: &'static str) -> Self {
        Self { what, p99: Vec::new(), latencies: conversations::histogram() }
    }

    /// Does something and keeps how long messages took meanwhile.
    fn add(&mut self, open: &Conversations, job: impl FnOnce() -> Result<()>) -> Result<()> {
        thread::sleep(SETTLES);
        open.take_latencies();
        job()?;
        let round = open.take_latencies();
        ensure!(!round.is_empty(), "{}: nobody said anything", self.what);
        self.p99.push(round.value_at_quantile(0.99) as f64);
        Ok(self.latencies.add(round)?)
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "what": self.what,
            "median_ns": measure::median(&self.p99),
            "rounds_p99_ns": self.p99,
            "messages": self.latencies.len(),
            "max_ns": self.latencies.max(),
        });
        for (name, quantile) in QUANTILES {
            json[format!("{name}_ns")] = self.latencies.value_at_quantile(quantile).into();
        }
        json
    }

    fn print(&self) {
        let us = |ns: f64| ns / 1000.0;
        print!("  {:<10}", self.what);
        for (_, quantile) in QUANTILES {
            print!(" {:>9.1}", us(self.latencies.value_at_quantile(quantile) as f64));
        }
        let rounds: Vec<_> = self.p99.iter().map(|p99| format!("{:.0}", us(*p99))).collect();
        let (max, messages) = (us(self.latencies.max() as f64), self.latencies.len());
        println!(" {max:>9.1} {messages:>9}   {}", rounds.join(" "));
    }
}

/// What came out.
struct Judged {
    mpps: f64,
    stretches: [Stretch; 3],
    broken: usize,
}

impl Judged {
    /// The flooded p99 divided by the calm one, each the median of its rounds.
    fn ratio(&self) -> f64 {
        let [calm, _, flooded] = &self.stretches;
        measure::median(&flooded.p99) / measure::median(&calm.p99)
    }

    fn kept(&self) -> bool {
        self.mpps >= LEAST_MPPS && self.ratio() <= MOST_RATIO && self.broken == 0
    }

    fn print(&self, rates: &[f64]) {
        print!("from when a message is due to its answer, µs\n  {:<10}", "");
        QUANTILES.iter().for_each(|(name, _)| print!(" {name:>9}"));
        println!(" {:>9} {:>9}   p99 by round", "max", "messages");
        self.stretches.iter().for_each(Stretch::print);
        let rates: Vec<_> = rates.iter().map(|rate| format!("{rate:.2}")).collect();
        println!(
            "SYNs that came, Mpps: {:.2} ({}), at least {LEAST_MPPS}\np99 flooded / calm: {:.2}, at \
             most {MOST_RATIO}\nconnections broken: {}",
            self.mpps,
            rates.join(" "),
            self.ratio(),
            self.broken
        );
    }
}

/// Measures, prints, saves; ends with 1 if it was to check and a promise is not kept.
///
/// # Errors
/// The lab's, or the file system's; SYNs that were not answered by cookies.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    // The daemon and all threads from here on inherit it.
    pin(ELSE)?;
    let lab = Lab::builder().arms(Arms::Three).families(Families::V4).backends(2).build()?;
    let at = |host: &Host| Inverter::start(&host.namespace, (host.v4, PORT).into());
    let _inverters: Vec<Inverter> = lab.backends.iter().map(at).collect::<Result<_>>()?;
    let slbd = Slbd::start(&lab, &configuration(&lab))?;
    slbd.wait_for_status("all backends healthy", PATIENCE, healthy)?;
    let pace = Pace {
        connections: arguments.connections,
        interval: Duration::from_millis(arguments.interval_ms),
        bytes: BYTES,
    };
    let open = Conversations::open(&lab.clients[0].namespace, (VIP_V4, PORT).into(), pace)?;
    let mut flooder = Flooder::start(&lab)?;

    let mut stretches = ["calm", "busy", "flooded"].map(Stretch::new);
    let (mut took, mut rates) = (LENGTH, Vec::new());
    for _ in 0..arguments.rounds {
        let [calm, busy, flooded] = &mut stretches;
        calm.add(&open, || {
            thread::sleep(took);
            Ok(())
        })?;
        busy.add(&open, || waste(&mut flooder, took))?;
        flooded.add(&open, || {
            took = send(&mut flooder, arguments.syns)?;
            rates.push(f64::from(arguments.syns) / took.as_secs_f64() / 1e6);
            Ok(())
        })?;
    }
    let broken = open.stop();
    broken.iter().for_each(|connection| println!("broken: {connection}"));
    let judged = Judged { mpps: measure::median(&rates), stretches, broken: broken.len() };
    judged.print(&rates);
    let rows: Vec<Value> = judged
        .stretches
        .iter()
        .map(Stretch::json)
        .chain([json!({
            "what": "flood",
            "mpps": judged.mpps,
            "rounds_mpps": rates,
            "syns": arguments.syns,
            "connections": arguments.connections,
            "broken": judged.broken,
            "p99_ratio": judged.ratio(),
        })])
        .collect();
    println!("{}", report::save("flood", &rows)?.display());
    let kept = judged.kept();
    Ok(if arguments.check && !kept { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The flood, on its processor; how long it took.
fn send(flooder: &mut Flooder, syns: u32) -> Result<Duration> {
    let before = flooder.answered().cookies + flooder.lost_on_the_way_back()?;
    let took = on_the_flood_s_processor(|| {
        let begun = Instant::now();
        flooder.send((VIP_V4, PORT).into(), syns)?;
        Ok(begun.elapsed())
    })?;
    let cookies = flooder.answered().cookies + flooder.lost_on_the_way_back()? - before;
    // The first ones open connections, until there are enough for a flood.
    ensure!(cookies >= u64::from(syns - syns / 50), "{cookies} of {syns} SYNs were answered");
    Ok(took)
}

/// Keeps the flood's processor as busy by frames that go nowhere.
fn waste(flooder: &mut Flooder, time: Duration) -> Result<()> {
    on_the_flood_s_processor(|| flooder.waste((VIP_V4, PORT).into(), time))
}

fn on_the_flood_s_processor<T: Send>(job: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pinned = || {
        pin(FLOOD)?;
        give_way()?;
        job()
    };
    thread::scope(|scope| scope.spawn(pinned).join().expect("it ends"))
}

/// Lets everything else of this machine run before the calling thread. Its processor counts as idle
/// then: what otherwise would have to run among clients and servers, and decide their p99, goes where
/// it goes without a flood.
fn give_way() -> Result<()> {
    let thread = gettid().to_string();
    let status = Command::new("chrt").args(["--idle", "--pid", "0", &thread]).status();
    ensure!(status.context("cannot run `chrt` (Debian: util-linux)")?.success(), "chrt failed");
    Ok(())
}

/// One listener on the VIP, defended as it is when nobody says anything.
fn configuration(lab: &Lab) -> String {
    let backends: Vec<String> = lab
        .backends
        .iter()
        .map(|host| format!("{{ address = \"{}\", port = {PORT} }}", host.v4))
        .collect();
    format!(
        "[[instance]]\nname = \"flooded\"\nvips = [\"{VIP_V4}\"]\n\n[[instance.listener]]\n\
         protocol = \"tcp\"\nport = {PORT}\nhealth_check = {{ type = \"tcp\", interval = \"1s\", \
         healthy = 2 }}\nbackends = [{}]\n",
        backends.join(", ")
    )
}

fn healthy(status: &Value) -> bool {
    let backends = &status["instances"][0]["listeners"][0]["backends"];
    backends.as_array().is_some_and(|all| all.iter().all(|one| one["health"] == "healthy"))
}

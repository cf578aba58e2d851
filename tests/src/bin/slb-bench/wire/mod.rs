//! Live frames over veth pairs, on one processor: Mpps, what is lost, and how long a packet is under
//! way, beside bare programs on the same wires.
//!
//! The kernel runs the program on frames as a driver would, 64 at a time, and really sends them:
//! back out of the interface they came by, or out of another. On the far end of each wire a program
//! counts what arrives. All of it runs on one processor, both ends of the wires included.

mod busy;
mod latency;
mod wires;

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use slb_common::service::mode;
use slb_tests::{
    packets::{Packet, flags},
    program::cases::CASES,
    table_lab::pin,
};

use crate::{
    program::{
        established::{Established, Plan, establish, flows_word, mode_name},
        listeners::Features,
    },
    report::{self, Before, Row},
    stream::{End, Stream, Stretch},
};
use latency::Latency;
use wires::{Bare, Sent, Wires};

/// Flows that packets choose from at random.
const FLOWS: [u32; 4] = [1, 1000, 65_536, 1_000_000];
/// Bytes of a frame with the 4 of its checksum, which the kernel never sees.
const SIZES: [u32; 3] = [64, 512, 1500];
const CHECKSUM: u32 = 4;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Rounds, in each of which everything is measured once
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Packets of a row in a round
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(64..))]
    packets: u32,
}

/// A row: which mode, how many flows, how long frames.
struct Measured {
    row: Row,
    /// The program under test, or one of the benchmark's own.
    bare: Option<Bare>,
    stream: Stream,
    flows: u32,
    size: u32,
    sent: u64,
    arrived: u64,
}

/// Measures, prints, saves.
///
/// # Errors
/// The kernel's, or the file system's; packets that did not end as they should have.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    pin(0)?;
    let before = Before::load("wire");
    let mut rows = Vec::new();
    for mode in [mode::NAT, mode::DIRECT, mode::TUNNEL, mode::FULL_NAT] {
        rows.extend(of_mode(mode, arguments, &before)?);
    }
    println!(
        "\nbusy ns: processor time of a packet, the far end's included, median; loss: sent and not arrived, \
         in percent;\nof redirect: Mpps / those of the bare redirect of the same size and rounds; \
         before: busy ns / stored"
    );
    println!("{}", report::save("wire", &rows)?.display());
    Ok(ExitCode::SUCCESS)
}

fn of_mode(mode: u8, arguments: &Arguments, before: &Before) -> Result<Vec<Value>> {
    let plan = Plan { case: CASES[1], mode, connections: FLOWS[3] };
    let Established { mut stage, streams, listener, installed } =
        establish(plan, Features::all(plan.case.family))?;
    let wires = Wires::lay(&mut stage, &listener, &installed, arguments.packets)?;
    let (_, stream) = &streams[0];
    let mut list = rows(mode, stream.template.flows);
    for _ in 0..arguments.rounds {
        for measured in &mut list {
            let Sent { busy_ns, arrived } =
                wires.send(&mut stage, measured.bare, &mut measured.stream, arguments.packets)?;
            measured.row.rounds.push(busy_ns);
            measured.sent += u64::from(arguments.packets);
            measured.arrived += arrived;
        }
    }
    let mut latencies = Vec::new();
    for measured in list.iter_mut().filter(|measured| measured.size == SIZES[0]) {
        let Measured { row, bare, stream, .. } = measured;
        if *bare != Some(Bare::Drop) {
            let stamp_at = wires::stamp_at(if bare.is_some() { mode::NAT } else { mode });
            let times = wires.time(&mut stage, *bare, stream, arguments.packets, stamp_at)?;
            latencies.push(Latency::of(row.what.clone(), times)?);
        }
    }
    print(mode, &list, &latencies, before);
    let redirect = |size| redirect(&list, size);
    let latency = |what: &str| latencies.iter().find(|latency| latency.what == what);
    let json = |measured: &Measured| {
        let mut json = measured.row.json();
        json["mode"] = measured.bare.map_or(mode_name(mode), Bare::name).into();
        json["flows"] = measured.flows.into();
        json["frame_bytes"] = measured.size.into();
        json["mpps"] = mpps(measured).into();
        json["loss_percent"] = loss(measured).into();
        json["of_redirect"] = (mpps(measured) / redirect(measured.size)).into();
        json["latency"] = latency(&measured.row.what).map_or(json!(null), Latency::json);
        json
    };
    Ok(list.iter().map(json).collect())
}

/// Bare programs, and the mode's rows: all sizes and all numbers of flows.
fn rows(mode: u8, connections: u32) -> Vec<Measured> {
    let case = CASES[1];
    let mut rows = Vec::new();
    for size in SIZES {
        let bytes = (size - CHECKSUM) as usize;
        let short = case.to_vip(case.client(1), case.vip(), flags::ACK);
        let headers = short.bytes().len() - short.payload.len();
        let packet = Packet { payload: vec![0x5a; bytes - headers], ..short };
        let mut row = |what: String, bare, flows: u32| {
            let flows = flows.min(connections);
            let stream = Stream::new(&packet, End::Client, Stretch { first: 0, flows });
            let row = Row::new(format!("{what}, {size} bytes"));
            rows.push(Measured { row, bare, stream, flows, size, sent: 0, arrived: 0 });
        };
        for bare in [Bare::Drop, Bare::Transmit, Bare::Redirect] {
            row(format!("bare {}", bare.name()), Some(bare), 1);
        }
        for flows in FLOWS {
            row(format!("{} v4 UDP, {}", mode_name(mode), flows_word(flows)), None, flows);
        }
    }
    rows
}

/// Millions of packets in a second of the processor.
fn mpps(measured: &Measured) -> f64 {
    1000.0 / measured.row.median()
}

fn loss(measured: &Measured) -> f64 {
    match measured.bare {
        Some(Bare::Drop) => 0.0,
        _ => measured.sent.saturating_sub(measured.arrived) as f64 / measured.sent as f64 * 100.0,
    }
}

fn redirect(list: &[Measured], size: u32) -> f64 {
    list.iter()
        .find(|measured| measured.bare == Some(Bare::Redirect) && measured.size == size)
        .map_or(f64::NAN, mpps)
}

fn print(mode: u8, list: &[Measured], latencies: &[Latency], before: &Before) {
    println!(
        "\nwire: {}, 1 000 000 connections\n{:<44} {:>8} {:>8} {:>7} {:>8} {:>12} {:>7}",
        mode_name(mode),
        "",
        "least",
        "busy ns",
        "Mpps",
        "loss %",
        "of redirect",
        "before"
    );
    for measured in list {
        let Measured { row, size, .. } = measured;
        let since = before.ratio(&row.what, row.median());
        println!(
            "  {:<42} {:>8.1} {:>8.1} {:>7.2} {:>8.3} {:>12.2} {since:>7}",
            row.what,
            row.least(),
            row.median(),
            mpps(measured),
            loss(measured),
            mpps(measured) / redirect(list, *size)
        );
    }
    latency::print(latencies);
}

//! The kernel's packet generator: instructions of the processor for each packet that is forwarded,
//! from the generator to a counter behind the balancer, beside bare redirecting, IPVS and routing.
//!
//! Where time counts instructions (`cargo xtask bench pktgen` runs this in such a virtual machine)
//! a nanosecond is one. On a real machine, `--iface` only sends, at a device under test.

mod contenders;
mod generator;
mod ground;

use std::{net::Ipv4Addr, process::ExitCode};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use slb_tests::lab::VIP_V4;

use self::{
    contenders::{Bare, Features, LISTENERS, SERVICES},
    generator::Stream,
    ground::{Forwarded, Ground, Load},
};
use crate::{
    budget,
    program::established::flows_word,
    report::{self, Before},
};

/// Flows that take turns.
const FLOWS: [u32; 2] = [1, 1000];
/// A word on the command line of the kernel whose machine counts instructions.
const COUNTING: &str = "slb.counting";

/// What to send, and where.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Packets of a row; fewer than 150 000 are too few to be exact
    #[arg(long, default_value_t = 150_000, value_parser = clap::value_parser!(u32).range(1000..))]
    packets: u32,
    /// End with 1 if a row is over its budget
    #[arg(long)]
    check: bool,
    /// Only send, by this interface of this machine, and say how fast it went
    #[arg(long, requires = "dst_mac", requires = "dst")]
    iface: Option<String>,
    /// With --iface: MAC address of the device under test
    #[arg(long)]
    dst_mac: Option<String>,
    /// With --iface: the VIP
    #[arg(long)]
    dst: Option<Ipv4Addr>,
    /// With --iface: the listener's port
    #[arg(long, default_value_t = 80)]
    dst_port: u16,
    /// With --iface: the first client's address; there are as many as flows
    #[arg(long, default_value = "10.8.0.0")]
    src: Ipv4Addr,
    /// With --iface: flows that take turns
    #[arg(long, default_value_t = 1000)]
    flows: u32,
    /// With --iface: bytes of a frame without its checksum
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(60..=9000))]
    size: u32,
}

/// A contender with so many flows.
#[derive(Debug)]
struct Row {
    what: String,
    flows: u32,
    forwarded: Forwarded,
    budget: Option<f64>,
}

/// Measures, prints, saves; or only sends.
///
/// # Errors
/// The kernel's, or the file system's; packets that did not arrive.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(interface) = &arguments.iface {
        return send(arguments, interface);
    }
    let counting = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    ensure!(
        counting.split_whitespace().any(|word| word == COUNTING),
        "instructions are counted in a virtual machine only\nhint: `cargo xtask bench pktgen` \
         boots it; --iface NAME sends by an interface of this machine"
    );
    let before = Before::load("pktgen");
    let rows = measure(arguments.packets)?;
    let bare = |flows| rows.iter().find(|row| row.flows == flows).map_or(f64::NAN, Row::cost);
    print(&rows, bare, &before);
    let values: Vec<Value> = rows.iter().map(|row| row.json(bare(row.flows))).collect();
    println!("{}", report::save("pktgen", &values)?.display());
    let over = rows.iter().filter(|row| row.over()).count();
    Ok(if arguments.check && over > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every contender, one after the other, with the same packets.
fn measure(packets: u32) -> Result<Vec<Row>> {
    let mut ground = Ground::lay()?;
    let mut rows = Vec::new();
    let backend = ground.lab.backends[0].v4;
    let mut take = |ground: &mut Ground, what: &str, to, answered, budget| {
        for flows in FLOWS {
            let load = Load { to, flows, packets };
            let forwarded = ground.load(load, answered).with_context(|| what.to_owned())?;
            println!("  measured   {what}, {}", flows_word(flows));
            rows.push(Row { what: what.to_owned(), flows, forwarded, budget });
        }
        anyhow::Ok(())
    };
    let bare = Bare::attach(&ground.lab)?;
    take(&mut ground, "bare XDP redirect", (VIP_V4, 80), false, None)?;
    drop(bare);
    let daemon = contenders::balancer(&ground)?;
    for (mode, features, port) in LISTENERS {
        let more = if features == Features::All { ", all features" } else { "" };
        let budget = (mode != "tunnel").then_some(budget::PKTGEN_INSTRUCTIONS);
        let answered = mode == "nat";
        take(&mut ground, &format!("slb {mode}{more}"), (VIP_V4, port), answered, budget)?;
    }
    drop(daemon);
    ground.count_by_interface()?;
    take(&mut ground, "routing", (backend, 80), false, None)?;
    contenders::ipvs(&ground.lab)?;
    for (mode, _, scheduler, port) in SERVICES {
        let what = format!("IPVS {mode}, {scheduler}");
        take(&mut ground, &what, (VIP_V4, port), false, None)?;
    }
    Ok(rows)
}

impl Row {
    /// Instructions of a packet: nanoseconds, where one is one.
    fn cost(&self) -> f64 {
        self.forwarded.sent.microseconds as f64 * 1000.0 / self.forwarded.arrived as f64
    }

    /// As words, by which the stored run is compared.
    fn name(&self) -> String {
        format!("{}, {}", self.what, flows_word(self.flows))
    }

    fn over(&self) -> bool {
        self.budget.is_some_and(|most| self.cost() > most)
    }

    fn json(&self, bare: f64) -> Value {
        json!({
            "what": self.name(),
            "contender": self.what,
            "flows": self.flows,
            // By the name that the stored run is compared by; a nanosecond is an instruction.
            "median_ns": self.cost(),
            "instructions": self.cost(),
            "of_bare": self.cost() / bare,
            "sent": self.forwarded.sent.packets,
            "arrived": self.forwarded.arrived,
            "budget": self.budget,
        })
    }
}

fn print(rows: &[Row], bare: impl Fn(u32) -> f64, before: &Before) {
    println!(
        "\n{:<40} {:>12} {:>8} {:>8} {:>8} {:>8} {:>7}",
        "pktgen, 60 bytes, UDP over IPv4",
        "instructions",
        "of bare",
        "over it",
        "lost %",
        "budget",
        "before"
    );
    for row in rows {
        let Forwarded { sent, arrived } = row.forwarded;
        let lost = 100.0 - arrived as f64 * 100.0 / sent.packets as f64;
        let (cost, bare) = (row.cost(), bare(row.flows));
        let budget = row.budget.map_or_else(String::new, |most| format!("{most:.0}"));
        println!(
            "{:<40} {cost:>12.0} {:>8.3} {:>8.0} {lost:>8.3} {budget:>8} {:>7} {}",
            row.name(),
            cost / bare,
            cost - bare,
            before.ratio(&row.name(), cost),
            if row.over() { "over" } else { "" }
        );
    }
    println!(
        "instructions: of the processor, for each packet that arrived, the generator's and the \
         counter's included;\nof bare: divided by the bare redirect with as many flows; over it: \
         more than that; before: to the stored run"
    );
}

/// Sends at a device under test and says how fast that went.
fn send(arguments: &Arguments, interface: &str) -> Result<ExitCode> {
    let Arguments { dst_mac: Some(to_mac), dst: Some(to), .. } = arguments else {
        anyhow::bail!("--iface needs --dst-mac and --dst");
    };
    let stream = Stream {
        interface: interface.to_owned(),
        packets: arguments.packets,
        bytes: arguments.size,
        to_mac: to_mac.clone(),
        to: (*to, arguments.dst_port),
        from: (arguments.src, 5000),
        flows: arguments.flows,
    };
    let sent = stream.send()?;
    let seconds = sent.microseconds as f64 / 1e6;
    let mpps = sent.packets as f64 / sent.microseconds as f64;
    println!(
        "{} packets of {} bytes by {interface} in {seconds:.3} s: {mpps:.3} Mpps; {} errors",
        sent.packets, arguments.size, sent.errors
    );
    println!("`slb status` and `slb drops` of the device under test say what became of them");
    let row = json!({
        "what": interface,
        "packets": sent.packets,
        "bytes": arguments.size,
        "flows": arguments.flows,
        "seconds": seconds,
        "mpps": mpps,
        "errors": sent.errors,
    });
    println!("{}", report::save("pktgen-iface", &[row])?.display());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::{generator::Sent, *};

    fn row(microseconds: u64, arrived: u64, budget: Option<f64>) -> Row {
        let sent = Sent { microseconds, packets: 150_000, errors: 0 };
        Row { what: "x".into(), flows: 1, forwarded: Forwarded { sent, arrived }, budget }
    }

    #[test]
    fn a_packet_s_cost_is_the_time_over_what_arrived_and_not_over_what_was_sent() {
        assert!((row(900_000, 150_000, None).cost() - 6000.0).abs() < 1e-9);
        assert!((row(900_000, 75_000, None).cost() - 12_000.0).abs() < 1e-9);
    }

    #[test]
    fn a_row_is_over_its_budget_alone() {
        assert!(row(900_000, 150_000, Some(5999.0)).over());
        assert!(!row(900_000, 150_000, Some(6001.0)).over());
        assert!(!row(900_000, 1, None).over());
    }
}

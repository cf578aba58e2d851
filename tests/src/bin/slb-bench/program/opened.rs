//! First packets of connections, into an empty, a half full and a full table.

use anyhow::Result;
use slb_common::{
    Verdict,
    bench::Flow,
    service::{mode, scheduler},
};
use slb_tests::{
    packets::flags,
    program::{
        cases::{CASES, Case},
        listener::{Installed, Listener},
    },
};
use slb_userspace::{bpf::FullNat, config::model::Family};

use super::{
    Extent, Scene,
    established::{Plan, answer, establish_more, padded},
    listeners::{self, Features},
    scene::{After, Measured, Outcome, Stage, Table},
};
use crate::{
    budget::{self, Floor},
    stream::{End, Stream, Stretch, client},
};

/// Connections that the table is made for: half of its places.
const CONNECTIONS: u32 = 1_000_000;
/// Connections that a row opens in a round: so few that the table stays as full as it was.
const OPENS: u32 = 5000;
/// Numbers of the clients that open them, far from those that are in.
const STRANGERS: u32 = 8_000_000;
/// Clients that have a template already.
const KNOWN: u32 = 1000;

/// How full the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Empty,
    Half,
    /// Of connections that nobody has answered: a new one takes one's place.
    HalfOpen,
    /// Of established ones, whose place nobody takes.
    Established,
}

impl Full {
    const fn words(self) -> &'static str {
        match self {
            Self::Empty => "empty table",
            Self::Half => "half full",
            Self::HalfOpen => "full of half-open",
            Self::Established => "full of established",
        }
    }
}

/// A listener to open connections with.
struct Variant {
    what: &'static str,
    scheduler: u8,
    features: Features,
    /// How many clients come, if not another one each time.
    clients: Option<u32>,
}

impl Variant {
    const fn new(what: &'static str, features: Features) -> Self {
        Self { what, scheduler: scheduler::ROUND_ROBIN, features, clients: None }
    }
}

/// A scene for each.
pub(super) fn scenes() -> Vec<Scene> {
    let of = |case: Case, full: Full| {
        let name = format!("new connections: {} TCP, {}", family_name(case), full.words());
        Scene::new(name, move |extent| opened(case, full, extent))
    };
    vec![
        of(CASES[0], Full::Empty),
        of(CASES[0], Full::Half),
        of(CASES[0], Full::HalfOpen),
        of(CASES[0], Full::Established),
        of(CASES[2], Full::Half),
    ]
}

const fn family_name(case: Case) -> &'static str {
    match case.family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}

/// What is opened. The first one has a budget in a half full table.
fn variants(case: Case) -> Vec<Variant> {
    let none = Features::default();
    let whole = if case.vip().is_ipv4() { 32 } else { 128 };
    let persistent = Features { persistence: Some(whole), ..none };
    let by = |what, scheduler| Variant { scheduler, ..Variant::new(what, none) };
    vec![
        Variant::new("wrr", none),
        by("wlc", scheduler::LEAST_CONNECTIONS),
        by("mh", scheduler::SOURCE_HASH),
        Variant::new("wrr, persistence, unknown client", persistent),
        Variant {
            clients: Some(KNOWN),
            ..Variant::new("wrr, persistence, known client", persistent)
        },
        Variant::new("wrr, 1 000 access entries", Features { acl: 1000, ..none }),
        Variant::new("wrr, 50 000 access entries", Features { acl: 50_000, ..none }),
        Variant::new("wrr, limits", Features { limits: true, ..none }),
        Variant::new("wrr, all features", Features::all(case.family)),
    ]
}

fn opened(case: Case, full: Full, extent: Extent) -> Result<Vec<Outcome>> {
    let family = family_name(case);
    let variants = variants(case);
    let of_variant = OPENS * extent.rounds;
    let flows = (variants.len() as u32 * of_variant).max(3 * CONNECTIONS);
    let table = Table { family: case.family, connections: CONNECTIONS, full_nat: FullNat::Off };
    let mut stage = Stage::new(table, flows)?;
    fill(&mut stage, case, full)?;
    let mut list = Vec::new();
    let mut flows = Vec::new();
    for (variant, number) in variants.iter().zip(2..) {
        let first = flows.len() as u32;
        flows.extend((0..of_variant).map(|open| match variant.clients {
            Some(clients) => of_known_client(open, clients),
            None => client(STRANGERS + first + open),
        }));
        let installed = install(&mut stage, case, variant, number);
        let packet = padded(case.to_vip(case.client(1), case.vip_number(number), flags::SYN));
        let stream = Stream::new(&packet, End::Client, Stretch { first, flows: of_variant });
        let budget =
            (number == 2 && full == Full::Half && case.vip().is_ipv4()).then_some(budget::OPEN);
        let refused = full == Full::Established;
        let after =
            if full == Full::HalfOpen { After::Stays } else { After::Ends(installed.service) };
        let verdict = if refused { Verdict::DropTableFull } else { Verdict::Transmitted };
        list.push(
            Measured::new(format!("new {family} TCP, {}, {}", full.words(), variant.what), stream)
                .ending(verdict)
                .packets(OPENS, after)
                .beside(Floor::Memory(CONNECTIONS), budget),
        );
    }
    if full == Full::Established {
        // What is refused is refused by the table, whatever the listener is like.
        list.truncate(1);
    }
    stage.varied.write_flows(0, &flows);
    for (measured, variant) in list.iter_mut().zip(&variants) {
        if let Some(clients) = variant.clients {
            let mut stream = measured.stream.clone();
            stage.send(&mut stream, clients, Verdict::Transmitted)?;
            measured.stream.progress = stream.progress;
        }
    }
    stage.run(list, extent)
}

/// A listener of its own for each variant.
fn install(stage: &mut Stage, case: Case, variant: &Variant, number: u8) -> Installed {
    let mut listener = Listener {
        scheduler: variant.scheduler,
        vips: vec![case.vip_number(number)],
        ..listeners::listener(case, mode::NAT)
    };
    if variant.scheduler == scheduler::SOURCE_HASH {
        // Together about as many places as a Maglev table has.
        listener.backends.iter_mut().for_each(|backend| backend.weight = 8192);
    }
    listeners::install(&mut stage.balancer, case, listener, variant.features)
}

/// One of few clients, from a port that it has not used before.
fn of_known_client(open: u32, clients: u32) -> Flow {
    let address = [11, 0, (open % clients / 256) as u8, (open % clients % 256) as u8];
    let port = 1024 + (open / clients) as u16;
    Flow::new(address, port.to_be_bytes(), [0; 2])
}

fn fill(stage: &mut Stage, case: Case, full: Full) -> Result<()> {
    let listener = listeners::listener(case, mode::NAT);
    let installed = listeners::install(&mut stage.balancer, case, listener, Features::default());
    let plan = Plan { case, mode: mode::NAT, connections: CONNECTIONS };
    match full {
        Full::Empty => {}
        Full::Half => {
            establish_more(stage, plan, installed.service, 0)?;
        }
        Full::HalfOpen => {
            let packet = padded(case.first());
            for first in [0, CONNECTIONS, 2 * CONNECTIONS] {
                let flows: Vec<Flow> = (first..first + CONNECTIONS).map(client).collect();
                stage.varied.write_flows(0, &flows);
                let all = Stretch { first: 0, flows: CONNECTIONS };
                let mut stream = Stream::new(&packet, End::Client, all);
                stage.send(&mut stream, CONNECTIONS, Verdict::Transmitted)?;
            }
        }
        Full::Established => {
            establish_more(stage, plan, installed.service, 0)?;
            establish_more(stage, plan, installed.service, CONNECTIONS)?;
            // What still finds a place.
            let rest: Vec<Flow> = (2 * CONNECTIONS..3 * CONNECTIONS).map(client).collect();
            stage.varied.write_flows(0, &rest);
            let all = Stretch { first: 0, flows: CONNECTIONS };
            let mut stream = Stream::new(&padded(case.first()), End::Client, all);
            stage.varied.run(stream.program, &mut stream, CONNECTIONS)?;
            answer(stage, plan, installed.service)?;
        }
    }
    Ok(())
}

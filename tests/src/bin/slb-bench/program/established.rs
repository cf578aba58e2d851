//! Packets of established connections: every mode, both families, TCP and UDP, one flow and many.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::{Result, ensure};
use slb_common::{Verdict, bench::Flow, service::mode};
use slb_tests::{
    packets::{Packet, flags},
    program::{
        cases::Case,
        listener::{Installed, Listener},
        modes,
    },
};
use slb_userspace::{
    bpf::FullNat,
    config::model::{Family, Protocol},
};

use super::{
    Scene,
    floors::grouped,
    listeners::{self, Features},
    scene::{Measured, Stage, Table},
};
use crate::{
    budget::{self, Budget, Floor},
    stream::{End, Stream, Stretch, between, client, shuffle},
};

/// Flows that rows choose from at random.
const FLOWS: [u32; 4] = [1, 1024, 65_536, 1_000_000];
/// Flows of the large table.
const LARGE: u32 = 10_000_000;

/// Connections of one mode, one family and one protocol.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) case: Case,
    pub(crate) mode: u8,
    pub(crate) connections: u32,
}

/// A scene for every mode, family and protocol.
pub(crate) fn scenes(large: bool) -> Vec<Scene> {
    let mut plans = Vec::new();
    for family in [Family::V4, Family::V6] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for mode in [mode::NAT, mode::DIRECT, mode::TUNNEL, mode::FULL_NAT] {
                let case = Case { family, protocol };
                plans.push(Plan { case, mode, connections: FLOWS[3] });
            }
        }
    }
    if large {
        plans.push(Plan { connections: LARGE, ..plans[0] });
    }
    plans.into_iter().map(scene).collect()
}

fn scene(plan: Plan) -> Scene {
    let name = format!("established: {}, {} connections", plan.words(), grouped(plan.connections));
    Scene::new(name, move |extent| {
        let Established { mut stage, streams, .. } =
            establish(plan, Features::all(plan.case.family))?;
        let flows: Vec<u32> = match plan.connections {
            LARGE => vec![LARGE],
            _ => FLOWS.to_vec(),
        };
        let mut list = Vec::new();
        for (end, stream) in &streams {
            for flows in &flows {
                let mut stream = stream.clone();
                stream.template.flows = *flows;
                let from = if *end == End::Client { "client" } else { "backend" };
                let what = format!("{} from {from}, {}", plan.words(), flows_word(*flows));
                let floor = if *flows == 1 { Floor::Swap } else { Floor::Memory(*flows) };
                let budget = plan.budget(*end, *flows);
                list.push(Measured::new(what, stream).beside(floor, budget));
            }
        }
        stage.run(list, extent)
    })
}

impl Plan {
    fn words(&self) -> String {
        let family = if self.case.family == Family::V4 { "v4" } else { "v6" };
        let protocol = if self.case.protocol == Protocol::Tcp { "TCP" } else { "UDP" };
        format!("{} {family} {protocol}", mode_name(self.mode))
    }

    fn budget(&self, end: End, flows: u32) -> Option<Budget> {
        if self.case.protocol != Protocol::Tcp {
            return None;
        }
        match (self.case.family, self.mode, end, flows) {
            (Family::V4, mode::FULL_NAT, End::Backend, 1_000_000) => Some(budget::FULL_NAT_REPLY),
            (_, mode::FULL_NAT, ..) => None,
            (Family::V4, _, _, 1) => Some(budget::ONE_FLOW),
            (Family::V4, _, _, 65_536) => Some(budget::MANY_FLOWS),
            (Family::V4, _, _, 1_000_000) => Some(budget::MILLION_FLOWS),
            (Family::V4, _, _, LARGE) => Some(budget::TEN_MILLION_FLOWS),
            (Family::V6, _, _, 1_000_000) => Some(budget::MILLION_FLOWS_V6),
            _ => None,
        }
    }
}

/// So many flows, as words.
pub(crate) fn flows_word(flows: u32) -> String {
    format!("{} {}", grouped(flows), if flows == 1 { "flow" } else { "flows" })
}

pub(crate) const fn mode_name(mode: u8) -> &'static str {
    match mode {
        mode::DIRECT => "dr",
        mode::TUNNEL => "tunnel",
        mode::FULL_NAT => "fullnat",
        _ => "nat",
    }
}

/// A packet long enough to be varied, with data if it is a segment with data.
pub(crate) fn longer(packet: Packet) -> Packet {
    let bytes = match (packet.source.is_ipv4(), packet.transport_is_tcp()) {
        (true, true) => 6,
        (true, false) => 18,
        (false, true) => 4,
        (false, false) => 16,
    };
    Packet { payload: vec![0x5a; bytes], ..packet }
}

/// A packet without data, with as many bytes behind it.
pub(crate) fn padded(packet: Packet) -> Packet {
    let longer = longer(packet.clone());
    match packet.transport_is_tcp() {
        true => Packet { padding: longer.payload.len(), ..packet },
        false => longer,
    }
}

/// A stage with all connections of a plan established.
pub(crate) struct Established {
    pub(crate) stage: Stage,
    /// Their packets.
    pub(crate) streams: Vec<(End, Stream)>,
    pub(crate) listener: Listener,
    pub(crate) installed: Installed,
}

/// Establishes all connections of a plan.
pub(crate) fn establish(plan: Plan, features: Features) -> Result<Established> {
    let Plan { case, mode, connections } = plan;
    let full_nat = listeners::full_nat(mode);
    let table = Table { family: case.family, connections, full_nat };
    let lists = if full_nat == FullNat::On { 2 } else { 1 };
    let mut stage = Stage::new(table, connections * lists)?;
    let listener = listeners::listener(case, mode);
    let installed = listeners::install(&mut stage.balancer, case, listener.clone(), features);
    let streams = establish_more(&mut stage, plan, installed.service, 0)?;
    Ok(Established { stage, streams, listener, installed })
}

/// Establishes connections of clients from `first` on with a service; the streams of their packets.
pub(crate) fn establish_more(
    stage: &mut Stage,
    plan: Plan,
    service: u16,
    first: u32,
) -> Result<Vec<(End, Stream)>> {
    let Plan { case, connections, .. } = plan;
    let flows: Vec<Flow> = (first..first + connections).map(client).collect();
    stage.varied.write_flows(0, &flows);
    let packet = padded(case.to_vip(case.client(1), case.vip(), flags::SYN));
    let all = Stretch { first: 0, flows: connections };
    let mut opening = Stream::new(&packet, End::Client, all);
    stage.send(&mut opening, connections, Verdict::Transmitted)?;
    answer(stage, plan, service)
}

/// Completes all connections of a service; the streams of their packets.
pub(crate) fn answer(stage: &mut Stage, plan: Plan, service: u16) -> Result<Vec<(End, Stream)>> {
    let Plan { case, mode, connections } = plan;
    let (clients, locals) = known(stage, case, service);
    ensure!(
        clients.len() >= connections as usize / 100 * 99,
        "{} of {connections} connections are in the table",
        clients.len()
    );
    let connections = clients.len() as u32;
    let from_client = Stretch { first: 0, flows: connections };
    stage.varied.write_flows(0, &clients);
    let from_backend = match mode {
        mode::FULL_NAT => {
            stage.varied.write_flows(connections, &locals);
            Stretch { first: connections, flows: connections }
        }
        _ => from_client,
    };
    let to_vip = |tcp| case.to_vip(case.client(1), case.vip(), tcp);
    let end = if mode == mode::FULL_NAT {
        SocketAddr::new(modes::local(case, 1), 4000)
    } else {
        case.client(1)
    };
    let reply = |tcp| case.reply(case.backend(1), end, tcp);
    let mut sent = |packet: Packet, from, stretch| {
        let mut stream = Stream::new(&packet, from, stretch);
        stage.send(&mut stream, connections, Verdict::Transmitted)
    };
    let streams = if mode::one_sided(mode) {
        // Without answers a flow of datagrams counts as one only after some, over 2 s.
        for _ in 0..4 {
            sent(padded(to_vip(flags::ACK)), End::Client, from_client)?;
            if case.protocol == Protocol::Udp {
                thread::sleep(Duration::from_secs(1));
            }
        }
        vec![(End::Client, longer(to_vip(flags::ACK)), from_client)]
    } else {
        sent(padded(reply(flags::SYN | flags::ACK)), End::Backend, from_backend)?;
        sent(padded(to_vip(flags::ACK)), End::Client, from_client)?;
        // Full NAT tells the client until the backend has answered more than its SYN.
        sent(padded(reply(flags::ACK)), End::Backend, from_backend)?;
        sent(padded(to_vip(flags::ACK)), End::Client, from_client)?;
        vec![
            (End::Client, longer(to_vip(flags::ACK)), from_client),
            (End::Backend, longer(reply(flags::ACK)), from_backend),
        ]
    };
    Ok(streams
        .into_iter()
        .map(|(end, packet, stretch)| (end, Stream::new(&packet, end, stretch)))
        .collect())
}

/// Flows of a service's connections as its clients' packets tell them, and as its backends' do,
/// both in the same order, which says nothing of where they lie in the table.
fn known(stage: &Stage, case: Case, service: u16) -> (Vec<Flow>, Vec<Flow>) {
    let kernel = &stage.balancer.kernel;
    let lines = kernel.table.lines(case.family).filter(|line| line.service == service);
    let (mut clients, mut locals) = (Vec::new(), Vec::new());
    for line in lines {
        clients.push(between(line.client, line.backend.ip()));
        let local = kernel.local(line.ties.local_address());
        let port = u16::from_be_bytes(line.ties.local_port());
        locals.push(between(SocketAddr::new(local, port), line.backend.ip()));
    }
    shuffle(&mut clients);
    shuffle(&mut locals);
    (clients, locals)
}

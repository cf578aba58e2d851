//! What the kernel's own tables would cost: one lookup of the flow, then swap.

use anyhow::Result;
use slb_common::bench::Flow;
use slb_tests::{packets::flags, program::cases::CASES};
use slb_userspace::bpf::FullNat;

use super::{
    Extent, Scene,
    established::{flows_word, longer},
    scene::{Measured, Outcome, Path, Stage, Table},
};
use crate::{
    budget::Floor,
    stream::{End, Stream, Stretch, client, shuffle},
    varied::{Sizes, Varied},
};

/// Flows in the tables: half of their places.
const FLOWS: u32 = 1_000_000;
/// Places of 256 bytes that loads go to, as in the connection table for so many flows.
const MEMORY: u32 = 524_288;

/// The scene.
pub(super) fn scene() -> Scene {
    Scene::new("kernel maps: one lookup, then swap".into(), run)
}

fn run(extent: Extent) -> Result<Vec<Outcome>> {
    let case = CASES[0];
    let table = Table { family: case.family, connections: 1024, full_nat: FullNat::Off };
    let mut stage = Stage::new(table, 1)?;
    let sizes = Sizes { flows: FLOWS, memory: MEMORY, hash: 2 * FLOWS, latencies: 1 };
    stage.varied = Varied::load(sizes)?;
    let mut flows: Vec<Flow> = (0..FLOWS).map(client).collect();
    shuffle(&mut flows);
    stage.varied.write_flows(0, &flows);
    let packet = longer(case.to_vip(case.client(1), case.vip(), flags::ACK));
    let all = Stretch { first: 0, flows: FLOWS };
    let mut stream = Stream::new(&packet, End::Client, all);
    stage.varied.hand_to_own("fill")?;
    stage.varied.run(stream.program, &mut stream, FLOWS)?;
    let mut list = Vec::new();
    for (name, program) in [("HASH", "swap_after_hash"), ("LRU_HASH", "swap_after_lru")] {
        for flows in [1, 1024, 65_536, FLOWS] {
            let mut stream = stream.clone();
            stream.template.flows = flows;
            let what = format!("kernel {name}, {}", flows_word(flows));
            let floor = if flows == 1 { Floor::Swap } else { Floor::Memory(flows) };
            list.push(Measured::own(&what, Path::Varied(program), stream).beside(floor, None));
        }
    }
    stage.run(list, extent)
}

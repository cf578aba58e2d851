//! Both directions of nat at once, each on a processor of its own.

use std::thread;

use anyhow::Result;
use slb_common::service::mode;
use slb_tests::{program::cases::CASES, table_lab::pin};

use super::{
    Extent, Scene,
    established::{Established, Plan, establish, flows_word},
    listeners::Features,
    scene::{Outcome, Path, Stage},
};
use crate::{
    budget::{self, Judged},
    report::Row,
    stream::{End, Stream},
    varied::{Sizes, Varied},
};

/// Connections whose directions are compared; the first of them also alone.
const CONNECTIONS: u32 = 65_536;

/// The scene.
pub(super) fn scene() -> Scene {
    Scene::new("processors: nat v4 TCP, one direction on each".into(), run)
}

fn run(extent: Extent) -> Result<Vec<Outcome>> {
    let plan = Plan { case: CASES[0], mode: mode::NAT, connections: CONNECTIONS };
    let Established { mut stage, streams, .. } = establish(plan, Features::all(plan.case.family))?;
    if aya::util::online_cpus().is_ok_and(|online| online.len() < 2) {
        println!("\nprocessors: there is one only");
        return Ok(Vec::new());
    }
    let mut second = Varied::load(Sizes::flows(CONNECTIONS))?;
    second.write_flows(0, &stage.varied.flows(CONNECTIONS));
    let mut outcomes = Vec::new();
    for flows in [1, CONNECTIONS] {
        let mut streams = streams.clone();
        streams.iter_mut().for_each(|(_, stream)| stream.template.flows = flows);
        outcomes.extend(compare(&mut stage, &mut second, streams, extent)?);
    }
    Ok(outcomes)
}

/// Both directions one after the other, then at once.
fn compare(
    stage: &mut Stage,
    second: &mut Varied,
    mut streams: Vec<(End, Stream)>,
    extent: Extent,
) -> Result<Vec<Outcome>> {
    let name = |what: &str| {
        let flows = flows_word(streams[0].1.template.flows);
        Row::new(format!("nat v4 TCP, both directions, {what}, {flows}"))
    };
    let (mut one, mut two) = (name("one processor"), name("two processors"));
    let mut varying = Row::new("both ways varied: swap".into());
    let mut bare = Row::new("both ways: swap".into());
    for _ in 0..extent.rounds {
        for (path, row) in [
            (Path::Alone("swap"), &mut bare),
            (Path::Varied("swap"), &mut varying),
            (Path::Balanced, &mut one),
        ] {
            let mut sum = 0.0;
            for (_, stream) in &mut streams {
                sum +=
                    stage.time(path, stream, extent.packets, slb_common::Verdict::Transmitted)?;
            }
            row.rounds.push(sum / 2.0);
        }
        two.rounds.push(at_once(stage, second, &mut streams, extent.packets)?);
    }
    let net = |row: &Row| row.median() - (varying.median() - bare.median());
    let alone = Judged { net: net(&one), floor: bare.median(), budget: None };
    let both = Judged { net: net(&two), floor: net(&one), budget: Some(budget::TWO_PROCESSORS) };
    Ok(vec![Outcome { row: one, judged: Some(alone) }, Outcome { row: two, judged: Some(both) }])
}

/// Nanoseconds of a packet while both processors are at work.
fn at_once(
    stage: &mut Stage,
    second: &mut Varied,
    streams: &mut [(End, Stream)],
    packets: u32,
) -> Result<f64> {
    let program = stage.balancer.object.program("slb")?.fd()?;
    stage.varied.hand_to(program)?;
    second.hand_to(program)?;
    let objects = [&mut stage.varied, second];
    let times = thread::scope(|scope| {
        let runs: Vec<_> = objects
            .into_iter()
            .zip(streams)
            .zip(0..)
            .map(|((object, (_, stream)), processor)| {
                scope.spawn(move || {
                    pin(processor)?;
                    object.run(stream.program, stream, packets)
                })
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause)))
            .collect::<Result<Vec<f64>>>()
    })?;
    Ok(times.iter().sum::<f64>() / times.len() as f64)
}

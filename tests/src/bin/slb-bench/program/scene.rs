//! A program with maps of its own, the object that varies its packets, and things to measure with
//! both in turns.

use anyhow::{Context, Result, ensure};
use aya::programs::TestRunOptions;
use serde_json::Value;
use slb_common::Verdict;
use slb_tests::program::{balancer::Balancer, loaded};
use slb_userspace::{
    bpf::{self, FullNat, Sizes},
    config::model::Family,
    expiry,
};

use super::{Extent, floors::Floors};
use crate::{
    budget::{Budget, Floor, Judged},
    measure,
    report::Row,
    stream::Stream,
    varied::{self, Varied},
};

/// Which way a packet takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Varied, then through the program under test.
    Balanced,
    /// Always the same one, straight into the program under test, which leaves it as it is.
    Constant,
    /// Varied, then through one of the benchmark's own programs.
    Varied(&'static str),
    /// Always the same one, straight into one of the benchmark's own programs.
    Alone(&'static str),
}

/// What becomes of the table after each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It stays.
    Stays,
    /// The entries of this service are ended.
    Ends(u16),
}

/// One thing to measure.
#[derive(Clone)]
pub(crate) struct Measured {
    pub(crate) row: Row,
    pub(crate) path: Path,
    pub(crate) stream: Stream,
    /// How its packets end.
    verdict: Verdict,
    /// Packets of a round, if not as many as of the others.
    packets: Option<u32>,
    after: After,
    pub(crate) floor: Floor,
    pub(crate) budget: Option<Budget>,
}

impl Measured {
    /// Packets that are sent, compared with bare parse, swap, send.
    pub(crate) fn new(what: String, stream: Stream) -> Self {
        Self {
            row: Row::new(what),
            path: Path::Balanced,
            stream,
            verdict: Verdict::Transmitted,
            packets: None,
            after: After::Stays,
            floor: Floor::Swap,
            budget: None,
        }
    }

    /// A row of the benchmark's own.
    pub(crate) fn own(what: &str, path: Path, stream: Stream) -> Self {
        Self { path, ..Self::new(what.to_owned(), stream) }
    }

    #[must_use]
    pub(crate) fn constant(self) -> Self {
        Self { path: Path::Constant, ..self }
    }

    #[must_use]
    pub(crate) fn ending(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    #[must_use]
    pub(crate) fn packets(self, packets: u32, after: After) -> Self {
        Self { packets: Some(packets), after, ..self }
    }

    #[must_use]
    pub(crate) fn beside(self, floor: Floor, budget: Option<Budget>) -> Self {
        Self { floor, budget, ..self }
    }
}

/// What was measured of one thing.
pub(crate) struct Outcome {
    pub(crate) row: Row,
    /// Absent for floors themselves.
    pub(crate) judged: Option<Judged>,
}

impl Outcome {
    pub(crate) fn json(&self) -> Value {
        let mut json = self.row.json();
        let judged = self.judged.map(|judged| judged.json());
        if let (Some(row), Some(Value::Object(judged))) = (json.as_object_mut(), judged) {
            row.extend(judged);
        }
        json
    }
}

/// What the program is loaded for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) family: Family,
    pub(crate) connections: u32,
    pub(crate) full_nat: FullNat,
}

/// A program with maps of its own, and the object that varies its packets.
pub(crate) struct Stage {
    pub(crate) balancer: Balancer,
    pub(crate) varied: Varied,
    family: Family,
}

impl Stage {
    /// Tables of one family for so many connections, and room for so many flows.
    pub(crate) fn new(table: Table, flows: u32) -> Result<Self> {
        const SMALL: u32 = 64;
        let Table { family, connections, full_nat } = table;
        let buckets = bpf::buckets(connections);
        // Buckets of IPv6 are twice as long.
        let (buckets_v4, buckets_v6, memory) = match family {
            Family::V4 => (buckets, SMALL, buckets),
            Family::V6 => (SMALL, buckets, buckets * 2),
        };
        let sizes = Sizes {
            buckets_v4,
            buckets_v6,
            ring_slots: 1 << 18,
            templates: 1 << 18,
            backends: 1024,
            full_nat,
            ..loaded::sizes(SMALL)
        };
        Ok(Self {
            balancer: Balancer::with_sizes(sizes),
            varied: Varied::load(varied::Sizes { memory, ..varied::Sizes::flows(flows) })?,
            family,
        })
    }

    /// Sends so many packets of a stream through the program under test, which all end so.
    pub(crate) fn send(&mut self, stream: &mut Stream, packets: u32, end: Verdict) -> Result<()> {
        self.time(Path::Balanced, stream, packets, end).map(drop)
    }

    /// Nanoseconds of a packet.
    pub(crate) fn time(
        &mut self,
        path: Path,
        stream: &mut Stream,
        packets: u32,
        end: Verdict,
    ) -> Result<f64> {
        match path {
            Path::Balanced => {
                self.varied.hand_to(self.balancer.object.program("slb")?.fd()?)?;
                let before = self.counted(end)?;
                let time = self.varied.run(stream.program, stream, packets)?;
                self.ended_so(end, before, packets)?;
                Ok(time)
            }
            Path::Constant => {
                let before = self.counted(end)?;
                let options = TestRunOptions {
                    data_in: Some(&stream.frame),
                    repeat: packets,
                    ..TestRunOptions::default()
                };
                let time = measure::each(packets, || {
                    Ok(self.balancer.object.run("slb", options).map(drop)?)
                })?;
                self.ended_so(end, before, packets)?;
                Ok(time)
            }
            Path::Varied(own) => {
                self.varied.hand_to_own(own)?;
                self.varied.run(stream.program, stream, packets)
            }
            Path::Alone(own) => self.varied.run(own, stream, packets),
        }
    }

    fn counted(&self, verdict: Verdict) -> Result<u64> {
        Ok(self.balancer.kernel.verdict(verdict.index())?)
    }

    /// All packets but one of a hundred have ended so: else something else was measured.
    fn ended_so(&self, end: Verdict, before: u64, packets: u32) -> Result<()> {
        let ended = self.counted(end)? - before;
        ensure!(
            ended <= u64::from(packets) && ended >= u64::from(packets - packets / 100),
            "{ended} of {packets} packets ended as {end:?}: {:?}",
            self.ends()
        );
        Ok(())
    }

    /// How packets have ended so far.
    fn ends(&self) -> Vec<(Verdict, u64)> {
        let counted = Verdict::ALL.iter().copied().zip(self.balancer.verdicts());
        counted.filter(|(_, packets)| *packets > 0).collect()
    }

    fn measure(&mut self, measured: &mut Measured, extent: Extent) -> Result<()> {
        let packets = measured.packets.unwrap_or(extent.packets);
        let time = self
            .time(measured.path, &mut measured.stream, packets, measured.verdict)
            .with_context(|| measured.row.what.clone())?;
        measured.row.rounds.push(time);
        if let After::Ends(service) = measured.after {
            let loaded = &mut *self.balancer;
            expiry::cut(&mut loaded.object, &loaded.kernel, self.family, |line| {
                line.service == service
            })?;
        }
        Ok(())
    }

    /// Measures everything in every round, with the floors that it is compared with.
    pub(crate) fn run(&mut self, list: Vec<Measured>, extent: Extent) -> Result<Vec<Outcome>> {
        let mut floors = Floors::of(&list);
        let mut list = list;
        for _ in 0..extent.rounds {
            for measured in floors.all().chain(&mut list) {
                self.measure(measured, extent)?;
            }
        }
        let judged: Vec<_> = list.iter().map(|measured| floors.judge(measured)).collect();
        let floors = floors.into_rows().map(|row| Outcome { row, judged: None });
        let rows = list.into_iter().zip(judged);
        let rows = rows.map(|(measured, judged)| Outcome { row: measured.row, judged });
        Ok(floors.chain(rows).collect())
    }
}

//! The benchmarks' own object: the programs that vary packets, floors, the far end of a wire.

use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::ProgramArray,
    programs::{ProgramFd, TestRun, TestRunAttrs, TestRunOptions, Xdp},
};
use slb_common::bench::{Flow, Progress, Receiver, Template};
use slb_tests::bench_object::{self, mapping};
use slb_userspace::{bpf::mapping::Mapping, objects};

use crate::{measure, stream::Stream};

/// How large its maps are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Flows to vary packets by.
    pub(crate) flows: u32,
    /// Places of 256 bytes that dependent loads go to, a power of two.
    pub(crate) memory: u32,
    /// Places of the kernel's hash tables.
    pub(crate) hash: u32,
    /// Times that the far end keeps.
    pub(crate) latencies: u32,
}

impl Sizes {
    /// Room for flows alone.
    pub(crate) const fn flows(flows: u32) -> Self {
        Self { flows, memory: 1, hash: 1, latencies: 1 }
    }
}

/// The object, loaded.
pub(crate) struct Varied {
    ebpf: Ebpf,
    next: ProgramArray<aya::maps::MapData>,
    flows: Mapping<Flow>,
    template: Mapping<Template>,
    progress: Mapping<Progress>,
    receiver: Mapping<Receiver>,
    latencies: Mapping<u64>,
    mask: u32,
}

impl Varied {
    /// Loads it.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn load(sizes: Sizes) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("FLOWS", sizes.flows)
            .map_max_entries("MEMORY", sizes.memory)
            .map_max_entries("HASH", sizes.hash)
            .map_max_entries("LRU", sizes.hash)
            .map_max_entries("LATENCIES", sizes.latencies)
            .load(objects::bench())?;
        let next = ProgramArray::try_from(ebpf.take_map("NEXT").context("no map NEXT")?)?;
        Ok(Self {
            next,
            flows: mapping(&ebpf, "FLOWS", sizes.flows)?,
            template: mapping(&ebpf, "TEMPLATE", 1)?,
            progress: mapping(&ebpf, "PROGRESS", 1)?,
            receiver: mapping(&ebpf, "RECEIVER", 1)?,
            latencies: mapping(&ebpf, "LATENCIES", sizes.latencies)?,
            mask: sizes.memory - 1,
            ebpf,
        })
    }

    /// One of its programs.
    ///
    /// # Errors
    /// No such program, or the verifier's words.
    pub(crate) fn program(&mut self, name: &str) -> Result<&mut Xdp> {
        bench_object::program(&mut self.ebpf, name)
    }

    /// Writes flows into the map.
    pub(crate) fn write_flows(&self, first: u32, flows: &[Flow]) {
        flows.iter().zip(first..).for_each(|(flow, index)| self.flows.set(index, flow));
    }

    /// The first flows of the map.
    pub(crate) fn flows(&self, flows: u32) -> Vec<Flow> {
        (0..flows).map(|index| self.flows.get(index)).collect()
    }

    /// All flows of the map.
    pub(crate) fn all_flows(&self) -> Vec<Flow> {
        self.flows(self.flows.len())
    }

    /// Says where varied packets go on.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn hand_to(&mut self, program: &ProgramFd) -> Result<()> {
        Ok(self.next.set(0, program, 0)?)
    }

    /// Says that varied packets go on in one of its own programs.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn hand_to_own(&mut self, name: &str) -> Result<()> {
        let program = self.program(name)?.fd()?.try_clone()?;
        self.hand_to(&program)
    }

    /// Runs one of its programs on a stream so many times; returns nanoseconds for each.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn run(&mut self, name: &str, stream: &mut Stream, times: u32) -> Result<f64> {
        self.run_with(name, stream, times, None, TestRunAttrs::new())
    }

    /// The same with a context and with attributes of the run.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn run_with(
        &mut self,
        name: &str,
        stream: &mut Stream,
        times: u32,
        context: Option<&[u8]>,
        attrs: TestRunAttrs,
    ) -> Result<f64> {
        self.template.set(0, &Template { mask: self.mask, ..stream.template });
        self.progress.set(0, &Progress { start: 0, ..stream.progress });
        let data_in = Some(&stream.frame[..]);
        let program = self.program(name)?;
        let time = measure::each(times, || {
            let options = TestRunOptions {
                data_in,
                ctx_in: context,
                repeat: times,
                attrs,
                ..Default::default()
            };
            program.test_run(options).with_context(|| format!("run of {name}"))?;
            Ok(())
        })?;
        stream.progress = self.progress.get(0);
        Ok(time)
    }

    /// What the far end is told and has seen.
    pub(crate) fn receiver(&self) -> Receiver {
        self.receiver.get(0)
    }

    /// Tells the far end.
    pub(crate) fn set_receiver(&self, receiver: &Receiver) {
        self.receiver.set(0, receiver);
    }

    /// Times that the far end has kept.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = u64> {
        let kept = self.receiver().kept.min(u64::from(self.latencies.len()));
        (0..kept as u32).map(|index| self.latencies.get(index))
    }
}

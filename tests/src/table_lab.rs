//! The connection table alone: an object whose programs do one operation on the table each time
//! they run, on as many processors as wanted.

use std::{collections::HashMap, net::IpAddr, thread, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use aya::{
    maps::{Array, MapData},
    programs::{TestRun, TestRunOptions},
    util::online_cpus,
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use slb_common::{
    connection::Class,
    service::{Gauges, Ring, SERVICE_PRESENT, Service, Timeouts},
};
use slb_userspace::{
    bpf::{FullNat, Sizes, load::Object},
    config::model::Family,
    maps::{Kernel, Operation},
    objects,
};

/// Backend slots that the lab's flows belong to.
pub const SLOTS: u32 = 8;
/// What a program returns that has found its flow (`XDP_TX`).
pub const FOUND: u32 = 3;

/// Words of the map `LAB`: parameters, then what came out.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Word {
    /// Flows to choose from.
    Flows = 0,
    /// Next flow of the filling programs; one for all processors.
    Next = 1,
    /// First flow of the choice.
    First = 2,
    /// Entries made.
    Opened = 8,
    /// Entries that were there already.
    Existed = 9,
    /// Entries that found no place.
    Refused = 10,
    /// Entries given up because others kept inserting into the same bucket.
    Contended = 11,
    /// Entries ended by the programs.
    Closed = 14,
    /// Entries found under a key that is not theirs.
    Wrong = 15,
}

/// The object on maps of its own, with one service for all flows.
pub struct TableLab {
    /// The object.
    pub object: Object,
    /// Its maps.
    pub kernel: Kernel,
    words: Array<MapData, u64>,
    /// aya hands programs out by a mutable borrow of the whole object. Programs that shall run
    /// while the object is used otherwise live in this second one instead.
    apart: Object,
}

/// What a look at every line of a table finds.
#[derive(Debug, Default)]
pub struct Recount {
    /// How often each flow's client stands in the table.
    pub clients: HashMap<(IpAddr, u16), u32>,
    /// What the gauges should say, by slot.
    pub gauges: [Gauges; SLOTS as usize],
}

impl TableLab {
    /// Loads the object with tables for so many connections of either family and timeouts that
    /// no entry reaches.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(buckets_v4: u32, buckets_v6: u32) -> Result<Self> {
        let sizes = |buckets_v4, buckets_v6| Sizes {
            buckets_v4,
            buckets_v6,
            services: 4,
            backends: SLOTS,
            ring_slots: 64,
            full_nat: FullNat::Off,
            templates: 64,
            acl_entries: 1,
            fragments: 1,
        };
        let mut object = Object::load_private(objects::table_lab(), sizes(buckets_v4, buckets_v6))?;
        let words = Array::try_from(object.take_map("LAB")?)?;
        let kernel = Kernel::open(&mut object)?;
        let apart = Object::load_private(objects::table_lab(), sizes(1, 1))?;
        let mut lab = Self { object, kernel, words, apart };
        lab.set_timeout(u32::MAX >> 2)?;
        Ok(lab)
    }

    /// Says after how many ticks every flow's entry expires.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_timeout(&mut self, ticks: u32) -> Result<()> {
        self.set_service(SERVICE_PRESENT, ticks)
    }

    /// Takes the flows' service away: their entries count as expired.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove_service(&mut self) -> Result<()> {
        self.set_service(0, 0)
    }

    fn set_service(&mut self, flags: u32, ticks: u32) -> Result<()> {
        let to = Service {
            ring: Ring::EMPTY,
            flags,
            port: 80,
            protocol: 6,
            family: 4,
            timeouts: Timeouts::new(ticks, ticks, ticks, ticks),
            ..Service::default()
        };
        Ok(self.kernel.apply(&Operation::SetService { service: 0, to })?)
    }

    /// A word of the lab.
    ///
    /// # Errors
    /// The kernel's.
    pub fn word(&self, word: Word) -> Result<u64> {
        Ok(self.words.get(&(word as u32), 0)?)
    }

    /// Sets a word of the lab.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_word(&mut self, word: Word, value: u64) -> Result<()> {
        Ok(self.words.set(word as u32, value, 0)?)
    }

    /// Runs a program so many times here; returns the mean time of a run.
    ///
    /// # Errors
    /// The kernel's.
    pub fn run(&mut self, program: &'static str, times: u32) -> Result<Duration> {
        Ok(self.object.run(program, options(times))?.duration)
    }

    /// True if `flow` is found.
    ///
    /// # Errors
    /// The kernel's.
    pub fn finds(&mut self, family: Family, flow: u32) -> Result<bool> {
        self.set_word(Word::First, u64::from(flow))?;
        self.set_word(Word::Flows, 1)?;
        let name = match family {
            Family::V4 => "get_v4",
            Family::V6 => "get_v6",
        };
        Ok(self.object.run(name, options(1))?.return_value == FOUND)
    }

    /// Runs a program `times` times on each of two processors at once and, while it runs, `beside`
    /// again and again, with what the daemon has.
    ///
    /// # Errors
    /// The kernel's, or what `beside` says.
    pub fn run_on_two(
        &mut self,
        program: &'static str,
        times: u32,
        mut beside: impl FnMut(&mut Object, &Kernel) -> Result<()>,
    ) -> Result<()> {
        std::mem::swap(self.object.program(program)?, self.apart.program(program)?);
        let runs = run_on_two(self.apart.program(program)?, times, || {
            beside(&mut self.object, &self.kernel)
        });
        std::mem::swap(self.object.program(program)?, self.apart.program(program)?);
        runs
    }

    /// Looks at every line of a table.
    pub fn recount(&self, family: Family) -> Recount {
        let mut recount = Recount::default();
        for line in self.kernel.table.lines(family) {
            *recount.clients.entry((line.client.ip(), line.client.port())).or_default() += 1;
            let gauges = &mut recount.gauges[line.seen.slot() as usize];
            match line.control.class() {
                Class::Active => gauges.active += 1,
                Class::Opening => gauges.opening += 1,
                Class::Closing => gauges.closing += 1,
                Class::None => {}
            }
        }
        recount
    }

    /// The gauges as the programs keep them.
    pub fn gauges(&self) -> [Gauges; SLOTS as usize] {
        std::array::from_fn(|slot| self.kernel.gauges(slot as u32))
    }
}

/// The client endpoint of a flow.
pub fn client(family: Family, flow: u32) -> (IpAddr, u16) {
    let [a, b, c, d] = flow.to_ne_bytes();
    let address = match family {
        Family::V4 => IpAddr::from([10, b, c, d]),
        Family::V6 => IpAddr::from([0xfd, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b, c, d]),
    };
    (address, u16::from_be_bytes([a, b ^ 0x55]))
}

fn run_on_two(
    program: &aya::programs::Xdp,
    times: u32,
    mut beside: impl FnMut() -> Result<()>,
) -> Result<()> {
    thread::scope(|scope| {
        let runs: Vec<_> = [0, 1]
            .map(|processor| {
                scope.spawn(move || {
                    pin(processor)?;
                    let run = program.test_run(options(times)).context("the program's run")?;
                    ensure!(run.return_value <= 4, "not an XDP action: {}", run.return_value);
                    Ok(())
                })
            })
            .into();
        let mut result = Ok(());
        while result.is_ok() && runs.iter().any(|run| !run.is_finished()) {
            result = beside();
        }
        for run in runs {
            run.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))?;
        }
        result
    })
}

/// Keeps the calling thread on a processor, if the machine has that many.
///
/// # Errors
/// The kernel's.
pub fn pin(processor: usize) -> Result<()> {
    // Not those that this thread may run on: it may be one that has been pinned before.
    let online = online_cpus().map_err(|(what, error)| anyhow!("{what}: {error}"))?;
    let own = online.get(processor % online.len().max(1)).context("no processor is online")?;
    let mut set = CpuSet::new();
    set.set(*own as usize)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

fn options(times: u32) -> TestRunOptions<'static> {
    const FRAME: [u8; 64] = [0; 64];
    TestRunOptions { data_in: Some(&FRAME), repeat: times, ..TestRunOptions::default() }
}

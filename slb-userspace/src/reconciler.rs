//! Fetch, plan, apply: the one path by which anything gets into the kernel's maps.

use std::time::{Duration, Instant};

use slb_common::{
    meta::Meta,
    service::{BACKEND_PRESENT, SERVICE_PRESENT},
};

use crate::{
    bpf::{Error as BpfError, load::Object},
    config::model::Family,
    expiry::{self, Swept},
    maps::{Kernel, Operation},
    plan::{
        applied::Applied,
        desired::DesiredService,
        diff::{self, NoRoom, Room},
    },
};

/// How long a stretch of the ring arena rests after a service has left it. A program that drew
/// from the old ring has ended long before.
const REST: Duration = Duration::from_secs(1);

/// Why the kernel could not be brought to what it should hold.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The maps are too small.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// A write failed.
    #[error(transparent)]
    Kernel(#[from] BpfError),
}

/// The kernel's side and what is known of it.
pub struct Reconciler {
    object: Object,
    /// The maps.
    pub kernel: Kernel,
    /// What they hold.
    pub applied: Applied,
    /// Services of the last plan, with their ids.
    pub services: Vec<(u16, DesiredService)>,
    resting: Vec<(Instant, (u32, u32))>,
    room: Room,
    meta: Meta,
}

impl Reconciler {
    /// Takes a loaded object over, with whatever is in its maps.
    ///
    /// # Errors
    /// A map is not what it should be.
    pub fn new(mut object: Object) -> Result<Self, BpfError> {
        let meta = object.mapping("META", crate::bpf::mapping::Access::Read)?.get(0);
        object.program("slb")?;
        object.program("table_batch")?;
        let kernel = Kernel::open(&mut object)?;
        let room = Room {
            services: kernel.max_services(),
            backends: kernel.max_backends(),
            ring_slots: kernel.ring_slots(),
        };
        let applied = Applied::read(&kernel);
        Ok(Self { object, kernel, applied, services: Vec::new(), resting: Vec::new(), room, meta })
    }

    /// The loaded object, to attach its program.
    pub const fn object(&mut self) -> &mut Object {
        &mut self.object
    }

    /// Brings the kernel to what it should hold; returns what was written.
    ///
    /// # Errors
    /// The maps are too small (then nothing has been written), or a write failed.
    pub fn apply(&mut self, desired: Vec<DesiredService>) -> Result<Vec<Operation>, Error> {
        self.resting.retain(|(since, _)| since.elapsed() < REST);
        let resting: Vec<(u32, u32)> = self.resting.iter().map(|(_, stretch)| *stretch).collect();
        let plan = diff::diff(&self.applied, &desired, self.room, &resting)?;
        for operation in &plan.operations {
            self.write(operation)?;
        }
        self.services = plan.services.into_iter().zip(desired).collect();
        Ok(plan.operations)
    }

    fn write(&mut self, operation: &Operation) -> Result<(), BpfError> {
        match operation {
            Operation::SetBackend { slot, backend }
                if backend.flags & BACKEND_PRESENT != 0
                    && !self.applied.backends.contains_key(slot) =>
            {
                self.kernel.forget_backend(*slot)?;
            }
            Operation::SetService { service, to } => match self.applied.services.get(service) {
                Some(before) if before.service.ring != to.ring => {
                    let ring = before.service.ring;
                    self.resting.push((Instant::now(), (ring.offset(), ring.length())));
                }
                None if to.flags & SERVICE_PRESENT != 0 => {
                    self.kernel.forget_service(*service)?;
                }
                _ => {}
            },
            _ => {}
        }
        self.kernel.apply(operation)?;
        self.applied.note(operation);
        Ok(())
    }

    /// Ends what has expired and frees what nobody needs any more.
    ///
    /// # Errors
    /// The kernel's.
    pub fn sweep(&mut self) -> Result<Swept, BpfError> {
        let mut swept = Swept::default();
        for family in [Family::V4, Family::V6] {
            if self.any_entry(family) {
                let one = expiry::sweep(&mut self.object, &self.kernel, family)?;
                expiry::lower_reach(&mut self.object, &self.kernel, family, &self.meta.seed)?;
                swept.live += one.live;
                swept.ended += one.ended;
            }
        }
        let (ids, desired): (Vec<u16>, Vec<DesiredService>) = self.services.iter().cloned().unzip();
        let freed = diff::reclaim(&self.applied, &desired, &ids, |slot| self.kernel.gauges(slot));
        for operation in &freed {
            self.write(operation)?;
        }
        Ok(swept)
    }

    /// True if a family's table is not empty, by the gauges.
    fn any_entry(&self, family: Family) -> bool {
        self.applied.backends.iter().any(|(slot, backend)| {
            Family::of(backend.endpoint.ip()) == family
                && !crate::plan::applied::idle(self.kernel.gauges(*slot))
        })
    }

    /// Ends all entries of a backend slot.
    ///
    /// # Errors
    /// The kernel's.
    pub fn cut(&mut self, slot: u32) -> Result<u64, BpfError> {
        [Family::V4, Family::V6].into_iter().try_fold(0, |sum, family| {
            let doomed = |seen: slb_common::connection::Seen, _| seen.slot() == slot;
            Ok(sum + expiry::cut(&mut self.object, &self.kernel, family, doomed)?)
        })
    }
}

//! Fetch, plan, apply: the one path by which anything gets into the kernel's maps.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    time::Instant,
};

use ipnet::IpNet;
use slb_common::{
    connection::Control,
    meta::Meta,
    next_hop::NextHop,
    service::{BACKEND_PRESENT, SERVICE_PRESENT},
    vip::{InterfaceAddresses, TunnelSource, VIP_STOPPED},
};

use crate::{
    bpf::{Error as BpfError, load::Object},
    config::model::Family,
    expiry::{self, Swept},
    maps::{
        Kernel, Operation, locals,
        operation::Addresses,
        table::{Glance, tick},
        templates::Found,
    },
    plan::{
        applied::{Applied, AppliedService},
        desired::DesiredService,
        diff::{self, NoRoom, Room},
        one_packet,
        persistence::shared_backends,
        reclaim::{REST, Unused},
    },
    templates,
};

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
    kernel: Kernel,
    /// What they hold.
    pub applied: Applied,
    /// Services of the last plan, with their ids.
    pub services: Vec<(u16, DesiredService)>,
    /// Stretches of the ring arena that a service has left, for [`REST`].
    resting: Vec<(Instant, (u32, u32))>,
    unused: Unused,
    templates: templates::Sweep,
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
        object.load_stages()?;
        object.program("table_batch")?;
        object.program("template_batch")?;
        let kernel = Kernel::open(&mut object)?;
        let room = Room {
            services: kernel.max_services(),
            backends: kernel.max_backends(),
            ring_slots: kernel.ring_slots(),
            leads: object.sizes.leads(),
            vips: object.sizes.leads(),
        };
        let applied = read(&kernel);
        Ok(Self {
            object,
            kernel,
            applied,
            services: Vec::new(),
            resting: Vec::new(),
            unused: Unused::default(),
            templates: templates::Sweep::default(),
            room,
            meta,
        })
    }

    /// The maps, to look at.
    pub const fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The loaded object, to attach its program.
    pub const fn object(&mut self) -> &mut Object {
        &mut self.object
    }

    /// Brings the kernel to what it should hold; returns what was written. `hops` are the known
    /// next hops by backend address.
    ///
    /// # Errors
    /// The maps are too small (then nothing has been written), or a write failed.
    pub fn apply(
        &mut self,
        desired: Vec<DesiredService>,
        hops: &HashMap<IpAddr, NextHop>,
    ) -> Result<Vec<Operation>, Error> {
        self.resting.retain(|(since, _)| since.elapsed() < REST);
        let resting: Vec<(u32, u32)> = self.resting.iter().map(|(_, stretch)| *stretch).collect();
        let plan = diff::diff(&self.applied, &desired, hops, self.room, &resting, tick())?;
        let mut replies = one_packet::replies(&self.applied, &self.services);
        // Before the writes: should one fail, what has been written already is not taken for
        // something that nobody wants.
        self.services = plan.services.into_iter().zip(desired).collect();
        self.unused.retain_unwanted(&self.applied, &self.services);
        let (existing, leading) = diff::split(&plan.operations);
        for operation in existing {
            self.write(operation)?;
        }
        // The new backends are there and get nothing yet: their replies are known before they answer,
        // those of the former services as long as these may draw.
        let wanted = one_packet::replies(&self.applied, &self.services);
        replies.extend(&wanted);
        self.kernel.set_replies(&replies)?;
        self.kernel.templates.set_shared(&shared_backends(&self.applied, &self.services))?;
        for operation in leading {
            self.write(operation)?;
        }
        self.kernel.set_replies(&wanted)?;
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

    /// Ends what has expired.
    ///
    /// # Errors
    /// The kernel's.
    pub fn sweep(&mut self) -> Result<Swept, BpfError> {
        let mut swept = Swept::default();
        let mut client_hops = HashSet::new();
        for family in [Family::V4, Family::V6] {
            if self.any_entry(family) {
                let one = expiry::sweep(&mut self.object, &self.kernel, family, &mut client_hops)?;
                expiry::lower_reach(&mut self.object, &self.kernel, family, &self.meta.seed)?;
                swept.live += one.live;
                swept.ended += one.ended;
                swept.resets.extend(one.resets);
            }
        }
        self.kernel.forget_client_hops(&client_hops);
        swept.templates = self.templates.go_on(&mut self.object, &self.kernel)?;
        Ok(swept)
    }

    /// Makes clients' templates name no backend any more; returns how many did.
    ///
    /// # Errors
    /// The kernel's.
    pub fn flush_templates(&mut self, wanted: &[Found]) -> Result<u64, BpfError> {
        templates::flush(&mut self.object, wanted)
    }

    /// Frees slots and services that nobody needs any more; returns how many. What only they
    /// needed goes with the next [`apply`](Self::apply).
    ///
    /// # Errors
    /// The kernel's.
    pub fn reclaim(&mut self) -> Result<usize, BpfError> {
        let gauges = |slot| self.kernel.gauges(slot);
        let freed = self.unused.reclaim(&self.applied, &self.services, Instant::now(), gauges);
        for operation in &freed {
            self.write(operation)?;
        }
        Ok(freed.len())
    }

    /// Has the program look up next hops to clients again; returns how many.
    pub fn forget_ways(&mut self, affected: impl Fn(&NextHop) -> bool) -> usize {
        self.kernel.mark_client_hops_stale(affected)
    }

    /// Says by which parent and VLAN id frames for VLAN interfaces leave.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_vlan_egress(&mut self, vlans: &BTreeMap<u32, [u32; 2]>) -> Result<(), BpfError> {
        self.kernel.set_egress(vlans)
    }

    /// Makes these the local addresses of full NAT; returns all that connections may use.
    pub fn set_locals(&mut self, networks: &[IpNet]) -> BTreeSet<IpAddr> {
        self.kernel.set_locals(&locals::addresses(networks))
    }

    /// Says by which addresses the balancer speaks on its interfaces.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_own_addresses(
        &mut self,
        own: &BTreeMap<u64, InterfaceAddresses>,
    ) -> Result<(), BpfError> {
        self.kernel.set_own_addresses(own)
    }

    /// Says where outer headers of tunnels come from, IPv4 and IPv6.
    pub fn set_tunnel_sources(&mut self, sources: [TunnelSource; 2]) {
        self.kernel.set_tunnel_sources(sources);
    }

    /// True if a family's table is not empty, by the gauges.
    fn any_entry(&self, family: Family) -> bool {
        self.applied.backends.iter().any(|(slot, backend)| {
            self.applied.family(backend.backend.service) == family
                && !crate::plan::applied::idle(self.kernel.gauges(*slot))
        })
    }

    /// Ends all entries of some backend slots that `doomed` names.
    ///
    /// # Errors
    /// The kernel's.
    pub fn cut(
        &mut self,
        slots: &BTreeSet<u32>,
        doomed: impl Fn(Control) -> bool,
    ) -> Result<Swept, BpfError> {
        let mut swept = Swept::default();
        let any = |slot: &u32| !crate::plan::applied::idle(self.kernel.gauges(*slot));
        if !slots.iter().any(any) {
            return Ok(swept);
        }
        for family in [Family::V4, Family::V6] {
            let named = |line: &Glance| slots.contains(&line.seen.slot()) && doomed(line.control);
            let one = expiry::cut(&mut self.object, &self.kernel, family, named)?;
            swept.live += one.live;
            swept.ended += one.ended;
            swept.resets.extend(one.resets);
        }
        Ok(swept)
    }
}

/// What the maps hold.
fn read(kernel: &Kernel) -> Applied {
    let present = (0..kernel.max_services()).filter_map(|id| {
        let service = kernel.service(id);
        let places = || kernel.ring(service.ring);
        (service.flags & SERVICE_PRESENT != 0)
            .then(|| (id, AppliedService { service, places: places() }))
    });
    let slots = (0..kernel.max_backends()).map(|slot| (slot, kernel.backend(slot)));
    let mut applied = Applied::adopted(present.collect(), slots, kernel.leads());
    applied.instances = kernel.instances();
    applied.adopt_lists(kernel.lists());
    applied.vips = kernel.vips();
    let stopped =
        |vip: &IpAddr| kernel.vip_state(*vip).is_some_and(|state| state.flags & VIP_STOPPED != 0);
    applied.stopped_vips = applied.vips.iter().copied().filter(stopped).collect();
    let addresses = applied.backends.values().map(|backend| backend.endpoint.ip());
    applied.backend_addresses = kernel.marked(Addresses::Backends, addresses);
    applied
}

//! The loaded program with its maps. The kernel takes a third of a second to verify it, so tests
//! hand it on to each other, with everything that one has written wiped out.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed},
};

use aya::maps::{Array, MapData};
use slb_common::{
    connection::{BUCKET_WORDS_V4, BUCKET_WORDS_V6},
    next_hop::NextHop,
    service::{AddressBitmap, Backend, Gauges, Instance, Service},
    vip::{Settings, VipState},
};
use slb_userspace::{
    bpf::{self, Sizes, load::Object, mapping::Access},
    maps::{Kernel, Operation, operation::Addresses},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Services.
const SERVICES: u32 = 64;
/// Backend slots.
pub(crate) const BACKENDS: u32 = 64;
/// Words of a scheduler's cursor.
const CURSOR_WORDS: usize = 8;

/// Those that no test uses now, by their tables' buckets.
static IDLE: Mutex<BTreeMap<u32, Vec<Loaded>>> = Mutex::new(BTreeMap::new());

/// The program and its maps.
pub(crate) struct Loaded {
    pub(crate) object: Object,
    pub(crate) kernel: Kernel,
    cursors: Array<MapData, [u64; CURSOR_WORDS]>,
    buckets: u32,
}

impl Loaded {
    /// A program with empty maps and tables of so many buckets.
    pub(crate) fn take(buckets: u32) -> Self {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let used = idle.get_mut(&buckets).and_then(Vec::pop);
        drop(idle);
        match used {
            Some(mut loaded) => {
                loaded.wipe();
                loaded
            }
            None => Self::load(buckets),
        }
    }

    /// Hands it on.
    pub(crate) fn give_back(self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(self.buckets).or_default().push(self);
    }

    fn load(buckets: u32) -> Self {
        let sizes = Sizes {
            buckets_v4: buckets,
            buckets_v6: buckets,
            services: SERVICES,
            backends: BACKENDS,
            ring_slots: 70_000,
        };
        let mut object = Object::load_private(bpf::OBJECT, sizes).unwrap();
        object.load_stages().unwrap();
        let kernel = Kernel::open(&mut object).unwrap();
        let cursors = Array::try_from(object.take_map("CURSORS").unwrap()).unwrap();
        Self { object, kernel, cursors, buckets }
    }

    /// Makes every map what it was when it was new.
    fn wipe(&mut self) {
        let leads = self.kernel.leads().into_keys();
        leads.for_each(|from| self.kernel.apply(&Operation::Unlead { from }).unwrap());
        // The bitmaps are wiped with the other arrays; this is for the map beside them.
        let nobody = Operation::SetAddresses { which: Addresses::Vips, addresses: Vec::new() };
        self.kernel.apply(&nobody).unwrap();
        self.kernel.set_egress(&BTreeMap::new()).unwrap();
        self.zero::<[u64; BUCKET_WORDS_V4]>("CONNECTIONS4");
        self.zero::<[u64; BUCKET_WORDS_V6]>("CONNECTIONS6");
        self.zero::<Service>("SERVICES");
        self.zero::<Backend>("BACKENDS");
        for gauges in ["GAUGES", "GAUGES_SERVICES", "GAUGES_INSTANCES"] {
            self.zero::<Gauges>(gauges);
        }
        self.zero::<Instance>("INSTANCES");
        self.zero::<Settings>("SETTINGS");
        self.zero::<VipState>("VIP_STATES");
        self.zero::<u64>("SEQUENCES4");
        self.zero::<u64>("SEQUENCES6");
        self.zero::<u32>("RINGS");
        self.zero::<AddressBitmap>("BITMAPS");
        self.zero::<NextHop>("HOPS_CLIENTS");
        for service in 0..SERVICES {
            self.cursors.set(service, [0; CURSOR_WORDS], 0).unwrap();
            self.kernel.forget_service(service as u16).unwrap();
        }
        (0..BACKENDS).for_each(|slot| self.kernel.forget_backend(slot).unwrap());
    }

    fn zero<T: FromBytes + IntoBytes + Immutable>(&self, map: &'static str) {
        let mapping = self.object.mapping::<T>(map, Access::Write).unwrap();
        for index in 0..mapping.len() {
            mapping.words(index).iter().for_each(|word| word.store(0, Relaxed));
        }
    }
}

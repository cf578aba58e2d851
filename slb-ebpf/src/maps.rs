//! The program's maps. Their names are the names of their pins; what lies in them is defined in
//! `slb-common`. Sizes given here are placeholders: the daemon sets them when it loads.

use aya_ebpf::{
    btf_maps::{Array, HashMap, PerCpuArray, ProgramArray},
    helpers::generated::bpf_ktime_get_coarse_ns,
    macros::btf_map,
};
use slb_common::{
    Verdict,
    connection::{BUCKET_WORDS_V4, BUCKET_WORDS_V6, Class, Control, TICK_SHIFT},
    hash::{Hash, Seed},
    meta::Meta,
    next_hop::{CLIENT_HOPS, NextHop},
    service::{
        AddressBitmap, Backend, Counters, Gauges, Instance, SERVICE_PRESENT, Service, ServiceKey4,
        ServiceKey6,
    },
    stage::Handover,
    vip::{Settings, VipState},
};

use crate::{
    atomic,
    connections::{
        bucket::Bucket,
        insert::{New, Refused},
        line::Line,
        sight::Sighting,
        store::{Key, Side, Store},
    },
    verified,
};

/// `BPF_F_MMAPABLE`: the daemon reads these through a mapping.
const MAPPED: usize = 1 << 10;
/// A cursor has a cache line of its own.
const CURSOR_WORDS: usize = 8;

#[btf_map]
pub static META: Array<Meta, 1, MAPPED> = Array::new();
#[btf_map]
pub static CONNECTIONS4: Array<[u64; BUCKET_WORDS_V4], 1024, MAPPED> = Array::new();
#[btf_map]
pub static CONNECTIONS6: Array<[u64; BUCKET_WORDS_V6], 1024, MAPPED> = Array::new();
#[btf_map]
pub static SERVICES4: HashMap<ServiceKey4, u32, 1024> = HashMap::new();
#[btf_map]
pub static SERVICES6: HashMap<ServiceKey6, u32, 1024> = HashMap::new();
#[btf_map]
pub static SERVICES: Array<Service, 1024, MAPPED> = Array::new();
#[btf_map]
pub static CURSORS: Array<[u64; CURSOR_WORDS], 1024> = Array::new();
#[btf_map]
pub static RINGS: Array<u32, 65_536, MAPPED> = Array::new();
#[btf_map]
pub static BACKENDS: Array<Backend, 1024, MAPPED> = Array::new();
#[btf_map]
pub static GAUGES: Array<Gauges, 1024, MAPPED> = Array::new();
#[btf_map]
pub static GAUGES_SERVICES: Array<Gauges, 1024, MAPPED> = Array::new();
#[btf_map]
pub static GAUGES_INSTANCES: Array<Gauges, 1024, MAPPED> = Array::new();
#[btf_map]
pub static INSTANCES: Array<Instance, 1024, MAPPED> = Array::new();
#[btf_map]
pub static BITMAPS: Array<AddressBitmap, 2, MAPPED> = Array::new();
#[btf_map]
pub static VIPS: HashMap<[u64; 2], u32, 1024> = HashMap::new();
/// Interfaces that routes lead to and XDP cannot send from: the parent's index and the VLAN id of
/// a VLAN interface; 0 for those that have no parent.
#[btf_map]
pub static EGRESS: HashMap<u32, [u32; 2], 1024> = HashMap::new();
#[btf_map]
pub static HOPS_CLIENTS: Array<NextHop, { CLIENT_HOPS as usize }, MAPPED> = Array::new();
#[btf_map]
pub static SETTINGS: Array<Settings, 1, MAPPED> = Array::new();
#[btf_map]
pub static VIP_STATES: Array<VipState, { slb_common::vip::VIP_STATES as usize }, MAPPED> =
    Array::new();
#[btf_map]
pub static SEQUENCES4: Array<u64, 4096, MAPPED> = Array::new();
#[btf_map]
pub static SEQUENCES6: Array<u64, 4096, MAPPED> = Array::new();
/// The programs that a packet may be handed over to: each daemon fills its own.
#[btf_map]
pub static STAGES: ProgramArray<{ slb_common::stage::STAGES }> = ProgramArray::new();
#[btf_map]
pub static HANDOVER: PerCpuArray<Handover, 1> = PerCpuArray::new();
#[btf_map]
pub static COUNT_BACKENDS: PerCpuArray<Counters, 1024> = PerCpuArray::new();
#[btf_map]
pub static COUNT_SERVICES: PerCpuArray<Counters, 1024> = PerCpuArray::new();
#[btf_map]
pub static COUNT_VERDICTS: PerCpuArray<u64, { Verdict::COUNT }> = PerCpuArray::new();

/// Secret of the connection hash; the loader sets it.
#[unsafe(no_mangle)]
static SEED: Seed = Seed::fixed();
/// Buckets of the tables − 1; the loader sets them.
#[unsafe(no_mangle)]
static MASK_V4: u32 = 1023;
#[unsafe(no_mangle)]
static MASK_V6: u32 = 1023;

/// The connection tables in the maps.
#[derive(Clone, Copy)]
pub struct Maps;

/// A loader's value, which the compiler must not take for the initial one.
#[inline(always)]
fn constant(value: &u32) -> u32 {
    // SAFETY: a reference is valid and aligned.
    unsafe { core::ptr::read_volatile(value) }
}

impl<const W: usize> Store<W> for Maps {
    #[inline(always)]
    fn bucket(self, index: u32) -> Option<Bucket<W>> {
        let words = if W == 1 {
            CONNECTIONS4.get_ptr_mut(index)?.cast()
        } else {
            CONNECTIONS6.get_ptr_mut(index)?.cast()
        };
        // SAFETY: the map gave the pointer to the words of one bucket of this family.
        Some(unsafe { Bucket::new(words) })
    }

    #[inline(always)]
    fn mask(self) -> u32 {
        if W == 1 { constant(&MASK_V4) } else { constant(&MASK_V6) }
    }

    #[inline(always)]
    fn seed(self) -> &'static Seed {
        &SEED
    }

    #[inline(always)]
    fn timeout(self, service: u16, state: u8) -> Option<u32> {
        service_of(service).map(|service| service.timeouts.of(state))
    }

    #[inline(always)]
    fn locate(self, key: &Key<'_, W>, side: Side) -> Option<u32> {
        verified::locate(key, side)
    }

    #[inline(always)]
    fn sight(self, hash: Hash, number: u32, new: &New<W>, now: u32) -> Sighting {
        verified::sight(hash, number, new, now)
    }

    #[inline(always)]
    fn attempt(self, new: &New<W>, now: u32) -> Result<u32, Refused> {
        verified::attempt(new, now)
    }

    #[inline(always)]
    fn close(self, line: Line<W>, control: Control) -> bool {
        verified::close(line, control)
    }

    #[inline(always)]
    fn untie(self, line: Line<W>) {
        verified::untie(line);
    }

    #[inline(always)]
    fn adjust(self, slot: u32, class: Class, delta: i64) {
        verified::adjust(slot, class, delta);
    }
}

/// Moves the gauges of a backend slot, its service and its instance.
#[inline(always)]
pub fn adjust(slot: u32, class: Class, delta: i64) {
    let Some(backend) = backend_of(slot) else { return };
    let service = u32::from(backend.service);
    add(GAUGES.get_ptr_mut(slot), class, delta);
    add(GAUGES_SERVICES.get_ptr_mut(service), class, delta);
    if let Some(service) = SERVICES.get_ptr(service) {
        // SAFETY: the map gave the pointer.
        let instance = u32::from(unsafe { (*service).instance });
        add(GAUGES_INSTANCES.get_ptr_mut(instance), class, delta);
    }
}

#[inline(always)]
fn add(gauges: Option<*mut Gauges>, class: Class, delta: i64) {
    let Some(gauges) = gauges else { return };
    // SAFETY: a map gave the pointer; the fields of `Gauges` are aligned words.
    unsafe {
        let gauge = match class {
            Class::None => return,
            Class::Active => &raw mut (*gauges).active,
            Class::Opening => &raw mut (*gauges).opening,
            Class::Closing => &raw mut (*gauges).closing,
        };
        atomic::fetch_add(gauge, delta as u64);
    }
}

/// Ticks of the monotonic clock; the coarse one costs a ninth of the exact one.
#[inline(always)]
pub fn tick() -> u32 {
    // SAFETY: the helper takes nothing and returns a number.
    (unsafe { bpf_ktime_get_coarse_ns() } >> TICK_SHIFT) as u32
}

/// A service that exists.
#[inline(always)]
pub fn service_of(id: u16) -> Option<&'static Service> {
    let service = SERVICES.get_ptr(u32::from(id))?;
    // SAFETY: the map gave the pointer, and elements of an array live as long as the program.
    let service = unsafe { &*service };
    (service.flags & SERVICE_PRESENT != 0).then_some(service)
}

/// A backend slot, in use or not.
#[inline(always)]
pub fn backend_of(slot: u32) -> Option<&'static Backend> {
    // SAFETY: as in `service_of`.
    BACKENDS.get_ptr(slot).map(|backend| unsafe { &*backend })
}

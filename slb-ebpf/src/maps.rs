//! The program's maps. Their names are the names of their pins; what lies in them is defined in
//! `slb-common`. Sizes given here are placeholders: the daemon sets them when it loads.

mod clock;
mod cookies;
mod scratch;
mod store;

use aya_ebpf::{
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray},
    macros::btf_map,
};
use slb_common::{
    Answer, Verdict,
    admission::{AclKey4, AclKey6, ClientKey, ClientState, RefusedCounters},
    connection::{BUCKET_WORDS_V4, BUCKET_WORDS_V6},
    fragment::BUCKET_WORDS,
    meta::Meta,
    next_hop::{CLIENT_HOPS, NextHop},
    one_packet::{CLIENT_WAY_WORDS, CLIENT_WAYS as CLIENT_WAYS_PLACES, Reply, ReplyKey},
    range::RangeKey,
    service::{
        AddressBitmap, Backend, Counters, Gauges, Instance, Meter, SERVICE_PRESENT, Service,
        ServiceKey4, ServiceKey6,
    },
    stage::Handover,
    template::{SharedBackend, Template},
    vip::{
        InterfaceAddresses, LOCALS as LOCAL_ADDRESSES, LocalAddress, LocalKey, Settings,
        VipCounters, VipState,
    },
};

pub use clock::{now_ns, tick, units};
pub use cookies::{CHALLENGED, COOKIE_KEYS};
pub use scratch::{LINE_WORDS, NOWHERE, draw, errand, hold, hop_by_route, opening};
pub use store::{Maps, adjust, fragment_mask};

/// `BPF_F_MMAPABLE`: the daemon reads these through a mapping.
const MAPPED: usize = 1 << 10;
/// `BPF_F_NO_PREALLOC`: memory is taken with the elements. Since Linux 6.1 that needs no lock and is
/// sound in XDP; where it fails for a moment, a connection has no template.
const AS_NEEDED: usize = 1;
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
pub static RANGES: LpmTrie<RangeKey, u32, 1024> = LpmTrie::new();
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
pub static METERS_SERVICES: Array<Meter, 1024, MAPPED> = Array::new();
#[btf_map]
pub static METERS_INSTANCES: Array<Meter, 1024, MAPPED> = Array::new();
#[btf_map]
pub static METERS_BACKENDS: Array<Meter, 1024, MAPPED> = Array::new();
#[btf_map]
pub static ACL4: LpmTrie<AclKey4, u32, 1024> = LpmTrie::new();
#[btf_map]
pub static ACL6: LpmTrie<AclKey6, u32, 1024> = LpmTrie::new();
#[btf_map]
pub static CLIENTS: LruHashMap<ClientKey, ClientState, 1024> = LruHashMap::new();
#[btf_map]
pub static BITMAPS: Array<AddressBitmap, 3, MAPPED> = Array::new();
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
/// Local addresses of full NAT, IPv4 first.
#[btf_map]
pub static LOCALS: Array<LocalAddress, { LOCAL_ADDRESSES as usize }, MAPPED> = Array::new();
/// Local ports that are taken, and by which line.
#[btf_map]
pub static LOCAL_PORTS4: HashMap<LocalKey<1>, u64, 1024> = HashMap::new();
#[btf_map]
pub static LOCAL_PORTS6: HashMap<LocalKey<3>, u64, 1024> = HashMap::new();
/// Where a packet's headers or options are put together.
#[btf_map]
pub static SCRATCH: PerCpuArray<[u8; crate::forward::SCRATCH_BYTES], 1> = PerCpuArray::new();
#[btf_map]
pub static VIP_STATES: Array<VipState, { slb_common::vip::VIP_STATES as usize }, MAPPED> =
    Array::new();
#[btf_map]
pub static SEQUENCES4: Array<u64, 4096, MAPPED> = Array::new();
#[btf_map]
pub static SEQUENCES6: Array<u64, 4096, MAPPED> = Array::new();
#[btf_map]
pub static TEMPLATES4: HashMap<[u64; 1], Template, 1024, AS_NEEDED> = HashMap::new();
#[btf_map]
pub static TEMPLATES6: HashMap<[u64; 3], Template, 1024, AS_NEEDED> = HashMap::new();
/// Slots by service and address, of services that share templates.
#[btf_map]
pub static SHARED_BACKENDS: HashMap<SharedBackend, u32, 1024, AS_NEEDED> = HashMap::new();
/// Connections that found no room for a template: IPv4, IPv6.
#[btf_map]
pub static COUNT_NO_TEMPLATE: PerCpuArray<u64, 2> = PerCpuArray::new();
/// The programs that a packet may be handed over to: each daemon fills its own.
#[btf_map]
pub static STAGES: ProgramArray<{ slb_common::stage::STAGES }> = ProgramArray::new();
#[btf_map]
pub static HANDOVER: PerCpuArray<Handover, 1> = PerCpuArray::new();
/// Addresses that ICMP errors come from, by [`slb_common::vip::interface_key`].
#[btf_map]
pub static ADDRESSES: HashMap<u64, InterfaceAddresses, 1024> = HashMap::new();
/// When the bucket of RSTs and that of ICMP errors are full again, in nanoseconds.
#[btf_map]
pub static ANSWER_BUCKETS: PerCpuArray<u64, 2> = PerCpuArray::new();
#[btf_map]
pub static COUNT_ANSWERS: PerCpuArray<u64, { Answer::COUNT }> = PerCpuArray::new();
/// First fragments of the last second: IPv4 in the lower half, IPv6 in the upper.
#[btf_map]
pub static FRAGMENTS: Array<[u64; BUCKET_WORDS], 2048, MAPPED> = Array::new();
/// To which VIP the replies to datagrams without entry belong.
#[btf_map]
pub static ONE_PACKET_REPLIES: HashMap<ReplyKey, Reply, 1024> = HashMap::new();
#[btf_map]
pub static CLIENT_WAYS: Array<[u64; CLIENT_WAY_WORDS], { CLIENT_WAYS_PLACES as usize }, MAPPED> =
    Array::new();
#[btf_map]
pub static COUNT_BACKENDS: PerCpuArray<Counters, 1024> = PerCpuArray::new();
#[btf_map]
pub static COUNT_SERVICES: PerCpuArray<Counters, 1024> = PerCpuArray::new();
#[btf_map]
pub static COUNT_REFUSED: PerCpuArray<RefusedCounters, 1024> = PerCpuArray::new();
#[btf_map]
pub static COUNT_VIPS: PerCpuArray<VipCounters, { slb_common::vip::VIP_STATES as usize }> =
    PerCpuArray::new();
#[btf_map]
pub static COUNT_VERDICTS: PerCpuArray<u64, { Verdict::COUNT }> = PerCpuArray::new();

/// A service that exists.
#[inline(always)]
pub fn service_of(id: u16) -> Option<&'static Service> {
    let service = SERVICES.get_ptr(u32::from(id))?;
    // SAFETY: the map gave the pointer, and elements of an array live as long as the program.
    let service = unsafe { &*service };
    (service.flags & SERVICE_PRESENT != 0).then_some(service)
}

/// The sequence numbers of a line, as one word.
#[inline(always)]
pub fn sequences_of<const W: usize>(line: u32) -> Option<*mut u64> {
    if W == 1 { SEQUENCES4.get_ptr_mut(line) } else { SEQUENCES6.get_ptr_mut(line) }
}

/// A backend slot, in use or not.
#[inline(always)]
pub fn backend_of(slot: u32) -> Option<&'static Backend> {
    // SAFETY: as in `service_of`.
    BACKENDS.get_ptr(slot).map(|backend| unsafe { &*backend })
}

//! What the benchmark tells the programs, and the tables that they look into. The benchmark sets
//! the sizes when it loads the object.

use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap, ProgramArray},
    macros::btf_map,
};
use slb_common::bench::{Answered, Flow, Progress, Receiver, Spoofed, Template};

/// `BPF_F_MMAPABLE`: the benchmark reads and writes these through a mapping.
const MAPPED: usize = 1 << 10;
/// Words of a place in `MEMORY`: a bucket of the connection table of IPv4.
pub(crate) const PLACE_WORDS: usize = 32;

/// The program that a varied frame is handed to.
#[btf_map]
pub(crate) static NEXT: ProgramArray<1> = ProgramArray::new();
#[btf_map]
pub(crate) static TEMPLATE: Array<Template, 1, MAPPED> = Array::new();
#[btf_map]
pub(crate) static PROGRESS: Array<Progress, 1, MAPPED> = Array::new();
#[btf_map]
pub(crate) static FLOWS: Array<Flow, 1, MAPPED> = Array::new();
#[btf_map]
pub(crate) static MEMORY: Array<[u64; PLACE_WORDS], 1, MAPPED> = Array::new();
#[btf_map]
pub(crate) static HASH: HashMap<[u32; 3], u64, 1> = HashMap::new();
#[btf_map]
pub(crate) static LRU: LruHashMap<[u32; 3], u64, 1> = LruHashMap::new();
#[btf_map]
pub(crate) static RECEIVER: Array<Receiver, 1, MAPPED> = Array::new();
/// Nanoseconds from the stamp to the far end.
#[btf_map]
pub(crate) static LATENCIES: Array<u64, 1, MAPPED> = Array::new();
#[btf_map]
pub(crate) static SPOOFED: Array<Spoofed, 1, MAPPED> = Array::new();
#[btf_map]
pub(crate) static ANSWERED: Array<Answered, 1, MAPPED> = Array::new();

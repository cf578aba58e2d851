//! Memory of a processor for what would take too much of the stack. A program follows one packet at
//! a time, so nobody else uses it meanwhile; what the last one left is still in it.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use slb_common::{connection::line_words, next_hop::NextHop};

use crate::{connections::insert::New, icmp::Errand, persistence::Hold, schedulers::Draw};

/// Room for the larger of the two families.
const OPENING_WORDS: usize = size_of::<New<3>>() / size_of::<u64>();
/// The same for ICMP errors.
const ERROR_WORDS: usize = size_of::<Errand<3>>() / size_of::<u64>();
/// Words of the longest line.
pub const LINE_WORDS: usize = line_words::<3>();

/// Where a connection is put together that is about to be opened: it would take a fifth of the
/// stack.
#[btf_map]
static OPENING: PerCpuArray<[u64; OPENING_WORDS], 1> = PerCpuArray::new();
/// And what its backend is drawn by.
#[btf_map]
static DRAW: PerCpuArray<[u64; size_of::<Draw>() / size_of::<u64>()], 1> = PerCpuArray::new();
/// The hold that it has on its client's template.
#[btf_map]
static HOLD: PerCpuArray<[u64; size_of::<Hold>() / size_of::<u64>()], 1> = PerCpuArray::new();
/// What becomes of an ICMP error, put together before anything is rewritten.
#[btf_map]
static ERRORS: PerCpuArray<[u64; ERROR_WORDS], 1> = PerCpuArray::new();
/// The route's next hop.
#[btf_map]
static HOP_BY_ROUTE: PerCpuArray<NextHop, 1> = PerCpuArray::new();
/// Stands for the line of what has none.
#[btf_map]
pub static NOWHERE: PerCpuArray<[u64; LINE_WORDS], 1> = PerCpuArray::new();

/// This processor's place for a connection that is about to be opened, with what the last one left
/// in it.
#[inline(always)]
pub fn opening<const W: usize>() -> Option<&'static mut New<W>> {
    // SAFETY: the map gave the pointer to this processor's own copy, any words are a `New`, and a
    // program opens one connection at a time.
    OPENING.get_ptr_mut(0).map(|words| unsafe { &mut *words.cast() })
}

/// This processor's hold on a client's template, of the connection that is about to be opened.
#[inline(always)]
pub fn hold() -> Option<&'static mut Hold> {
    // SAFETY: as in `opening`.
    HOLD.get_ptr_mut(0).map(|words| unsafe { &mut *words.cast() })
}

/// What its backend is drawn by.
#[inline(always)]
pub fn draw() -> Option<&'static mut Draw> {
    // SAFETY: as in `opening`.
    DRAW.get_ptr_mut(0).map(|words| unsafe { &mut *words.cast() })
}

/// Where the next hop is put that the routing table knows.
#[inline(always)]
pub fn hop_by_route() -> Option<*mut NextHop> {
    HOP_BY_ROUTE.get_ptr_mut(0)
}

/// The place in which an ICMP error's errand is put together.
#[inline(always)]
pub fn errand<const W: usize>() -> Option<&'static mut Errand<W>> {
    // SAFETY: the map gave the pointer to this processor's own copy, any words are an `Errand`, and
    // a program follows one error at a time.
    ERRORS.get_ptr_mut(0).map(|words| unsafe { &mut *words.cast() })
}

//! Programs for stress and benchmarks of the connection table alone, by test run only. The
//! parameters lie in the map `LAB`; each run of a program is one operation.
#![no_std]
#![no_main]

#[path = "../object.rs"]
mod object;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    btf_maps::Array,
    helpers::generated::bpf_get_prandom_u32,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use slb_common::connection::{Seen, Ties, Translation, endpoint, state, v4_words, v6_words};
use slb_ebpf::{
    atomic, batch,
    connections::{
        insert::{New, Refused, open},
        lookup::find,
        store::{Key, Side},
        transition::{change, close},
    },
    maps::{Maps, tick},
};

/// Words of `LAB`: parameters first, then what came out.
mod word {
    /// Client endpoints to choose from.
    pub(super) const FLOWS: u32 = 0;
    /// Next flow of the filling programs; one for all processors.
    pub(super) const NEXT: u32 = 1;
    /// First flow of the choice.
    pub(super) const FIRST: u32 = 2;
    pub(super) const OPENED: u32 = 8;
    pub(super) const EXISTED: u32 = 9;
    pub(super) const REFUSED: u32 = 10;
    pub(super) const CONTENDED: u32 = 11;
    pub(super) const FOUND: u32 = 12;
    pub(super) const MISSED: u32 = 13;
    pub(super) const CLOSED: u32 = 14;
    /// Entries that were found under a key that is not theirs.
    pub(super) const WRONG: u32 = 15;
}

#[btf_map]
static LAB: Array<u64, 16> = Array::new();

#[inline(always)]
fn value(index: u32) -> u64 {
    // SAFETY: the map gave the pointer.
    LAB.get_ptr(index).map_or(0, |place| unsafe { atomic::load(place) })
}

#[inline(always)]
fn add(index: u32) -> u64 {
    // SAFETY: the map gave the pointer.
    LAB.get_ptr_mut(index).map_or(0, |place| unsafe { atomic::fetch_add(place, 1) })
}

/// A new entry for the `flow`-th client: the VIP and the backend slot follow from it too.
#[inline(always)]
fn entry<const W: usize>(flow: u32, entry_state: u8) -> New<W> {
    let [a, b, c, d] = flow.to_ne_bytes();
    let address = |first: u8, last: [u8; 3]| {
        if W == 1 {
            v4_words([first, last[0], last[1], last[2]])
        } else {
            v6_words([0xfd, first, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last[0], last[1], last[2]])
        }
    };
    let slot = flow & 7;
    New {
        client: endpoint(address(10, [b, c, d]), [a, b ^ 0x55], 6),
        vip: endpoint(address(192, [0, 2, 1]), 80_u16.to_be_bytes(), 0),
        backend: endpoint(address(172, [16, 0, slot as u8]), 8080_u16.to_be_bytes(), 1),
        seen: Seen::new(tick(), slot, 0),
        ties: Ties::NONE,
        translation: Translation::default(),
        state: entry_state,
        reserved: [0; 7],
    }
}

#[inline(always)]
fn random_flow() -> u32 {
    // SAFETY: the helper takes nothing and returns a number.
    let random = u64::from(unsafe { bpf_get_prandom_u32() });
    (value(word::FIRST) + (random * value(word::FLOWS) >> 32)) as u32
}

#[inline(always)]
fn make<const W: usize>(flow: u32) -> u32 {
    match open(Maps, &entry::<W>(flow, state::ESTABLISHED), tick()) {
        Ok(_) => add(word::OPENED),
        Err(Refused::Exists) => add(word::EXISTED),
        Err(Refused::Contended) => add(word::CONTENDED),
        Err(_) => add(word::REFUSED),
    };
    XDP_TX
}

#[inline(always)]
fn get<const W: usize>(flow: u32) -> u32 {
    let new = entry::<W>(flow, 0);
    let key = Key { client: &new.client, server: &new.vip };
    match find(Maps, &key, Side::Vip, tick()) {
        Some(_) => XDP_TX,
        None => XDP_DROP,
    }
}

/// One random operation: two of four open, one closes, one looks and changes the state.
#[inline(always)]
fn stress<const W: usize>() -> u32 {
    let flow = random_flow();
    // SAFETY: the helper takes nothing and returns a number.
    let operation = unsafe { bpf_get_prandom_u32() } & 3;
    if operation < 2 {
        return make::<W>(flow);
    }
    let new = entry::<W>(flow, 0);
    let key = Key { client: &new.client, server: &new.vip };
    let Some(entry) = find(Maps, &key, Side::Vip, tick()) else {
        add(word::MISSED);
        return XDP_PASS;
    };
    add(word::FOUND);
    if entry.seen.slot() != flow & 7 || entry.backend[0] != new.backend[0] {
        add(word::WRONG);
    }
    if operation == 2 {
        if close(Maps, entry.line, entry.control) {
            add(word::CLOSED);
        }
    } else {
        let other = if entry.control.state() == state::ESTABLISHED {
            state::SYN
        } else {
            state::ESTABLISHED
        };
        let to = entry.control.with(0, other);
        change(Maps, &entry, entry.control, to);
    }
    XDP_TX
}

#[xdp]
pub fn stress_v4(_: XdpContext) -> u32 {
    stress::<1>()
}

#[xdp]
pub fn stress_v6(_: XdpContext) -> u32 {
    stress::<3>()
}

#[xdp]
pub fn fill_v4(_: XdpContext) -> u32 {
    make::<1>(add(word::NEXT) as u32)
}

#[xdp]
pub fn fill_v6(_: XdpContext) -> u32 {
    make::<3>(add(word::NEXT) as u32)
}

#[xdp]
pub fn get_v4(_: XdpContext) -> u32 {
    get::<1>(random_flow())
}

#[xdp]
pub fn get_v6(_: XdpContext) -> u32 {
    get::<3>(random_flow())
}

/// What the timing programs cost without the table.
#[xdp]
pub fn nothing(_: XdpContext) -> u32 {
    let new = entry::<1>(random_flow(), 0);
    if new.client[0] == 0 { XDP_DROP } else { XDP_TX }
}

/// As in the real object.
#[xdp]
pub fn table_batch(context: XdpContext) -> u32 {
    batch::run(&context)
}

//! Writes a frame's headers anew, those of the next flow, and hands it on.

use aya_ebpf::{
    bindings::xdp_action::XDP_ABORTED,
    helpers::generated::{bpf_ktime_get_ns, bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    programs::XdpContext,
};
use slb_common::bench::{Flow, HEAD_V4, HEAD_V6, STAMP_WORD, Template, WORDS_V4, WORDS_V6};
use slb_ebpf::{
    checksum::fold,
    packet::{Frame, Header},
};

use crate::{
    maps::{FLOWS, NEXT, PROGRESS, TEMPLATE},
    places::{End, Places},
};

/// What it carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    Constant,
    /// The time of the monotonic clock.
    Stamped,
}

/// The bytes that are written; their bounds are checked at once.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Beginning<const BYTES: usize>([u8; BYTES]);

// SAFETY: bytes.
unsafe impl<const BYTES: usize> Header for Beginning<BYTES> {}

const BYTES_V4: usize = HEAD_V4 + WORDS_V4 * 8;
const BYTES_V6: usize = HEAD_V6 + WORDS_V6 * 8;

/// Makes the frame the next flow's and goes on in the program under test; comes back only if there
/// is none, or if the frame is not the one that the template is of.
#[inline(always)]
pub(crate) fn run<const W: usize>(context: &XdpContext, end: End, payload: Payload) -> u32 {
    if vary::<W>(context, end, payload).is_some() {
        // SAFETY: nothing is left here that wants to be dropped.
        unsafe { NEXT.tail_call(context, 0) };
    }
    XDP_ABORTED
}

#[inline(always)]
fn vary<const W: usize>(context: &XdpContext, end: End, payload: Payload) -> Option<()> {
    // SAFETY: the map gave the pointer; the benchmark writes between runs only.
    let template = unsafe { &*TEMPLATE.get_ptr(0)? };
    let (flow, turns) = next(template)?;
    restore(context, template.length)?;
    let frame = Frame::of(context);
    let place: *mut u8 = if W == 1 {
        frame.place::<Beginning<BYTES_V4>>(0).ok()?.cast()
    } else {
        frame.place::<Beginning<BYTES_V6>>(0).ok()?.cast()
    };
    let (head, words) = if W == 1 { (HEAD_V4, WORDS_V4) } else { (HEAD_V6, WORDS_V6) };
    let [a, b, c, d, e, f, ..] = template.head;
    // SAFETY: `place` has checked that all of this lies in the frame; a store to a frame may be
    // unaligned.
    unsafe {
        if W == 1 {
            place.cast::<u16>().write(u16::from_ne_bytes([a, b]));
        } else {
            place.cast::<u32>().write(u32::from_ne_bytes([a, b, c, d]));
            place.add(4).cast::<u16>().write(u16::from_ne_bytes([e, f]));
        }
    }
    let places = Places::of::<W>(end);
    let mut index = 0;
    while index < words {
        let mut word = varied(template, index, &places, flow, turns);
        if index == STAMP_WORD && payload == Payload::Stamped {
            // SAFETY: the helper takes nothing and returns a number.
            word = unsafe { bpf_ktime_get_ns() };
        }
        // SAFETY: as above.
        unsafe { place.add(head + index * 8).cast::<u64>().write(word) };
        index += 1;
    }
    Some(())
}

/// Gives the frame the start and the end that it had before a program moved them.
#[inline(always)]
fn restore(context: &XdpContext, length: u32) -> Option<()> {
    // Live frames lie in pages of their own, at the same place in each.
    const OF_PAGE: u64 = 4095;
    let progress = PROGRESS.get_ptr_mut(0)?;
    // SAFETY: the map gave the pointer, and one processor alone runs the programs of an object.
    let moved = unsafe {
        (&raw mut (*progress).here).write_volatile(context.data() as u64);
        let here = (&raw const (*progress).here).read_volatile() & OF_PAGE;
        if (*progress).start == 0 {
            (*progress).start = here;
        }
        (*progress).start as i32 - here as i32
    };
    // SAFETY: the helper checks the room; it invalidates pointers, of which none is kept.
    if moved != 0 && unsafe { bpf_xdp_adjust_head(context.ctx, moved) } != 0 {
        return None;
    }
    let missing = length as i32 - Frame::of(context).length() as i32;
    // SAFETY: as above.
    if missing != 0 && unsafe { bpf_xdp_adjust_tail(context.ctx, missing) } != 0 {
        return None;
    }
    Some(())
}

/// A word of the frame, with what varies in it.
#[inline(always)]
fn varied(template: &Template, index: usize, places: &Places, flow: Flow, turns: u32) -> u64 {
    let mut word = template.words[index];
    if index == places.address.0 {
        word |= flow.address() << places.address.1;
    }
    if index == places.port.0 {
        word |= flow.port() << places.port.1;
    }
    if let Some(backend) = places.backend
        && index == backend.0
    {
        word |= flow.backend() << backend.1;
    }
    if let Some(checksum) = places.checksum
        && index == checksum.0
    {
        let backend = if places.backend.is_some() { flow.backend() } else { 0 };
        let sum = fold(u64::from(template.sum) + flow.address() + backend);
        word |= u64::from(!sum) << checksum.1;
    }
    if index == places.sequence.0 {
        let first = u32::from_be((word >> 32) as u32);
        let sequence = first.wrapping_add(turns.wrapping_mul(template.step)).to_be();
        word = word & 0xffff_ffff | u64::from(sequence) << 32;
    }
    word
}

/// The flow whose turn it is, and how often all have had theirs.
#[inline(always)]
fn next(template: &Template) -> Option<(Flow, u32)> {
    let progress = PROGRESS.get_ptr_mut(0)?;
    // SAFETY: the map gave the pointer, and one processor alone runs the programs of an object.
    let (mut next, mut turns) = unsafe { ((*progress).next, (*progress).turns) };
    let flow = FLOWS.get_ptr(template.first + next)?;
    // SAFETY: as above.
    let flow = unsafe { *flow };
    let now = turns;
    next += 1;
    if next >= template.flows {
        (next, turns) = (0, turns.wrapping_add(1));
    }
    // SAFETY: as above.
    unsafe { ((*progress).next, (*progress).turns) = (next, turns) };
    Some((flow, now))
}

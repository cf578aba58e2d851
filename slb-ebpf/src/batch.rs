//! The daemon's only way to change the connection table: a list of operations, each done if its
//! word is still the expected one. A program in the kernel cannot be killed half-way, a daemon can.

use aya_ebpf::programs::XdpContext;
use slb_common::connection::{
    BucketWord, Control,
    batch::{CUT, EXPIRE, HEADER, LENGTH, LOWER_REACH, Operation},
};

use crate::{
    connections::{bucket::Guard, line::Line, store::Store},
    maps::{self, Maps},
};

/// Runs the operations of a request; returns a bit for each that was done.
#[inline(always)]
pub fn run(context: &XdpContext) -> u32 {
    let now = maps::tick();
    let mut done = 0;
    let mut number = 0;
    while number < LENGTH {
        let place = context.data() + HEADER + number * size_of::<Operation>();
        if place + size_of::<Operation>() > context.data_end() {
            break;
        }
        // SAFETY: the bounds have been checked, and any bytes are an operation.
        let operation = unsafe { *(place as *const Operation) };
        let changed = match operation.family {
            4 => apply::<1>(&operation, now),
            _ => apply::<3>(&operation, now),
        };
        done |= u32::from(changed) << number;
        number += 1;
    }
    done
}

#[inline(always)]
fn apply<const W: usize>(operation: &Operation, now: u32) -> bool {
    match operation.kind {
        EXPIRE | CUT => end::<W>(operation, now),
        LOWER_REACH => lower_reach::<W>(operation),
        _ => false,
    }
}

/// Ends an entry. An expired one counts as absent for every packet, so it cannot come back to
/// life between the look at its time and the swap.
#[inline(always)]
fn end<const W: usize>(operation: &Operation, now: u32) -> bool {
    let Some(line) = Line::<W>::of_slot(Maps, operation.slot) else { return false };
    let control = Control(operation.expected);
    if !control.live() || line.control() != control {
        return false;
    }
    if operation.kind == EXPIRE && !line.expired(Maps, control, now) {
        return false;
    }
    Maps.close(line, control)
}

/// Lowers a bucket's reach; the version shows that nothing was inserted since the daemon looked.
#[inline(always)]
fn lower_reach<const W: usize>(operation: &Operation) -> bool {
    let Some(bucket) = Store::<W>::bucket(Maps, operation.slot) else { return false };
    let word = BucketWord(operation.expected);
    if word.locked() || operation.value as u32 >= word.reach() {
        return false;
    }
    Guard::<W>::of_bucket(bucket).swap(word, word.with_reach(operation.value as u32).release())
}

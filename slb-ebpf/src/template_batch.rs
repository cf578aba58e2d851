//! The daemon's only way to change templates: a list of operations. Its own writes would not be
//! atomic with the packets' compare-and-swaps.

use aya_ebpf::programs::XdpContext;
use slb_common::template::{HEADER, LENGTH, Operation};

use crate::verified;

/// Runs the operations of a request; returns how many changed something.
#[inline(always)]
pub fn run(context: &XdpContext) -> u32 {
    let (mut done, mut number) = (0, 0);
    while number < LENGTH {
        let place = context.data() + HEADER + number * size_of::<Operation>();
        if place + size_of::<Operation>() > context.data_end() {
            break;
        }
        // SAFETY: the bounds have been checked, and any bytes are an operation.
        let operation = unsafe { *(place as *const Operation) };
        done += verified::operate(&operation);
        number += 1;
    }
    done
}

//! What one program hands to the next with a packet.

use slb_common::{Verdict, stage::Handover};

use crate::{maps::HANDOVER, pipeline::Look};

/// Hands a packet to the rare pipeline, with where its connection is to be looked for.
#[inline(always)]
pub fn rare(look: Look) -> Verdict {
    looking(look, Verdict::ToRare)
}

/// Where the program before wants the connection to be looked for.
#[inline(always)]
pub fn look() -> Look {
    match read().map_or(0, |handover| handover.look) {
        slb_common::stage::look::OPENED => Look::Opened,
        slb_common::stage::look::REPLY => Look::Reply,
        slb_common::stage::look::CHOSEN => Look::Chosen,
        slb_common::stage::look::ANEW => Look::Anew,
        slb_common::stage::look::PROVEN => Look::Proven,
        _ => Look::First,
    }
}

/// Hands a packet to the slow path, with what is known of its connection.
#[inline(always)]
pub fn open(look: Look) -> Verdict {
    looking(look, Verdict::ToOpen)
}

/// Notes where a connection is to be looked for by who goes on.
#[inline(always)]
fn looking(look: Look, to: Verdict) -> Verdict {
    match HANDOVER.get_ptr_mut(0) {
        Some(handover) => {
            // SAFETY: the map gave the pointer to this processor's own copy.
            unsafe { (&raw mut (*handover).look).write_volatile(look as u32) };
            to
        }
        None => Verdict::DropInternal,
    }
}

/// Tells the stage of cookies what to do ([`slb_common::stage::cookie_task`]).
#[inline(always)]
pub fn cookie(task: u32, cookie: u32, number: u32) -> Verdict {
    match HANDOVER.get_ptr_mut(0) {
        Some(handover) => {
            // SAFETY: as in `looking`.
            unsafe {
                (&raw mut (*handover).task).write_volatile(task);
                (&raw mut (*handover).cookie).write_volatile(cookie);
                (&raw mut (*handover).number).write_volatile(number);
            }
            Verdict::ToCookie
        }
        None => Verdict::DropInternal,
    }
}

/// What the stage of cookies is told: task, cookie, number; or what it tells.
#[inline(always)]
pub fn told() -> (u32, u32, u32) {
    read().map_or((u32::MAX, 0, 0), |told| (told.task, told.cookie, told.number))
}

/// Notes the verdict that is to be answered.
#[inline(always)]
pub fn refuse(verdict: Verdict) {
    if let Some(handover) = HANDOVER.get_ptr_mut(0) {
        // SAFETY: as in `looking`.
        unsafe { (&raw mut (*handover).verdict).write_volatile(verdict.index()) };
    }
}

/// Refuses a packet that is longer than this MTU, which is noted for the answer.
#[inline(always)]
pub fn too_big(mtu: u32) -> Verdict {
    if let Some(handover) = HANDOVER.get_ptr_mut(0) {
        // SAFETY: as in `looking`.
        unsafe { (&raw mut (*handover).mtu).write_volatile(mtu) };
    }
    Verdict::DropTooBig
}

/// The MTU that the packet is longer than.
#[inline(always)]
pub fn mtu() -> u32 {
    read().map_or(0, |handover| handover.mtu)
}

/// The verdict that is to be answered.
#[inline(always)]
pub fn refused() -> Verdict {
    let number = read().map_or(u32::MAX, |handover| handover.verdict);
    Verdict::from_index(number).unwrap_or(Verdict::DropInternal)
}

/// A copy of what was handed over.
#[inline(always)]
fn read() -> Option<Handover> {
    // SAFETY: the map gave the pointer to this processor's own copy.
    HANDOVER.get_ptr(0).map(|handover| unsafe { handover.read_volatile() })
}

//! What one program hands to the next with a packet.

use slb_common::{
    Verdict,
    cookie::Cookie,
    stage::{
        Handover,
        cookie_task::{ACKNOWLEDGE, ANSWER, CHALLENGE, PROVE, REMEMBER, REPEAT, SPLICE},
        look,
    },
};

use crate::{maps::HANDOVER, pipeline::Look};

/// Notes fields for who goes on, and ends with a verdict. They are written one by one: a struct
/// would be put together on the stack.
macro_rules! note {
    ($verdict:expr, $($field:ident = $value:expr),+) => {
        match HANDOVER.get_ptr_mut(0) {
            Some(handover) => {
                // SAFETY: the map gave the pointer to this processor's own copy.
                unsafe { $((&raw mut (*handover).$field).write_volatile($value);)+ }
                $verdict
            }
            None => Verdict::DropInternal,
        }
    };
}

/// Hands a packet to the rare pipeline, with where its connection is to be looked for.
#[inline(always)]
pub fn rare(look: Look) -> Verdict {
    looking(look, Verdict::ToRare)
}

/// Where the program before wants the connection to be looked for.
#[inline(always)]
pub fn look() -> Look {
    match read().map_or(0, |handover| handover.look) {
        look::OPENED => Look::Opened,
        look::REPLY => Look::Reply,
        look::CHOSEN => Look::Chosen,
        look::ANEW => Look::Anew,
        look::PROVEN => Look::Proven,
        _ => Look::First,
    }
}

/// Hands a packet to the slow path, with what is known of its connection.
#[inline(always)]
pub fn open(look: Look) -> Verdict {
    looking(look, Verdict::ToOpen)
}

/// Hands the SYN of a client that has answered a cookie to the slow path.
#[inline(always)]
pub fn proven(by: Cookie) -> Verdict {
    note!(Verdict::ToOpen, look = look::PROVEN, proven_by = by)
}

/// The cookie that a proven client has answered.
#[inline(always)]
pub fn proven_by() -> Cookie {
    read().map_or(Cookie(0), |handover| handover.proven_by)
}

/// Notes where a connection is to be looked for by who goes on.
#[inline(always)]
fn looking(look: Look, to: Verdict) -> Verdict {
    note!(to, look = look as u32)
}

/// Has the stage of cookies answer a SYN by a challenge.
#[inline(always)]
pub fn challenge() -> Verdict {
    note!(Verdict::ToCookie, cookie_task = CHALLENGE)
}

/// Has it look whether an ACK answers a cookie.
#[inline(always)]
pub fn prove() -> Verdict {
    note!(Verdict::ToCookie, cookie_task = PROVE)
}

/// Has it look whether a RST answers a challenge.
#[inline(always)]
pub fn remember() -> Verdict {
    note!(Verdict::ToCookie, cookie_task = REMEMBER)
}

/// Has it answer a SYN by a cookie.
#[inline(always)]
pub fn answer(mss: u16) -> Verdict {
    note!(Verdict::ToCookie, cookie_task = ANSWER, announced_mss = mss.into())
}

/// Has it make the SYN once more that a line's client was given a cookie for.
#[inline(always)]
pub fn repeat(line: u32) -> Verdict {
    note!(Verdict::ToCookie, cookie_task = REPEAT, line = line)
}

/// Has it pass a backend's SYN-ACK on to the client that waits for it.
#[inline(always)]
pub fn splice(line: u32) -> Verdict {
    note!(Verdict::ToCookie, cookie_task = SPLICE, line = line)
}

/// Has it answer a backend's SYN-ACK.
#[inline(always)]
pub fn acknowledge(line: u32) -> Verdict {
    note!(Verdict::ToCookie, cookie_task = ACKNOWLEDGE, line = line)
}

/// Notes the verdict that is to be answered.
#[inline(always)]
pub fn refuse(verdict: Verdict) {
    let _noted = note!(verdict, verdict = verdict.index());
}

/// Refuses a packet that is longer than this MTU, which is noted for the answer.
#[inline(always)]
pub fn too_big(mtu: u32) -> Verdict {
    note!(Verdict::DropTooBig, mtu = mtu)
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
pub fn read() -> Option<Handover> {
    // SAFETY: the map gave the pointer to this processor's own copy.
    HANDOVER.get_ptr(0).map(|handover| unsafe { handover.read_volatile() })
}

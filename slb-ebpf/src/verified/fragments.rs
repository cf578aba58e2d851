//! Fragments: finding and remembering what the first one of a datagram told.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use slb_common::{Verdict, fragment::Followed};

use crate::{
    fragments::following,
    packet::{Frame, Step, unknown},
    parse::{Fragment, Part},
};

/// Room for the offset of a network header.
const AT: usize = 0x1f;

/// Whether a fragment may carry so many bytes: [`Part::may_carry`].
#[inline(always)]
pub fn may_carry<const W: usize>(frame: Frame, fragment: Fragment, bytes: u16) -> bool {
    let (fragment, bytes) = (u32::from(fragment.0), u32::from(bytes));
    unknown(u64::from(match W {
        1 => global_may_carry_v4(frame.context, fragment, bytes),
        _ => global_may_carry_v6(frame.context, fragment, bytes),
    })) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_may_carry_v4(context: *mut xdp_md, fragment: u32, bytes: u32) -> u32 {
    carries::<1>(context, fragment, bytes)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_may_carry_v6(context: *mut xdp_md, fragment: u32, bytes: u32) -> u32 {
    carries::<3>(context, fragment, bytes)
}

#[inline(always)]
fn carries<const W: usize>(context: *mut xdp_md, fragment: u32, bytes: u32) -> u32 {
    let frame = Frame::of(&XdpContext::new(context));
    let part = Part::read::<W>(frame, Fragment(fragment as u16).at());
    u32::from(part.is_ok_and(|part| part.may_carry(bytes as u16)))
}

/// What the first fragment told of a later one: [`following::recall`].
#[inline(always)]
pub fn recall<const W: usize>(frame: Frame, at: usize, fragment: Fragment) -> Step<Followed> {
    let (at, fragment) = (at as u32, u32::from(fragment.0));
    let packed = unknown(match W {
        1 => global_recall_v4(frame.context, at, fragment),
        _ => global_recall_v6(frame.context, at, fragment),
    });
    // A verdict has no ports: its number stands alone in the lowest byte, and above it all ones.
    match packed >> 8 {
        REFUSED => Err(Verdict::from_index(packed as u32 & 0xff).unwrap_or(Verdict::DropInternal)),
        _ => Ok(Followed(packed)),
    }
}

/// Ports and slot that nobody has.
const REFUSED: u64 = u64::MAX >> 8;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_recall_v4(context: *mut xdp_md, at: u32, fragment: u32) -> u64 {
    recalled::<1>(context, at, fragment)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_recall_v6(context: *mut xdp_md, at: u32, fragment: u32) -> u64 {
    recalled::<3>(context, at, fragment)
}

#[inline(always)]
fn recalled<const W: usize>(context: *mut xdp_md, at: u32, fragment: u32) -> u64 {
    let frame = Frame::of(&XdpContext::new(context));
    match following::recall::<W>(frame, at as usize & AT, Fragment(fragment as u16)) {
        Ok(followed) => followed.0,
        Err(verdict) => REFUSED << 8 | u64::from(verdict.index()),
    }
}

/// Remembers what a first fragment told; false: there is no place: [`following::store`].
#[inline(always)]
pub fn remember<const W: usize>(
    frame: Frame,
    at: usize,
    fragment: Fragment,
    followed: Followed,
) -> bool {
    let (at, fragment) = (at as u32, u32::from(fragment.0));
    unknown(u64::from(match W {
        1 => global_remember_v4(frame.context, at, fragment, followed.0),
        _ => global_remember_v6(frame.context, at, fragment, followed.0),
    })) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_remember_v4(
    context: *mut xdp_md,
    at: u32,
    fragment: u32,
    followed: u64,
) -> u32 {
    remembered::<1>(context, at, fragment, followed)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_remember_v6(
    context: *mut xdp_md,
    at: u32,
    fragment: u32,
    followed: u64,
) -> u32 {
    remembered::<3>(context, at, fragment, followed)
}

#[inline(always)]
fn remembered<const W: usize>(context: *mut xdp_md, at: u32, fragment: u32, followed: u64) -> u32 {
    let frame = Frame::of(&XdpContext::new(context));
    let (at, fragment) = (at as usize & AT, Fragment(fragment as u16));
    u32::from(following::store::<W>(frame, at, fragment, Followed(followed)))
}

//! Persistence templates. Whose template it is goes as three numbers: the client's address, and a
//! word with family, service, group and prefix.

use slb_common::{
    connection::endpoint_address,
    service::Persistence,
    template::{EXPIRE, FLUSH, Key, Operation, Target, group_of, key, prefix_of},
};

use crate::{packet::unknown, persistence::templates, schedulers::NOBODY};

/// Of the word: the key has one word.
const V4: u64 = 1 << 63;

#[inline(always)]
const fn packed<const W: usize>(service: u16, group: u16, prefix: u8) -> u64 {
    let v4 = if W == 1 { V4 } else { 0 };
    v4 | (service as u64) << 32 | (group as u64) << 8 | prefix as u64
}

#[inline(always)]
const fn unpacked<const W: usize>(first: u64, second: u64, whose: u64) -> Key<W> {
    key([first, second], (whose >> 8) as u16, whose as u8)
}

/// Counts a connection for the client's template: [`templates::hold`].
#[inline(always)]
pub fn hold<const W: usize>(client: [u64; 2], group: u16, prefix: u8) -> Target {
    let whose = packed::<W>(0, group, prefix);
    Target(unknown(global_hold_template(client[0], client[1], whose)))
}

/// The same by its key.
#[inline(always)]
pub fn hold_template<const W: usize>(key: &Key<W>) -> Target {
    hold::<W>(endpoint_address(key), group_of(key), prefix_of(key))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_hold_template(first: u64, second: u64, whose: u64) -> u64 {
    let held = match whose & V4 {
        0 => templates::hold::<3>(&unpacked(first, second, whose)),
        _ => templates::hold::<1>(&unpacked(first, second, whose)),
    };
    held.0
}

/// Makes a client's template name a backend, or finds out which one it names:
/// [`templates::settle`].
#[inline(always)]
pub fn settle<const W: usize>(
    client: [u64; 2],
    id: u16,
    persistence: Persistence,
    seen: Target,
    wanted: Target,
) -> Target {
    let whose = packed::<W>(id, persistence.group, persistence.prefix);
    Target(unknown(global_settle_template(client[0], client[1], whose, seen.0, wanted.0)))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_settle_template(
    first: u64,
    second: u64,
    whose: u64,
    seen: u64,
    wanted: u64,
) -> u64 {
    let (service, seen, wanted) = ((whose >> 32) as u16, Target(seen), Target(wanted));
    let settled = match whose & V4 {
        0 => templates::settle::<3>(&unpacked(first, second, whose), service, seen, wanted),
        _ => templates::settle::<1>(&unpacked(first, second, whose), service, seen, wanted),
    };
    settled.0
}

/// Notes the end of a connection that held its client's template: [`templates::release`].
#[inline(always)]
pub fn release<const W: usize>(client: [u64; 2], group: u16, prefix: u8) {
    let whose = packed::<W>(0, group, prefix);
    unknown(u64::from(global_release_template(client[0], client[1], whose)));
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_release_template(first: u64, second: u64, whose: u64) -> u32 {
    match whose & V4 {
        0 => templates::release::<3>(&unpacked(first, second, whose)),
        _ => templates::release::<1>(&unpacked(first, second, whose)),
    }
    0
}

/// The slot of a target's backend in a service: [`templates::usable`].
#[inline(always)]
pub fn usable(service: u16, target: Target) -> Option<u32> {
    match unknown(u64::from(global_usable(u32::from(service), target.0))) as u32 {
        NOBODY => None,
        slot => Some(slot),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_usable(service: u32, target: u64) -> u32 {
    templates::usable(service as u16, Target(target)).unwrap_or(NOBODY)
}

/// Does one operation of the daemon on a template; 1 if anything changed, else 0, as a number of
/// which the verifier follows one and not both.
#[inline(always)]
pub fn operate(operation: &Operation) -> u32 {
    let [first, second, third] = operation.key;
    let what = u32::from(operation.family) << 16 | u32::from(operation.kind);
    unknown(u64::from(global_operate(first, second, third, what))) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_operate(first: u64, second: u64, third: u64, what: u32) -> u32 {
    u32::from(match (what >> 16, what as u16) {
        (4, EXPIRE) => templates::expire::<1>(&[first]),
        (4, FLUSH) => templates::flush::<1>(&[first]),
        (6, EXPIRE) => templates::expire::<3>(&[first, second, third]),
        (6, FLUSH) => templates::flush::<3>(&[first, second, third]),
        _ => false,
    })
}

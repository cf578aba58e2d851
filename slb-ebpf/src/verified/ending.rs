//! The connection table: ending an entry, and moving the gauges that count it.

use slb_common::connection::{Class, Control, line_words};

use crate::{
    connections::{line::Line, transition},
    maps::{self, Maps},
    packet::unknown,
    ties,
};

/// Moves the gauges of a backend slot: [`maps::adjust`].
#[inline(always)]
pub fn adjust(slot: u32, class: Class, delta: i64) {
    if class != Class::None {
        unknown(u64::from(global_adjust(slot, number(class), delta)));
    }
}

/// A class as an argument.
#[inline(always)]
const fn number(class: Class) -> u32 {
    match class {
        Class::None => 0,
        Class::Active => 1,
        Class::Opening => 2,
        Class::Closing => 3,
    }
}

#[inline(always)]
const fn class(number: u32) -> Class {
    match number {
        0 => Class::None,
        1 => Class::Active,
        2 => Class::Opening,
        _ => Class::Closing,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_adjust(slot: u32, number: u32, delta: i64) -> u32 {
    maps::adjust(slot, class(number), delta);
    0
}

/// Gives back what the entry of a line was tied to: [`ties::untie`].
#[inline(always)]
pub fn untie<const W: usize>(line: Line<W>, former: Class) {
    let former = number(former);
    unknown(u64::from(match W {
        1 => global_untie_v4(line.words().cast(), former),
        _ => global_untie_v6(line.words().cast(), former),
    }));
}

/// A line behind a pointer whose size the verifier knows.
#[repr(transparent)]
struct Words<const N: usize>([u64; N]);

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_untie_v4(line: *mut Words<{ line_words::<1>() }>, former: u32) -> u32 {
    if let Some(line) = whole::<1>(line.cast()) {
        ties::untie(line, class(former));
    }
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_untie_v6(line: *mut Words<{ line_words::<3>() }>, former: u32) -> u32 {
    if let Some(line) = whole::<3>(line.cast()) {
        ties::untie(line, class(former));
    }
    0
}

/// Ends an entry: [`transition::close`].
#[inline(always)]
pub fn close<const W: usize>(line: Line<W>, control: Control) -> bool {
    let closed = match W {
        1 => global_close_v4(line.words().cast(), control.0),
        _ => global_close_v6(line.words().cast(), control.0),
    };
    unknown(u64::from(closed)) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_close_v4(line: *mut Words<{ line_words::<1>() }>, control: u64) -> u32 {
    let line = whole::<1>(line.cast());
    u32::from(line.is_some_and(|line| transition::close(Maps, line, Control(control))))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn global_close_v6(line: *mut Words<{ line_words::<3>() }>, control: u64) -> u32 {
    let line = whole::<3>(line.cast());
    u32::from(line.is_some_and(|line| transition::close(Maps, line, Control(control))))
}

#[inline(always)]
fn whole<const W: usize>(words: *mut u64) -> Option<Line<W>> {
    // SAFETY: the verifier knows that a pointer argument, unless it is null, leads to a whole line.
    (!words.is_null()).then(|| unsafe { Line::new(words) })
}

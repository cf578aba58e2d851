//! Changing the state of an entry, or ending it. Whoever swaps the control word moves the gauges,
//! nobody else: so the gauges equal the entries whatever happens at the same time.

use slb_common::{
    connection::{Class, Control, Ties, state},
    service::mode,
};

use super::{
    line::Line,
    lookup::Entry,
    one_sided,
    store::{Side, Store},
    tcp_state::{Sender, next},
};

/// Swaps that are tried before a segment's effect on the state is given up; the next one's comes.
const SWAPS: u32 = 4;

/// Notes a packet on its connection: time, flags, state. `tcp` are its flags, 0 for UDP.
#[inline(always)]
pub fn track<const W: usize, S: Store<W>>(
    store: S,
    entry: &Entry<W>,
    side: Side,
    tcp: u8,
    now: u32,
) {
    entry.line.touch(entry.seen, now);
    let mut control = entry.control;
    let mut swaps = 0;
    while swaps < SWAPS {
        let to = if mode::one_sided(entry.translation.mode()) {
            one_sided::after(control, tcp, now.wrapping_sub(entry.translation.opened()))
        } else {
            after(control, side, tcp)
        };
        if to == control || change(store, entry.line, entry.seen.slot(), control, to) {
            return;
        }
        control = entry.line.control();
        if control.generation() != entry.control.generation() || !control.live() {
            return;
        }
        swaps += 1;
    }
}

/// The control word of an entry after a packet.
#[inline(always)]
const fn after(control: Control, side: Side, tcp: u8) -> Control {
    match control.state() {
        state::UDP_SEEN => control,
        state::UDP_NEW => match side {
            Side::Vip => control,
            Side::Backend => control.with(control.flags(), state::UDP_SEEN),
        },
        now => {
            let sender = match side {
                Side::Vip => Sender::Client,
                Side::Backend => Sender::Backend,
            };
            let (flags, to) = next(control.flags(), now, sender, tcp);
            control.with(flags, to)
        }
    }
}

/// Brings an entry from the control word that was read to another state. False if somebody else
/// was quicker: then nothing has changed.
#[inline(always)]
pub fn change<const W: usize, S: Store<W>>(
    store: S,
    line: Line<W>,
    slot: u32,
    from: Control,
    to: Control,
) -> bool {
    if !line.swap_control(from, to) {
        return false;
    }
    if from.class() != to.class() {
        move_gauges(store, slot, from.class(), to.class());
    }
    true
}

/// Ends an entry; only its place remains, with the generation that it had.
#[inline(always)]
pub fn close<const W: usize, S: Store<W>>(store: S, line: Line<W>, control: Control) -> bool {
    // The slot is read before the swap: a swap that succeeds proves that it is this generation's.
    let slot = line.seen().slot();
    let generation = control.generation();
    // Claimed first, so that nobody overwrites what it is tied to before that is given back.
    if !line.swap_control(control, Control::new(0, generation, 0, state::CLAIMED)) {
        return false;
    }
    untie(store, line);
    line.publish(Control::new(0, generation, 0, state::FREE));
    move_gauges(store, slot, control.class(), Class::None);
    true
}

/// Gives back what the entry was tied to whose line this program has claimed.
#[inline(always)]
pub fn untie<const W: usize, S: Store<W>>(store: S, line: Line<W>) {
    if line.ties() != Ties::NONE {
        store.untie(line);
    }
}

/// Moves one entry of a slot from one gauge to another.
#[inline(always)]
pub fn move_gauges<const W: usize, S: Store<W>>(store: S, slot: u32, from: Class, to: Class) {
    // Raised first, so that a slot with an entry never looks idle.
    if to != Class::None {
        store.adjust(slot, to, 1);
    }
    if from != Class::None {
        store.adjust(slot, from, -1);
    }
}

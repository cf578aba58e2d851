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
        if to == control || change(store, entry, control, to) {
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
    entry: &Entry<W>,
    from: Control,
    to: Control,
) -> bool {
    if !entry.line.swap_control(from, to) {
        return false;
    }
    if from.class() != to.class() {
        move_gauges(store, entry.seen.slot(), from.class(), to.class());
    }
    // By the copy: since the swap the line may be somebody else's.
    match (from.class().limited(), to.class().limited()) {
        (true, false) => store.count_client(entry, -1),
        (false, true) => store.count_client(entry, 1),
        _ => {}
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
    untie(store, line, control.class());
    line.publish(Control::new(0, generation, 0, state::FREE));
    move_gauges(store, slot, control.class(), Class::None);
    true
}

/// Gives back what the entry was tied to whose line this program has claimed; `former` is the class
/// that it had.
#[inline(always)]
pub fn untie<const W: usize, S: Store<W>>(store: S, line: Line<W>, former: Class) {
    if line.ties() != Ties::NONE {
        store.untie(line, former);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use crate::connections::{
        insert::{New, open},
        lookup::find,
        memory::{Memory, by_vip, new_entry},
        tcp_state::tcp::{ACK, FIN, RST, SYN},
    };

    fn new() -> New<1> {
        New { ties: Ties::NONE.with_client(24), ..new_entry(1000, 1, 2, state::SYN, 5) }
    }

    /// What the client's prefix counts after these segments, one after the other.
    fn counted(segments: &[(Side, u8)]) -> (Memory<1>, Vec<i64>) {
        let table = Memory::new(64);
        open(&table, &new(), 5).unwrap();
        table.clients.store(1, SeqCst);
        let counts = segments.iter().map(|(side, flags)| {
            let entry = find(&table, &by_vip(&new()), Side::Vip, 5).expect("an entry");
            track(&table, &entry, *side, *flags, 5);
            table.clients.load(SeqCst)
        });
        let counts = counts.collect();
        (table, counts)
    }

    const OPEN: [(Side, u8); 2] = [(Side::Backend, SYN | ACK), (Side::Vip, ACK)];

    fn end(table: &Memory<1>) -> i64 {
        let entry = find(table, &by_vip(&new()), Side::Vip, 5).expect("an entry");
        assert!(close(table, entry.line, entry.control));
        table.clients.load(SeqCst)
    }

    #[test]
    fn a_client_has_one_connection_less_from_the_first_fin_on_and_its_end_takes_none_more() {
        let fins = [(Side::Vip, FIN | ACK), (Side::Backend, FIN | ACK), (Side::Vip, ACK)];
        let (table, counts) = counted(&[&OPEN[..], &fins].concat());
        assert_eq!(counts, [1, 1, 0, 0, 0]);
        assert_eq!(end(&table), 0);
    }

    #[test]
    fn a_client_has_a_connection_again_that_goes_on_after_a_reset_and_its_end_takes_it() {
        let resets = [(Side::Vip, RST), (Side::Vip, RST), (Side::Vip, ACK), (Side::Vip, ACK)];
        let (table, counts) = counted(&[&OPEN[..], &resets].concat());
        assert_eq!(counts, [1, 1, 0, 0, 1, 1]);
        assert_eq!(end(&table), 0);
    }

    #[test]
    fn whoever_takes_the_place_of_a_closing_entry_takes_nothing_from_its_client() {
        let (table, _) = counted(&[&OPEN[..], &[(Side::Vip, RST)]].concat());
        open(&table, &New { ties: Ties::NONE, ..new() }, 5).unwrap();
        assert_eq!(table.clients.load(SeqCst), 0);
    }
}

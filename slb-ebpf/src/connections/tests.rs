//! The table on ordinary memory, one step at a time.

use slb_common::connection::{
    CLOSED_TIMEOUT, Control, ENTRIES_PER_CLIENT, Seen, WAYS, endpoint, state, v4_words,
};

use super::{
    bucket::Guard,
    insert::{New, Refused, open},
    line::Line,
    lookup::{Entry, find},
    memory::{Memory, SEED, SYN_TIMEOUT, by_vip, new_entry},
    store::{Key, Side, Store},
    transition::{change, close},
};

fn by_backend<const W: usize>(new: &New<W>) -> Key<'_, W> {
    Key { client: &new.client, server: &new.backend }
}

fn opened<const W: usize>(table: &Memory<W>, new: &New<W>, now: u32) -> Line<W> {
    Line::of_slot(table, open(table, new, now).expect("opened")).expect("a line")
}

fn found<const W: usize>(table: &Memory<W>, new: &New<W>, now: u32) -> Option<Entry<W>> {
    find(table, &by_vip(new), Side::Vip, now)
}

fn found_by_both_directions<const W: usize>() {
    let table = Memory::<W>::new(64);
    let new = new_entry(1000, 1, 2, state::SYN, 5);
    assert_eq!(found(&table, &new, 5), None);
    let line = opened(&table, &new, 5);
    for (key, side) in [(by_vip(&new), Side::Vip), (by_backend(&new), Side::Backend)] {
        let entry = find(&table, &key, side, 5).expect("found");
        assert_eq!(entry.line, line);
        assert_eq!((entry.vip, entry.backend), (new.vip, new.backend));
        assert_eq!((entry.service(), entry.client_hop(), entry.seen), (7, 3, new.seen));
    }
    assert_eq!(find(&table, &by_backend(&new), Side::Vip, 5), None);
    let mut udp = new;
    udp.client = endpoint(v4_words([192, 0, 2, 1]), 1000_u16.to_be_bytes(), 17);
    assert_eq!(found(&table, &udp, 5), None);
}

#[test]
fn an_entry_is_found_by_both_directions_and_by_no_other_protocol() {
    found_by_both_directions::<1>();
    found_by_both_directions::<3>();
}

#[test]
fn a_live_entry_is_not_opened_twice() {
    let table = Memory::<1>::new(64);
    let new = new_entry(1000, 1, 2, state::ESTABLISHED, 5);
    opened(&table, &new, 5);
    assert_eq!(open(&table, &new, 6), Err(Refused::Exists));
    assert_eq!(table.live().len(), 1);
}

#[test]
fn an_expired_entry_is_absent_and_its_key_can_be_opened_again() {
    let table = Memory::<1>::new(64);
    let new = new_entry(1000, 1, 2, state::SYN, 0);
    opened(&table, &new, 0);
    assert!(found(&table, &new, SYN_TIMEOUT).is_some());
    let late = SYN_TIMEOUT + 1;
    assert_eq!(found(&table, &new, late), None);
    opened(&table, &New { seen: Seen::new(late, 4, 0), ..new }, late);
    assert_eq!(table.live().len(), 1);
    assert_eq!((table.counted(2), table.counted(4)), ((0, 0), (0, 1)));
}

#[test]
fn an_entry_of_a_service_that_is_gone_is_absent() {
    let table = Memory::<1>::new(64);
    let mut new = new_entry(1000, 1, 2, state::ESTABLISHED, 0);
    new.vip = endpoint(v4_words([10, 0, 0, 1]), 80_u16.to_be_bytes(), 0xdead);
    opened(&table, &new, 0);
    assert_eq!(found(&table, &new, 0), None);
}

#[test]
fn a_syn_on_a_closing_entry_opens_anew_in_its_place() {
    for closing in [state::FIN, state::TIME_WAIT, state::CLOSED] {
        let table = Memory::<1>::new(64);
        let new = new_entry(1000, 1, 2, state::ESTABLISHED, 5);
        opened(&table, &new, 5);
        let entry = found(&table, &new, 5).expect("found");
        assert!(change(&table, &entry, entry.control, entry.control.with(0, closing)));
        let again = new_entry(1000, 1, 3, state::SYN, 6);
        opened(&table, &again, 6);
        assert_eq!(table.live().len(), 1);
        assert_eq!((table.counted(2), table.counted(3)), ((0, 0), (0, 1)));
    }
}

#[test]
fn one_backend_endpoint_through_two_vips_is_refused_until_the_first_closes() {
    let table = Memory::<1>::new(64);
    let first = new_entry(1000, 1, 2, state::ESTABLISHED, 5);
    let second = new_entry(1000, 9, 2, state::SYN, 5);
    opened(&table, &first, 5);
    assert_eq!(open(&table, &second, 5), Err(Refused::TupleInUse));
    opened(&table, &new_entry(1000, 9, 3, state::SYN, 5), 5);
    let entry = found(&table, &first, 5).expect("found");
    assert!(change(&table, &entry, entry.control, entry.control.with(0, state::TIME_WAIT)));
    let closing = found(&table, &first, 5).map(|entry| entry.control.state());
    assert_eq!(closing, Some(state::TIME_WAIT), "closing entries are found");
    opened(&table, &new_entry(1000, 8, 2, state::SYN, 5), 5);
    assert_eq!(found(&table, &first, 5), None);
}

#[test]
fn one_client_endpoint_gets_24_entries_and_no_more() {
    let table = Memory::<1>::new(4096);
    for n in 0..ENTRIES_PER_CLIENT as u8 {
        opened(&table, &new_entry_to(n), 5);
    }
    assert_eq!(open(&table, &new_entry_to(200), 5), Err(Refused::ClientFull));
    for n in 0..ENTRIES_PER_CLIENT as u8 {
        assert!(found(&table, &new_entry_to(n), 5).is_some(), "{n}");
    }
}

/// One client to many VIPs, each on a backend of its own.
fn new_entry_to(n: u8) -> New<1> {
    New {
        backend: endpoint(v4_words([10, 1, n, 1]), 8080_u16.to_be_bytes(), 0),
        seen: Seen::new(5, 1, 0),
        ..new_entry(1000, n, 1, state::ESTABLISHED, 5)
    }
}

/// A table of one bucket: every candidate of every client is the same four places.
fn full_table(states: [u8; 4]) -> Memory<1> {
    let table = Memory::<1>::new(1);
    for (n, state) in states.into_iter().enumerate() {
        opened(&table, &new_entry(n as u16, 1, n as u8, state, 0), 0);
    }
    table
}

#[test]
fn established_entries_are_never_reclaimed() {
    use state::{ESTABLISHED, UDP_SEEN};
    let table = full_table([ESTABLISHED, UDP_SEEN, ESTABLISHED, ESTABLISHED]);
    assert_eq!(open(&table, &new_entry(9, 1, 9, state::SYN, 1), 1), Err(Refused::Full));
    assert_eq!(table.live().len(), 4);
}

#[test]
fn places_are_reclaimed_in_the_order_expired_half_open_closed_closing() {
    use state::{CLOSED, ESTABLISHED, FIN, SYN};
    let now = CLOSED_TIMEOUT;
    let table = full_table([FIN, CLOSED, SYN, SYN]);
    // The entry of client 3 is older than the others: expired at `now`.
    let table_line = found(&table, &new_entry(3, 1, 3, SYN, 0), 0).unwrap().line;
    table_line.touch(Seen::new(0, 3, 0), now.wrapping_sub(SYN_TIMEOUT + 1));
    for (client, gone) in [(10, 3), (11, 2), (12, 1), (13, 0)] {
        let backend = new_entry::<1>(client, 1, client as u8, 0, 0).backend;
        let new = New { backend, ..new_entry(client, 1, 10, ESTABLISHED, now) };
        opened(&table, &new, now);
        assert_eq!(found(&table, &new_entry(gone, 1, 0, SYN, 0), now), None, "client {gone}");
    }
    assert_eq!(table.counted(10), (4, 0));
    assert_eq!((0..4).map(|slot| table.counted(slot)).collect::<Vec<_>>(), [(0, 0); 4]);
}

#[test]
fn an_entry_beyond_the_first_two_buckets_is_found_and_counted_in_the_reach() {
    let table = Memory::<1>::new(1 << 12);
    let hash = SEED.hash(&new_entry::<1>(1000, 0, 1, 0, 0).client);
    // Fill the first two buckets of this client with entries of nobody.
    for number in 0..2 {
        let bucket = (&table).bucket(hash.bucket(number, table.mask)).unwrap();
        for way in 0..WAYS {
            let control = Control::new(1, 1, 0, state::ESTABLISHED);
            Line::<1>::of_bucket(bucket, way).publish(control);
        }
    }
    let new = new_entry(1000, 1, 1, state::ESTABLISHED, 0);
    opened(&table, &new, 0);
    assert!(found(&table, &new, 0).is_some());
    let primary = (&table).bucket(hash.bucket(0, table.mask)).unwrap();
    assert_eq!(Guard::<1>::of_bucket(primary).read().reach(), 1);
}

#[test]
fn closing_with_a_stale_control_word_changes_nothing() {
    let table = Memory::<1>::new(64);
    let new = new_entry(1000, 1, 2, state::ESTABLISHED, 5);
    let line = opened(&table, &new, 5);
    let stale = line.control();
    assert!(close(&table, line, stale));
    opened(&table, &new, 6);
    assert!(!close(&table, line, stale));
    assert_eq!(table.counted(2), (1, 0));
}

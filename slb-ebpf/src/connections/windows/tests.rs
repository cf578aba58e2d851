use super::{Phase::*, tcp::*, *};

/// Both sides about to wrap.
const END: u32 = 0xffff_fff0;
const ACKED: u32 = 0xffff_ff00;
const KNOWN: Sequences = Sequences::new(END, ACKED);

const fn segment(sequence: u32, acknowledged: u32, length: u32, flags: u8) -> Segment {
    Segment { sequence, acknowledged, length, flags }
}

#[test]
fn data_moves_both_numbers_on_also_past_the_wrap() {
    let data = segment(END, ACKED.wrapping_add(0x200), 100, ACK);
    assert_eq!(from_client(KNOWN, &data, Open), Some(Sequences::new(84, 0x100)));
}

#[test]
fn what_comes_once_more_and_keepalive_probes_take_nothing_back() {
    for old in [
        segment(END - 1000, ACKED - 500, 400, ACK),
        segment(END - 1, ACKED, 0, ACK),
        segment(END - 1, ACKED, 1, ACK),
    ] {
        assert_eq!(from_client(KNOWN, &old, Open), Some(KNOWN), "{old:?}");
    }
    // A part of it is new.
    let more = segment(END - 10, ACKED - 1, 12, ACK);
    assert_eq!(from_client(KNOWN, &more, Open), Some(Sequences::new(END + 2, ACKED)));
}

#[test]
fn segments_with_one_number_outside_the_window_are_not_believed() {
    for far in [WINDOW + 1, 1 << 31, 0_u32.wrapping_sub(WINDOW + 1)] {
        let (sequence, acknowledged) = (END.wrapping_add(far), ACKED.wrapping_add(far));
        for flags in [ACK, FIN | ACK, RST | ACK] {
            for forged in [segment(sequence, ACKED, 1, flags), segment(END, acknowledged, 1, flags)]
            {
                assert_eq!(from_client(KNOWN, &forged, Open), None, "{forged:?}");
            }
        }
        for flags in [FIN | ACK, RST | ACK] {
            for forged in [segment(acknowledged, END, 1, flags), segment(ACKED, sequence, 1, flags)]
            {
                assert_eq!(from_backend(KNOWN, &forged, Open), None, "{forged:?}");
            }
        }
    }
    for near in [WINDOW, 0_u32.wrapping_sub(WINDOW)] {
        let fin = segment(ACKED.wrapping_add(near), END.wrapping_sub(near), 1, FIN | ACK);
        assert_eq!(from_backend(KNOWN, &fin, Open), Some(KNOWN));
    }
}

#[test]
fn a_reset_that_acknowledges_nothing_is_exact_or_a_little_behind() {
    for (behind, believed) in
        [(0, true), (RESET_WINDOW, true), (RESET_WINDOW + 1, false), (u32::MAX, false)]
    {
        let reset = segment(END.wrapping_sub(behind), 7, 0, RST);
        assert_eq!(from_client(KNOWN, &reset, Open).is_some(), believed, "{behind}");
        let reset = segment(ACKED.wrapping_sub(behind), 7, 0, RST);
        assert_eq!(from_backend(KNOWN, &reset, Open).is_some(), believed, "{behind}");
    }
}

#[test]
fn a_syn_begins_and_the_syn_ack_says_which_one_counts() {
    let syn = segment(END, 0, 1, SYN);
    let known = from_client(Sequences::default(), &syn, Opening).unwrap();
    assert_eq!(known, Sequences::new(END + 1, 0));
    let forged = from_client(known, &segment(77, 0, 1, SYN), Opening).unwrap();
    let answer = segment(ACKED, END + 1, 1, SYN | ACK);
    let known = from_backend(forged, &answer, Opening).unwrap();
    assert_eq!(known, Sequences::new(END + 1, ACKED + 1));
    assert_eq!(from_client(known, &segment(77, 0, 1, SYN), Answered), Some(known));
    assert_eq!(from_client(KNOWN, &segment(77, 0, 1, SYN), Open), Some(KNOWN));
    assert_eq!(from_backend(KNOWN, &segment(77, 78, 1, SYN | ACK), Open), Some(KNOWN));
}

#[test]
fn only_who_saw_the_syn_ack_completes_the_handshake() {
    let ack = segment(END, ACKED, 0, ACK);
    assert_eq!(from_client(KNOWN, &ack, Answered), Some(KNOWN));
    for guessed in [ACKED - 1, ACKED.wrapping_add(HANDSHAKE_WINDOW)] {
        let forged = Segment { acknowledged: guessed, ..ack };
        assert_eq!(from_client(KNOWN, &forged, Answered), None);
    }
}

#[test]
fn a_refusal_acknowledges_the_syn_whatever_its_own_number() {
    let known = Sequences::new(END, 0);
    assert_eq!(from_backend(known, &segment(0, END, 0, RST | ACK), Opening), Some(known));
    assert_eq!(from_backend(known, &segment(0, END - 1, 0, RST | ACK), Opening), None);
    assert_eq!(from_backend(KNOWN, &segment(0, END, 0, RST | ACK), Answered), Some(KNOWN));
    assert_eq!(from_backend(KNOWN, &segment(1 << 30, END, 0, RST | ACK), Open), None);
}

#[test]
fn where_nothing_is_known_anything_is_believed() {
    let none = Sequences::default();
    let data = segment(5, 6, 7, ACK);
    assert_eq!(from_client(none, &data, Open), Some(Sequences::new(12, 6)));
    assert_eq!(from_client(none, &segment(5, 6, 0, RST), Open), Some(none));
    assert_eq!(from_backend(none, &segment(5, 6, 0, RST), Open), Some(none));
}

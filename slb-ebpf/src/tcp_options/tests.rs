//! What becomes of options.

use etherparse::{TcpHeader, TcpOptionElement};
use proptest::prelude::*;

use super::*;

fn edited(bytes: &[u8], mss: Mss, timestamps: Timestamps) -> (Vec<u8>, Delta) {
    let mut buffer = [0xee; BUFFER];
    buffer[..bytes.len()].copy_from_slice(bytes);
    let wish = Wish { mss, timestamps, sack: 0 };
    assert_eq!(Wish::unpack(wish.pack()), wish);
    let delta = edit(|at| edit_one(&mut buffer, at, bytes.len(), wish));
    assert!(buffer[bytes.len()..].iter().all(|byte| *byte == 0xee), "nothing behind changes");
    (buffer[..bytes.len()].to_vec(), delta)
}

fn header(elements: &[TcpOptionElement]) -> TcpHeader {
    let mut header = TcpHeader::new(1, 2, 3, 4);
    header.set_options(elements).expect("they fit");
    header
}

#[test]
fn the_mss_is_lowered_never_raised_and_makes_room() {
    let one = |announced| header(&[TcpOptionElement::MaximumSegmentSize(announced)]);
    for (limit, less, announced, wanted) in [
        (1400, 0, 1460, 1400),
        (1400, 0, 1300, 1300),
        (0, 8, 1460, 1452),
        (0, 20, 1440, 1420),
        (1400, 8, 1460, 1392),
        (0, 0, 1460, 1460),
        (0, 8, 8, 8),
        (0, 8, 0, 0),
    ] {
        let mss = Mss { limit, less };
        let (bytes, _) = edited(one(announced).options.as_slice(), mss, Timestamps::Keep);
        assert_eq!(bytes, one(wanted).options.as_slice(), "{mss:?} {announced}");
    }
}

#[test]
fn timestamps_become_no_operations_and_nothing_else_does() {
    use TcpOptionElement::*;
    let before = header(&[
        MaximumSegmentSize(1460),
        SelectiveAcknowledgementPermitted,
        Timestamp(0x0102_0304, 0x0506_0708),
        Noop,
        WindowScale(7),
    ]);
    let noops = [const { Noop }; 10];
    let after = header(
        &[
            &[MaximumSegmentSize(1460), SelectiveAcknowledgementPermitted][..],
            &noops,
            &[Noop, WindowScale(7)],
        ]
        .concat(),
    );
    let (bytes, _) = edited(before.options.as_slice(), Mss::default(), Timestamps::Strip);
    assert_eq!(bytes, after.options.as_slice());
    let (bytes, _) = edited(before.options.as_slice(), Mss::default(), Timestamps::Keep);
    assert_eq!(bytes, before.options.as_slice());
}

/// The same bytes in a buffer, read.
fn offered(bytes: &[u8]) -> Offered {
    let mut buffer = [0xee; BUFFER];
    buffer[..bytes.len()].copy_from_slice(bytes);
    read(|at, offered| {
        assert_eq!(Offered::unpack(offered.pack()), offered);
        read_one(&buffer, at, bytes.len(), offered)
    })
}

#[test]
fn what_a_syn_offers_is_read_wherever_it_stands() {
    use TcpOptionElement::*;
    let linux = [
        MaximumSegmentSize(1460),
        SelectiveAcknowledgementPermitted,
        Timestamp(1, 2),
        Noop,
        WindowScale(7),
    ];
    let all = Offered { mss: 1460, scale: Some(7), sack: true };
    assert_eq!(offered(header(&linux).options.as_slice()), all);
    let mut turned = linux;
    turned.reverse();
    assert_eq!(offered(header(&turned).options.as_slice()), all);
    assert_eq!(offered(&[]), Offered::NOTHING);
    let scale = |scale| offered(header(&[WindowScale(scale)]).options.as_slice()).scale;
    assert_eq!((scale(0), scale(14), scale(200)), (Some(0), Some(14), Some(14)));
    assert_eq!(offered(&[2, 4, 5, 0xb4, 3, 9, 1, 1]).scale, None, "a length that lies");
}

#[test]
fn selective_acknowledgements_are_renumbered_and_nothing_else_is() {
    use TcpOptionElement::*;
    for (first, more) in [
        ((5, 10), [None, None, None]),
        ((u32::MAX, 3), [Some((7, 9)), None, None]),
        ((1, 2), [Some((3, 4)), Some((5, 6)), Some((7, 8))]),
    ] {
        let moved = |(from, to): (u32, u32)| (from.wrapping_sub(6), to.wrapping_sub(6));
        let blocks = |first, more| header(&[Noop, Noop, SelectiveAcknowledgement(first, more)]);
        let before = blocks(first, more);
        let after = blocks(moved(first), more.map(|block| block.map(moved)));
        let mut buffer = [0xee; BUFFER];
        let bytes = before.options.as_slice();
        buffer[..bytes.len()].copy_from_slice(bytes);
        let wish = Wish { sack: 6, ..Wish::NONE };
        assert_eq!(Wish::unpack(wish.pack()), wish);
        let delta = edit(|at| edit_one(&mut buffer, at, bytes.len(), wish));
        assert_eq!(&buffer[..bytes.len()], after.options.as_slice());
        let sum = |header: &TcpHeader| {
            let sum = header.calc_checksum_ipv4_raw([10, 0, 0, 1], [10, 0, 0, 2], &[]).unwrap();
            u16::from_ne_bytes(sum.to_be_bytes())
        };
        assert_eq!(delta.apply(sum(&before)), sum(&after));
    }
}

#[test]
fn options_that_lie_about_their_length_stay_as_they_are() {
    let mss = Mss { limit: 500, less: 0 };
    for bytes in [
        &[2, 4, 5, 0xb4, 8, 200, 1, 2][..],
        &[8, 10, 0, 0],
        &[2, 0, 5, 0xb4],
        &[2, 1, 5, 0xb4],
        &[0, 2, 4, 5],
        &[2, 3, 5, 0xb4],
        &[1, 1, 1, 2],
    ] {
        let (after, _) = edited(bytes, mss, Timestamps::Strip);
        let wanted = if bytes[..2] == [2, 4] {
            [&[2, 4, 1, 0xf4], &bytes[4..]].concat()
        } else {
            bytes.to_vec()
        };
        assert_eq!(after, wanted);
    }
}

proptest! {
    #[test]
    fn the_checksum_follows_every_change(
        words in 0_usize..=10,
        bytes in prop::collection::vec(prop_oneof![Just(1_u8), Just(2), Just(4), Just(8), Just(10), any::<u8>()], 40),
        limit in 0_u16..2000,
        less in prop_oneof![Just(0_u16), Just(8), Just(20)],
    ) {
        let bytes = &bytes[..words * 4];
        let (after, delta) = edited(bytes, Mss { limit, less }, Timestamps::Strip);
        let of = |options: &[u8]| {
            let mut header = TcpHeader::new(1, 2, 3, 4);
            header.set_options_raw(options).unwrap();
            header.calc_checksum_ipv4_raw([10, 0, 0, 1], [10, 0, 0, 2], &[]).unwrap()
        };
        let stored = |sum: u16| u16::from_ne_bytes(sum.to_be_bytes());
        let (got, wanted) = (delta.apply(stored(of(bytes))), stored(of(&after)));
        prop_assert!(got == wanted || (got ^ wanted) == 0xffff && (got == 0 || wanted == 0));
    }
}

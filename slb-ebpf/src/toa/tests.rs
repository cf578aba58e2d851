//! The option in headers that etherparse makes, and in any bytes.

use etherparse::{TcpHeader, TcpOptionElement};
use proptest::{collection::vec, prelude::*};

use super::*;

impl Header for &[u8] {
    fn bytes<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        assert!(offset < 64, "the program masks offsets");
        self.get(offset..offset + N)?.try_into().ok()
    }
}

/// What a header with these options says; etherparse pads them.
fn told(options: &[u8]) -> Found {
    let mut header = TcpHeader::new(40_000, 80, 1, 1024);
    header.set_options_raw(options).unwrap();
    find(header.to_bytes().as_slice())
}

const V4: [u8; 8] = [254, 8, 0x30, 0x39, 203, 0, 113, 9];
const V6: [u8; 20] = [254, 20, 0x30, 0x39, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];

fn client(found: Found) -> (Vec<u8>, u16, u16) {
    let Found::Client(client) = found else { panic!("{found:?}") };
    let address = client.address.iter().flat_map(|word| word.to_ne_bytes()).collect();
    (address, u16::from_be(client.port), client.state)
}

#[test]
fn both_options_are_read_alone_and_behind_others() {
    let v4 = [&[0; 10][..], &[0xff, 0xff, 203, 0, 113, 9]].concat();
    let timestamps = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    for before in [&[][..], &[1], &timestamps, &[1, 1, 1, 1, 1, 1, 1]] {
        let found = client(told(&[before, &V4].concat()));
        assert_eq!(found, (v4.clone(), 12345, state::V4));
        let found = client(told(&[before, &V6].concat()));
        assert_eq!(found, (V6[4..].to_vec(), 12345, state::V6));
    }
    // 32 bytes of no operation, and the option at the very end of the longest header.
    assert_eq!(client(told(&[&[1; 32][..], &V4].concat())).1, 12345);
}

#[test]
fn the_first_of_two_counts() {
    let other = [254, 8, 0, 9, 10, 0, 0, 1];
    assert_eq!(client(told(&[V4, other].concat())).1, 12345);
}

#[test]
fn options_that_tell_nobody_are_malformed() {
    for wrong in [
        &[254, 7, 0x30, 0x39, 203, 0, 113][..],
        &[254, 2],
        &[254, 12, 0x30, 0x39, 203, 0, 113, 9, 0, 0, 0, 0],
        // Longer than the header.
        &[254, 20, 0x30, 0x39, 203, 0, 113, 9],
        &[254, 8, 0, 0, 203, 0, 113, 9],
        &[254, 8, 0x30, 0x39, 0, 0, 0, 0],
    ] {
        assert_eq!(told(wrong), Found::Malformed, "{wrong:?}");
    }
}

#[test]
fn other_options_their_content_and_what_follows_the_end_are_not_taken_for_it() {
    let inside = [8, 10, 254, 8, 1, 2, 3, 4, 5, 6];
    for none in [&[][..], &inside, &[0, 254, 8, 1, 2, 3, 4, 5, 6], &[5, 1, 254, 8, 1, 1, 1, 1]] {
        assert_eq!(told(none), Found::Nothing, "{none:?}");
    }
}

#[test]
fn options_that_are_cut_off_are_none() {
    let header = TcpHeader::new(40_000, 80, 1, 1024).to_bytes();
    for end in [&[][..], &[8], &[8, 0], &[8, 60], &[8, 255], &[254]] {
        let cut = [header.as_slice(), end].concat();
        let expected = if end == [254] { Found::Malformed } else { Found::Nothing };
        assert_eq!(find(cut.as_slice()), expected, "{end:?}");
    }
    assert_eq!(find(&header.as_slice()[..19]), Found::Nothing);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_surprise(bytes in vec(any::<u8>(), 0..80)) {
        find(bytes.as_slice());
    }

    #[test]
    fn the_option_is_found_behind_any_options(address: u32, port in 1_u16.., stamp: (u32, u32)) {
        let others = [TcpOptionElement::Timestamp(stamp.0, stamp.1), TcpOptionElement::Noop];
        let mut header = TcpHeader::new(1, 2, 3, 4);
        header.set_options(&others).unwrap();
        let padded = header.options.as_slice().to_vec();
        let cut = padded.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let ours = [&[254, 8][..], &port.to_be_bytes(), &(address | 1).to_be_bytes()].concat();
        let found = client(told(&[&padded[..cut], &ours].concat()));
        prop_assert_eq!(&found.0[12..], &(address | 1).to_be_bytes());
        prop_assert_eq!(found.1, port);
    }
}

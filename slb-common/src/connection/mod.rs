//! One connection, one line of the table: its words, its control word, its states.
//!
//! A line is 8 words (64 bytes, one cache line) for IPv4 and 16 for IPv6. `W` is the number of
//! words of an endpoint, 1 or 3, and stands for the family everywhere:
//!
//! ```text
//! word      what                                                   written
//! 0         control: tag 32 | generation 24 | flags 4 | state 4    compare-and-swap only
//! 1 … W     client: address, port 16, protocol 16                  once per generation
//! 1+W …     vip: address, port 16, service 16                      once per generation
//! 1+2W …    backend: address, port 16, next hop to the client 16   address and port once
//! 1+3W      last seen 32 | backend slot 24 | slot generation 8     last seen: when it changes
//! 2+3W      ties: local address, local port, template, client        once per generation
//! 3+3W      translation: sequence delta, window shift, mode, marks   marks and delta: by their stage
//! last      bucket word, in way 0 only: version 60 | reach 3 | lock 1
//! ```
//!
//! Four lines are a bucket. An endpoint's last word holds its port in bits 32–47 as it is on the
//! wire and 16 bits of something else above; an IPv4 address lies in the low 32 bits.

pub mod batch;
mod control;
mod extras;
mod time;

pub use control::{BucketWord, Class, Control, Seen, flag, state};
pub use extras::{Sequences, Ties, Translation, mark};
pub use time::{CLOSED_TIMEOUT, TICK_SHIFT, expired, ticks};

/// Lines of a bucket.
pub const WAYS: u32 = 4;
/// Buckets that may hold a connection.
pub const BUCKETS_PER_CLIENT: u32 = 8;
/// Buckets that are always looked at; the others only as far as the primary bucket's reach says.
pub const BUCKETS_ALWAYS: u32 = 2;
/// Entries of one client endpoint at most, of the 32 places that it hashes to.
pub const ENTRIES_PER_CLIENT: u32 = 24;

/// Words of a line.
pub const fn line_words<const W: usize>() -> usize {
    if W == 1 { 8 } else { 16 }
}

/// Words of a bucket of IPv4 lines.
pub const BUCKET_WORDS_V4: usize = line_words::<1>() * WAYS as usize;
/// Words of a bucket of IPv6 lines.
pub const BUCKET_WORDS_V6: usize = line_words::<3>() * WAYS as usize;

/// Offsets in words of what a line holds.
pub mod offset {
    /// Control word.
    pub const CONTROL: usize = 0;
    /// Client endpoint.
    pub const CLIENT: usize = 1;

    /// VIP endpoint.
    pub const fn vip<const W: usize>() -> usize {
        1 + W
    }

    /// Backend endpoint.
    pub const fn backend<const W: usize>() -> usize {
        1 + 2 * W
    }

    /// Last seen and backend slot.
    pub const fn seen<const W: usize>() -> usize {
        1 + 3 * W
    }

    /// Ties: see [`super::Ties`].
    pub const fn ties<const W: usize>() -> usize {
        2 + 3 * W
    }

    /// Translation: see [`super::Translation`].
    pub const fn translation<const W: usize>() -> usize {
        3 + 3 * W
    }

    /// The bucket's word, if the line is the bucket's first.
    pub const fn bucket_word<const W: usize>() -> usize {
        super::line_words::<W>() - 1
    }
}

/// Words of an endpoint for its last word's upper 16 bits.
pub const EXTRA_SHIFT: u32 = 48;
/// Place of the port in an endpoint's last word.
pub const PORT_SHIFT: u32 = 32;

/// Words of an IPv4 address.
#[inline(always)]
pub const fn v4_words(address: [u8; 4]) -> [u64; 2] {
    [u32::from_ne_bytes(address) as u64, 0]
}

/// Words of an IPv6 address.
#[inline(always)]
pub const fn v6_words(address: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = address;
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes(rest)]
}

/// Builds an endpoint from an address's words, a port as on the wire and 16 bits of something.
#[inline(always)]
pub const fn endpoint<const W: usize>(address: [u64; 2], port: [u8; 2], extra: u16) -> [u64; W] {
    let mut words = [0; W];
    let last = (u16::from_ne_bytes(port) as u64) << PORT_SHIFT | (extra as u64) << EXTRA_SHIFT;
    if W == 1 {
        words[0] = address[0] | last;
    } else {
        words[0] = address[0];
        words[1] = address[1];
        words[W - 1] = last;
    }
    words
}

/// The address of an endpoint, as words.
#[inline(always)]
pub const fn endpoint_address<const W: usize>(words: &[u64; W]) -> [u64; 2] {
    if W == 1 { [words[0] & 0xffff_ffff, 0] } else { [words[0], words[1]] }
}

/// The port of an endpoint, as on the wire.
#[inline(always)]
pub const fn endpoint_port<const W: usize>(words: &[u64; W]) -> [u8; 2] {
    ((words[W - 1] >> PORT_SHIFT) as u16).to_ne_bytes()
}

/// The upper 16 bits of an endpoint's last word.
#[inline(always)]
pub const fn endpoint_extra<const W: usize>(words: &[u64; W]) -> u16 {
    (words[W - 1] >> EXTRA_SHIFT) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_gives_back_address_port_and_extra() {
        let v4 = v4_words([10, 0, 0, 1]);
        let words: [u64; 1] = endpoint(v4, 8080_u16.to_be_bytes(), 17);
        assert_eq!(endpoint_address(&words), v4);
        assert_eq!(endpoint_port(&words), 8080_u16.to_be_bytes());
        assert_eq!(endpoint_extra(&words), 17);
        let v6 = v6_words([0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        let words: [u64; 3] = endpoint(v6, 443_u16.to_be_bytes(), 0xffff);
        assert_eq!(endpoint_address(&words), v6);
        assert_eq!(endpoint_port(&words), 443_u16.to_be_bytes());
        assert_eq!(endpoint_extra(&words), 0xffff);
    }
}

//! The option of TOA in a TCP header: where the client's address stands, and whether it may be
//! one. The programs that ask are in `bin/toa`.

use slb_common::toa::{Client, KIND, LENGTH_V4, LENGTH_V6, MAPPED, state};

/// TCP headers end before this offset: at most 15 words.
const MAX_HEADER: usize = 60;
/// Before the options.
const FIXED_HEADER: usize = 20;
/// Options of one byte fill a header in so many steps.
const MAX_OPTIONS: usize = MAX_HEADER - FIXED_HEADER;

/// End of the options, and padding (RFC 9293 section 3.2).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;

/// A TCP header that can be read at any place.
pub trait Header: Copy {
    /// So many bytes from `offset`, if the header has them.
    fn bytes<const N: usize>(self, offset: usize) -> Option<[u8; N]>;

    /// The same offset, of which the verifier knows again no more than that it is below 64: what it
    /// knows of one turn of the loop would make each next one a new case.
    #[inline(always)]
    fn bounded(self, offset: usize) -> usize {
        offset
    }
}

/// What a header says of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No option of TOA.
    Nothing,
    /// One that tells nobody.
    Malformed,
    /// Who it is.
    Client(Client),
}

/// Looks for the option. The first one counts: a balancer puts its own before those of the client.
#[inline(always)]
pub fn find(header: impl Header) -> Found {
    match place(header) {
        Some(offset) => read(header, offset),
        None => Found::Nothing,
    }
}

/// Where the option begins.
#[inline(always)]
fn place(header: impl Header) -> Option<usize> {
    let mut offset = FIXED_HEADER;
    for _ in 0..MAX_OPTIONS {
        let [kind] = header.bytes::<1>(offset)?;
        let size = match kind {
            KIND => return Some(offset),
            END => return None,
            NO_OPERATION => 1,
            _ => match header.bytes::<2>(offset)? {
                [_, 0 | 1] => return None,
                [_, size] => size,
            },
        };
        offset += usize::from(size);
        if offset >= MAX_HEADER {
            return None;
        }
        offset = header.bounded(offset);
    }
    None
}

/// The client in the option at `offset`.
#[inline(always)]
fn read(header: impl Header, offset: usize) -> Found {
    let Some([_, size]) = header.bytes::<2>(offset) else { return Found::Malformed };
    let client = match size {
        LENGTH_V4 => header.bytes::<{ LENGTH_V4 as usize }>(offset).map(|bytes| {
            let [_, _, port, low, a, b, c, d] = bytes;
            let address = [0, 0, MAPPED, u32::from_ne_bytes([a, b, c, d])];
            Client { address, port: u16::from_ne_bytes([port, low]), state: state::V4 }
        }),
        LENGTH_V6 => header.bytes::<{ LENGTH_V6 as usize }>(offset).map(|bytes| {
            let word = |at: usize| {
                u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
            };
            let address = [word(4), word(8), word(12), word(16)];
            Client { address, port: u16::from_ne_bytes([bytes[2], bytes[3]]), state: state::V6 }
        }),
        _ => None,
    };
    match client {
        Some(client) if is_somebody(&client) => Found::Client(client),
        _ => Found::Malformed,
    }
}

/// False for port 0 and for the address that means none: a server would log them as a client's.
#[inline(always)]
const fn is_somebody(client: &Client) -> bool {
    let [a, b, c, d] = client.address;
    let first = match client.state {
        state::V4 => d,
        _ => a | b | c | d,
    };
    client.port != 0 && first != 0
}

#[cfg(test)]
mod tests;

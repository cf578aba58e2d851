//! What a SYN or SYN-ACK offers by its options.

use super::{BUFFER, LONGEST, MSS, NO_OPERATION, option};

/// What a SYN or SYN-ACK offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Host byte order; 0: not said.
    pub mss: u16,
    /// Window scale.
    pub scale: Option<u8>,
    /// Whether selective acknowledgements are understood.
    pub sack: bool,
}

impl Offered {
    /// No option at all.
    pub const NOTHING: Self = Self { mss: 0, scale: None, sack: false };

    /// As one number.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        let scale = match self.scale {
            Some(scale) => 1 << 9 | (scale as u64) << 1,
            None => 0,
        };
        (self.mss as u64) << 16 | scale | self.sack as u64
    }

    /// From one number.
    #[inline(always)]
    pub const fn unpack(offered: u64) -> Self {
        let scale = if offered & 1 << 9 != 0 { Some((offered >> 1) as u8) } else { None };
        Self { mss: (offered >> 16) as u16, scale, sack: offered & 1 != 0 }
    }
}

const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
/// Greatest window scale (RFC 7323 section 2.3).
const LARGEST_SCALE: u8 = 14;

/// Reads one option, as [`edit_one`] edits one.
#[inline(always)]
pub fn read_one(
    options: &[u8; BUFFER],
    at: usize,
    length: usize,
    offered: Offered,
) -> (usize, Offered) {
    let (kind, size) = match option(options, at, length) {
        Some((NO_OPERATION, _)) => return (at + 1, offered),
        Some(option) => option,
        None => return (LONGEST, offered),
    };
    let (second, third) = (options[(at + 2) & (BUFFER - 1)], options[(at + 3) & (BUFFER - 1)]);
    let offered = match (kind, size) {
        (MSS, 4) => Offered { mss: u16::from_be_bytes([second, third]), ..offered },
        (WINDOW_SCALE, 3) if second > LARGEST_SCALE => {
            Offered { scale: Some(LARGEST_SCALE), ..offered }
        }
        (WINDOW_SCALE, 3) => Offered { scale: Some(second), ..offered },
        (SACK_PERMITTED, 2) => Offered { sack: true, ..offered },
        _ => offered,
    };
    (at + size, offered)
}

/// Reads all options by a function that reads one, as [`read_one`] does.
#[inline(always)]
pub fn read(mut read_one: impl FnMut(usize, Offered) -> (usize, Offered)) -> Offered {
    let (mut offered, mut turn, mut at) = (Offered::NOTHING, 0, 0);
    while turn < LONGEST {
        (at, offered) = read_one(at, offered);
        if at >= LONGEST {
            break;
        }
        turn += 1;
    }
    offered
}

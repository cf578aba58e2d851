//! Keys of SYN cookies: made of a secret and the time, so that nodes that share the secret, and
//! whose clocks agree, take each other's cookies, and a daemon goes on where another has stopped.
//! Pure but for [`Secret::read`].

use std::{io, path::Path};

use slb_common::cookie::{CookieKeys, EPOCH_S, Key, sip};

use crate::text_file;

/// What keys are made of: 128 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub Key);

/// Digits of a secret.
const DIGITS: usize = 32;
/// Most bytes of its file: room for blanks around it, and enough to say how long a wrong one is.
const FILE_BYTES: u64 = 4096;

/// Why a file holds no secret. What stands in it is never part of the message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is empty, too short or too long.
    #[error("has {0} characters where a key has {DIGITS} hexadecimal digits")]
    Length(usize),
    /// It is as long as a secret, and none.
    #[error("has {DIGITS} characters, and not all of them are hexadecimal digits")]
    NoDigits,
}

impl Error {
    /// What the operator does about it.
    pub const HINT: &str = "`openssl rand -hex 16` prints a new key";

    /// True if the file may be there and right, for somebody with more rights.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Unreadable(error) if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl Secret {
    /// Reads `dataplane.cookie_key_file`: 32 hexadecimal digits.
    ///
    /// # Errors
    /// The system's, or it holds something else.
    pub fn read(file: &Path) -> Result<Self, Error> {
        Self::parse(text_file::read(file, FILE_BYTES)?.trim())
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let length = text.chars().count();
        if length != DIGITS {
            return Err(Error::Length(length));
        }
        // A sign would pass for a digit.
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let secret = u128::from_str_radix(text, 16).ok().filter(|_| digits);
        secret.map(|secret| Self([(secret >> 64) as u64, secret as u64])).ok_or(Error::NoDigits)
    }

    /// The keys at a time, in seconds since 1970: those of its epoch and of the one before.
    pub const fn keys(self, now_s: u64) -> CookieKeys {
        let epoch = now_s / EPOCH_S;
        let mut keys = CookieKeys { current: epoch & 1, keys: [[0; 2]; 2], secret: self.0 };
        keys.keys[(epoch & 1) as usize] = self.key(epoch);
        keys.keys[(epoch.wrapping_sub(1) & 1) as usize] = self.key(epoch.wrapping_sub(1));
        keys
    }

    const fn key(self, epoch: u64) -> Key {
        [sip(self.0, &[epoch, 0]), sip(self.0, &[epoch, 1])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Secret = Secret([1, 2]);

    #[test]
    fn a_secret_is_32_hexadecimal_digits() {
        let text = "0123456789abcdefFEDCBA9876543210";
        let secret = Secret([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);
        assert!(Secret::parse(text).unwrap() == secret);
        for (other, why) in [
            ("", "has 0 characters where a key has 32 hexadecimal digits"),
            ("0123", "has 4 characters where a key has 32 hexadecimal digits"),
            (&text.repeat(2), "has 64 characters where a key has 32 hexadecimal digits"),
            (
                "+123456789abcdef0123456789abcdef",
                "has 32 characters, and not all of them are hexadecimal digits",
            ),
            (
                "g123456789abcdef0123456789abcdeé",
                "has 32 characters, and not all of them are hexadecimal digits",
            ),
        ] {
            assert_eq!(Secret::parse(other).err().unwrap().to_string(), why, "{other}");
        }
    }

    #[test]
    fn the_key_of_the_epoch_before_stays_and_others_go() {
        let (before, now) = (SECRET.keys(EPOCH_S * 10), SECRET.keys(EPOCH_S * 11));
        assert_eq!((before.current, now.current), (0, 1));
        assert_eq!(before.keys[0], now.keys[0], "the key that made cookies a moment ago");
        assert_ne!(before.keys[1], now.keys[1]);
        assert_ne!(now.keys[0], now.keys[1]);
        assert_eq!(SECRET.keys(EPOCH_S * 10 + EPOCH_S - 1), before, "one epoch, one key");
        assert_ne!(Secret([1, 3]).keys(EPOCH_S * 10).keys, before.keys);
    }
}

//! Keys of SYN cookies: made of a secret and the time, so that nodes that share the secret, and
//! whose clocks agree, take each other's cookies, and a daemon goes on where another has stopped.
//! Pure but for [`Secret::read`].

use std::{fs, io, path::Path};

use slb_common::cookie::{CookieKeys, EPOCH_S, Key, sip};

/// What keys are made of: 128 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub Key);

/// Why a file holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It holds something else.
    #[error("it must hold 32 hexadecimal digits and nothing else")]
    NoSecret,
}

impl Secret {
    /// Reads `dataplane.cookie_key_file`: 32 hexadecimal digits.
    ///
    /// # Errors
    /// The system's, or it holds something else.
    pub fn read(file: &Path) -> Result<Self, Error> {
        Self::parse(fs::read_to_string(file)?.trim()).ok_or(Error::NoSecret)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let secret = u128::from_str_radix(text, 16).ok().filter(|_| digits)?;
        Some(Self([(secret >> 64) as u64, secret as u64]))
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
        assert!(Secret::parse(text) == Some(secret));
        for other in
            ["", "0123", "+123456789abcdef0123456789abcdef", "g123456789abcdef0123456789abcdef"]
        {
            assert!(Secret::parse(other).is_none(), "{other}");
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

//! The keys of SYN cookies, and which VIPs are defended right now.

use std::{net::IpAddr, sync::atomic::Ordering};

use slb_common::{
    connection::TICK_SHIFT,
    cookie::{CookieKeys, Window},
};

use super::{kernel::Kernel, table::now_ns};

/// Word of [`CookieKeys`] that says which key makes cookies.
const CURRENT: usize = 0;

impl Kernel {
    /// The keys that the program has.
    pub fn cookie_keys(&self) -> CookieKeys {
        self.cookie_keys.get(0)
    }

    /// Gives it others: first the keys, then which of them makes cookies.
    pub fn set_cookie_keys(&self, keys: &CookieKeys) {
        let words: [u64; size_of::<CookieKeys>() / 8] = zerocopy::transmute!(*keys);
        let places = self.cookie_keys.words(0);
        for (place, word) in places.iter().zip(words).skip(CURRENT + 1) {
            place.store(word, Ordering::Release);
        }
        places[CURRENT].store(words[CURRENT], Ordering::Release);
    }

    /// Those of some VIPs that are under a SYN flood, each with the half-open connections that were
    /// counted in the last second that had any.
    pub fn flooded(&self, vips: &[IpAddr]) -> impl Iterator<Item = (IpAddr, u32)> {
        let now = now_ns() >> TICK_SHIFT;
        vips.iter().filter_map(move |vip| {
            let state = self.vip_state(*vip)?;
            let half_open = Window(state.syn_window).half_open();
            (state.cookies_until > now).then_some((*vip, half_open))
        })
    }
}

//! Which local ports a new connection tries, and in which order: some of its processor's own share
//! first, where nobody else looks, then any.

use slb_common::vip::{LOCAL_PORT_COUNT, LOCAL_PORT_FIRST};

/// Ports of the processor's own share that are tried.
pub const OWN_PROBES: u32 = 16;
/// Ports that are tried in all. With random steps each is free as often as the space is: where 99
/// of 100 ports are taken, one connection in fifteen finds none, where 93 are, one in 10⁸.
pub const PROBES: u32 = OWN_PROBES + 256;

/// A search for a free port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSearch {
    /// Where it begins.
    start: u32,
    /// From one port to the next; has no divisor in common with the number of ports.
    stride: u32,
    /// First port of the processor's own share, from the lowest one on.
    own: u32,
    /// Ports of each share.
    share: u32,
}

impl PortSearch {
    /// The search that two random numbers give a processor, one of so many.
    #[inline(always)]
    pub const fn new(random: [u32; 2], processor: u32, processors: u32) -> Self {
        let share = match LOCAL_PORT_COUNT.checked_div(processors) {
            Some(share) => share,
            None => LOCAL_PORT_COUNT,
        };
        Self {
            start: random[0] & 0xffff,
            // 64 512 is 2¹⁰ · 3² · 7, so that one more than a multiple of 42 shares no divisor.
            stride: (random[1] & 0x3ff) * 42 + 1,
            own: modulo(processor, processors) * share,
            share,
        }
    }

    /// The port of a probe, host byte order.
    #[inline(always)]
    pub const fn port(&self, probe: u32) -> u16 {
        let step = self.start + probe * self.stride;
        let place = if probe < OWN_PROBES {
            self.own + modulo(step, self.share)
        } else {
            modulo(step, LOCAL_PORT_COUNT)
        };
        LOCAL_PORT_FIRST + place as u16
    }
}

/// The remainder, 0 where there is none: nothing in the kernel may divide by 0.
#[inline(always)]
const fn modulo(number: u32, by: u32) -> u32 {
    match number.checked_rem(by) {
        Some(rest) => rest,
        None => 0,
    }
}

const _: () = assert!(LOCAL_PORT_COUNT.is_multiple_of(2 * 3 * 7));

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_search_without_end_meets_every_port_once() {
        for stride in [0, 1, 0x2a5, 0x3ff] {
            let search = PortSearch::new([12_345, stride], 1, 2);
            let met: HashSet<u16> = (OWN_PROBES..OWN_PROBES + LOCAL_PORT_COUNT)
                .map(|probe| search.port(probe))
                .collect();
            assert_eq!(met.len(), 64_512);
            assert!(met.iter().all(|port| *port >= 1024));
        }
    }

    proptest! {
        #[test]
        fn processors_begin_in_shares_of_their_own(
            random in any::<[u32; 2]>(),
            processors in 1_u32..300,
        ) {
            let mut owner = std::collections::HashMap::new();
            for processor in 0..processors {
                let search = PortSearch::new(random, processor, processors);
                for probe in 0..OWN_PROBES {
                    let port = search.port(probe);
                    prop_assert!(port >= 1024);
                    prop_assert_eq!(*owner.entry(port).or_insert(processor), processor);
                }
            }
        }

        #[test]
        fn no_port_is_tried_twice_once_any_may_be(random in any::<[u32; 2]>()) {
            let search = PortSearch::new(random, 0, 1);
            let tried: HashSet<u16> = (OWN_PROBES..PROBES).map(|probe| search.port(probe)).collect();
            prop_assert_eq!(tried.len(), 256);
        }
    }
}

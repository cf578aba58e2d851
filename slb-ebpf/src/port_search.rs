//! Which local ports a new connection tries, and in which order: some of its processor's own share
//! first, where nobody else looks, then any. Each is drawn at random: what is taken already makes
//! no pattern that a search could stay in, and nobody outside foresees the next port.

use slb_common::{
    hash::mix,
    vip::{LOCAL_PORT_COUNT, LOCAL_PORT_FIRST},
};

/// Ports of the processor's own share that are tried.
pub const OWN_PROBES: u32 = 16;
/// Ports that are tried in all. Where 93 of 100 ports are taken, that is 60 000, one connection in
/// 10⁸ finds none among them; where 99 are, one in 13.
pub const PROBES: u32 = OWN_PROBES + 256;

/// A search for a free port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSearch {
    /// What the draws come from.
    random: u64,
    /// First port of the processor's own share, from the lowest one on.
    own: u32,
    /// Ports of each share.
    share: u32,
}

impl PortSearch {
    /// The search that a random number gives a processor, one of so many.
    #[inline(always)]
    pub const fn new(random: u64, processor: u32, processors: u32) -> Self {
        // Nothing in the kernel may divide by 0.
        let share = match LOCAL_PORT_COUNT.checked_div(processors) {
            Some(share) => share,
            None => LOCAL_PORT_COUNT,
        };
        let own = match processor.checked_rem(processors) {
            Some(processor) => processor * share,
            None => 0,
        };
        Self { random, own, share }
    }

    /// The port of a probe, host byte order.
    #[inline(always)]
    pub const fn port(&self, probe: u32) -> u16 {
        let (first, count) =
            if probe < OWN_PROBES { (self.own, self.share) } else { (0, LOCAL_PORT_COUNT) };
        let drawn = mix(self.random.wrapping_add(probe as u64)) >> 32;
        LOCAL_PORT_FIRST + (first + ((drawn * count as u64) >> 32) as u32) as u16
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn searches_come_by_every_port_and_by_none_below_1024() {
        let mut met = HashSet::new();
        for random in 0..5000 {
            let search = PortSearch::new(mix(random), 1, 2);
            met.extend((OWN_PROBES..PROBES).map(|probe| search.port(probe)));
        }
        assert_eq!(met.len(), 64_512);
        assert_eq!(met.iter().min(), Some(&1024));
    }

    #[test]
    fn nearly_every_search_finds_one_port_in_fifteen_whatever_the_pattern() {
        for pattern in [3, 5, 7, 15, 16, 255] {
            let free = |port: u16| port.is_multiple_of(pattern);
            let found = (0..1000).filter(|random| {
                let search = PortSearch::new(mix(*random), 0, 1);
                (0..PROBES).any(|probe| free(search.port(probe)))
            });
            let wanted = if pattern < 100 { 1000 } else { 550 };
            assert!(found.count() >= wanted, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn processors_begin_in_shares_of_their_own(
            random in any::<u64>(),
            processors in 1_u32..300,
        ) {
            let mut owner = HashMap::new();
            for processor in 0..processors {
                let search = PortSearch::new(random, processor, processors);
                for probe in 0..OWN_PROBES {
                    let port = search.port(probe);
                    prop_assert!(port >= 1024);
                    prop_assert_eq!(*owner.entry(port).or_insert(processor), processor);
                }
            }
        }
    }
}

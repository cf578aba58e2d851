//! VIPs in the maps, and their places in the array `VIP_STATES`: each VIP keeps its own for as long
//! as it is there, whichever daemon looks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::atomic::Ordering,
};

use slb_common::vip::{InterfaceAddresses, VIP_STATES, VipState};
use zerocopy::transmute;

use super::{
    contents,
    kernel::{Kernel, map_error},
    words::words,
};
use crate::bpf::Error;

/// A VIP's address as the program compares it.
type Words = [u64; 2];

/// The place that stands for "none is left": nothing is ever noted there.
const NONE: u32 = 0;

/// Word of a VIP's state that holds its flags, with nothing beside them.
const VIP_FLAGS: usize = 0;

/// VIPs, and the addresses by which the balancer itself speaks.
impl Kernel {
    pub(super) fn set_vips(&mut self, addresses: &[IpAddr]) -> Result<(), Error> {
        let wanted: BTreeSet<[u64; 2]> = addresses.iter().copied().map(words).collect();
        let present: BTreeMap<[u64; 2], u32> = self.vips.iter().filter_map(Result::ok).collect();
        for key in present.keys().filter(|key| !wanted.contains(*key)) {
            self.vips.remove(key).map_err(|error| map_error("VIPS", &error))?;
        }
        for (key, place) in places(&present, &wanted) {
            if present.get(&key) != Some(&place) {
                // What was noted there is another VIP's.
                self.vip_states.set(place, &VipState::default());
                self.vips.insert(key, place, 0).map_err(|error| map_error("VIPS", &error))?;
            }
        }
        Ok(())
    }

    /// The place of a VIP in `VIP_STATES`; `None`: it is no VIP, or there is none left for it.
    pub fn vip_place(&self, vip: IpAddr) -> Option<u32> {
        self.vips.get(&words(vip), 0).ok().filter(|place| *place != 0)
    }

    /// What is noted of a VIP.
    pub fn vip_state(&self, vip: IpAddr) -> Option<VipState> {
        Some(self.vip_states.get(self.vip_place(vip)?))
    }

    /// Sets or clears bits `VIP_*` of a VIP; nobody else writes its flags.
    pub(super) fn flag_vip(&self, vip: IpAddr, change: impl FnOnce(u32) -> u32) {
        if let Some(place) = self.vip_place(vip) {
            let flags = change(self.vip_states.get(place).flags);
            self.vip_states.words(place)[VIP_FLAGS].store(u64::from(flags), Ordering::Release);
        }
    }

    /// Says by which addresses the balancer speaks on its interfaces, by
    /// [`slb_common::vip::interface_key`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_own_addresses(
        &mut self,
        wanted: &BTreeMap<u64, InterfaceAddresses>,
    ) -> Result<(), Error> {
        let wanted = wanted.iter().map(|(key, own)| (*key, transmute!(*own)));
        contents::bring("ADDRESSES", &mut self.addresses, &wanted.collect())
    }
}

/// Gives each of the wanted VIPs a place: the one that it has, or the lowest free one. Of two with
/// the same place, the first keeps it.
fn places(present: &BTreeMap<Words, u32>, wanted: &BTreeSet<Words>) -> BTreeMap<Words, u32> {
    let mut taken = BTreeSet::new();
    let mut places: BTreeMap<Words, u32> = BTreeMap::new();
    for (vip, place) in present {
        if wanted.contains(vip) && (1..VIP_STATES).contains(place) && taken.insert(*place) {
            places.insert(*vip, *place);
        }
    }
    let mut free = (1..VIP_STATES).filter(|place| !taken.contains(place));
    for vip in wanted {
        places.entry(*vip).or_insert_with(|| free.next().unwrap_or(NONE));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(vips: impl IntoIterator<Item = u64>) -> BTreeSet<Words> {
        vips.into_iter().map(|vip| [vip, 0]).collect()
    }

    #[test]
    fn a_vip_keeps_its_place_and_a_free_one_is_used_again() {
        let first = places(&BTreeMap::new(), &wanted([7, 8, 9]));
        assert_eq!(first, [([7, 0], 1), ([8, 0], 2), ([9, 0], 3)].into());
        let without = places(&first, &wanted([7, 9]));
        assert_eq!(without, [([7, 0], 1), ([9, 0], 3)].into());
        let with_another = places(&without, &wanted([5, 7, 9]));
        assert_eq!(with_another, [([5, 0], 2), ([7, 0], 1), ([9, 0], 3)].into());
    }

    #[test]
    fn places_that_cannot_be_are_given_anew() {
        let odd = [([7, 0], 1), ([8, 0], 1), ([9, 0], 0), ([10, 0], VIP_STATES)].into();
        let places = places(&odd, &wanted([7, 8, 9, 10]));
        assert_eq!(places, [([7, 0], 1), ([8, 0], 2), ([9, 0], 3), ([10, 0], 4)].into());
    }

    #[test]
    fn vips_beyond_the_last_place_share_the_one_of_none() {
        let all = places(&BTreeMap::new(), &wanted(1..=u64::from(VIP_STATES)));
        assert_eq!(all[&[4095, 0]], 4095);
        assert_eq!(all[&[4096, 0]], NONE);
    }
}

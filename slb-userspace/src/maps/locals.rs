//! Local addresses of full NAT: their places, which entries name, and how many places there are.

use std::{collections::BTreeSet, net::IpAddr, sync::atomic::Ordering};

use ipnet::IpNet;
use slb_common::vip::{LOCAL_TAKES_NEW, LOCALS, LOCALS_V6, LocalAddress, Settings};

use super::words::{address, words};
use crate::{
    bpf::{
        Error,
        load::Object,
        mapping::{Access, Mapping},
    },
    config::model::Family,
};

/// Place of the counts in the words of [`Settings`].
const COUNTS: [usize; 2] = [0, 1];

/// The map `LOCALS`; how many there are stands in `SETTINGS`.
pub struct Locals {
    locals: Mapping<LocalAddress>,
}

impl Locals {
    /// Opens the map of an object.
    ///
    /// # Errors
    /// It is missing or of another type.
    pub fn open(object: &Object) -> Result<Self, Error> {
        Ok(Self { locals: object.mapping("LOCALS", Access::Write)? })
    }

    /// Makes these the local addresses that new connections use. Every address that was one keeps
    /// its place, so that connections that use it go on; returns all that are in a place.
    pub fn set(
        &self,
        wanted: &[IpAddr],
        settings: &Mapping<Settings>,
        processors: u32,
    ) -> BTreeSet<IpAddr> {
        let before: Vec<LocalAddress> = (0..LOCALS).map(|place| self.locals.get(place)).collect();
        let (v4, v6) = before.split_at(LOCALS_V6 as usize);
        let of = |family| wanted.iter().copied().filter(move |ip| Family::of(*ip) == family);
        let after = [placed(v4, of(Family::V4)), placed(v6, of(Family::V6))];
        let mut present = BTreeSet::new();
        for (first, places) in [0, LOCALS_V6].into_iter().zip(&after) {
            for (place, local) in (first..).zip(places) {
                self.locals.set(place, local);
                if local.address != [0; 2] {
                    present.insert(address(family(first), local.address));
                }
            }
        }
        // Only these words: others write the rest.
        let [v4, v6] = after.map(|places| places.len() as u64);
        let words = settings.words(0);
        let flags = words[COUNTS[0]].load(Ordering::Acquire) & 0xffff_ffff;
        words[COUNTS[1]].store(v6 | u64::from(processors) << 32, Ordering::Release);
        words[COUNTS[0]].store(flags | v4 << 32, Ordering::Release);
        present
    }

    /// The address in a place.
    pub fn get(&self, place: u16) -> IpAddr {
        let place = u32::from(place);
        address(family(place), self.locals.get(place).address)
    }
}

/// The local addresses of these networks. The first and the last address of an IPv4 network are
/// no host's, nor is the first one of an IPv6 network, which stands for its routers (RFC 4291
/// section 2.6.1).
pub fn addresses(networks: &[IpNet]) -> Vec<IpAddr> {
    let own = |network: &IpNet| {
        let router = network.network();
        let has_router = matches!(network, IpNet::V6(v6) if v6.prefix_len() < 127);
        network.hosts().filter(move |address| !has_router || *address != router)
    };
    networks.iter().flat_map(own).collect()
}

/// The family of a place.
const fn family(place: u32) -> Family {
    if place < LOCALS_V6 { Family::V4 } else { Family::V6 }
}

/// The places of a family up to the last one in use. New addresses take places that were never
/// used, then those that no longer take new connections.
fn placed(before: &[LocalAddress], wanted: impl Iterator<Item = IpAddr>) -> Vec<LocalAddress> {
    let wanted: BTreeSet<[u64; 2]> = wanted.map(words).collect();
    let mut missing = wanted.clone();
    let mut after: Vec<LocalAddress> = before
        .iter()
        .map(|local| {
            let stays = missing.remove(&local.address);
            LocalAddress { flags: if stays { LOCAL_TAKES_NEW } else { 0 }, ..*local }
        })
        .collect();
    let mut places: Vec<usize> =
        (0..after.len()).filter(|place| after[*place].flags == 0).collect();
    places.sort_by_key(|place| after[*place].address != [0; 2]);
    for (address, place) in missing.into_iter().zip(places) {
        after[place] = LocalAddress { address, flags: LOCAL_TAKES_NEW, reserved: 0 };
    }
    let length = after.iter().rposition(|local| local.address != [0; 2]).map_or(0, |last| last + 1);
    after.truncate(length);
    after
}

const _: () = assert!(std::mem::offset_of!(Settings, locals_v4) == 4);
const _: () = assert!(std::mem::offset_of!(Settings, locals_v6) == 8);
const _: () = assert!(std::mem::offset_of!(Settings, processors) == 12);

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(last: &[u8]) -> impl Iterator<Item = IpAddr> {
        last.iter().map(|last| IpAddr::from([100, 64, 0, *last]))
    }

    fn filled(places: &[LocalAddress]) -> Vec<LocalAddress> {
        let mut all = places.to_vec();
        all.resize(6, LocalAddress::default());
        all
    }

    fn shown(places: &[LocalAddress]) -> Vec<(u8, u32)> {
        let last = |local: &LocalAddress| (local.address[0] as u32).to_ne_bytes()[3];
        places.iter().map(|local| (last(local), local.flags)).collect()
    }

    #[test]
    fn addresses_keep_their_places_and_gone_ones_take_no_new_connections() {
        let first = placed(&filled(&[]), hosts(&[1, 2, 3]));
        assert_eq!(shown(&first), [(1, 1), (2, 1), (3, 1)]);
        let second = placed(&filled(&first), hosts(&[3, 4]));
        assert_eq!(shown(&second), [(1, 0), (2, 0), (3, 1), (4, 1)]);
        let third = placed(&filled(&second), hosts(&[2, 3, 4]));
        assert_eq!(shown(&third), [(1, 0), (2, 1), (3, 1), (4, 1)]);
    }

    #[test]
    fn places_of_gone_addresses_are_used_again_when_no_others_are_left() {
        let first = placed(&filled(&[]), hosts(&[1, 2, 3]));
        let second = placed(&filled(&first), hosts(&[11, 12, 13, 14]));
        assert_eq!(second.len(), 6);
        let new = shown(&second).iter().filter(|(last, flags)| *last > 10 && *flags == 1).count();
        assert_eq!(new, 4);
    }

    #[test]
    fn addresses_that_are_no_hosts_are_not_used() {
        let of = |text: &str| addresses(&[text.parse().unwrap()]).len();
        for (network, count) in [
            ("100.64.0.0/28", 14),
            ("100.64.0.1/32", 1),
            ("100.64.0.0/31", 2),
            ("fd64::/124", 15),
            ("fd64::1/128", 1),
            ("fd64::/127", 2),
        ] {
            assert_eq!(of(network), count, "{network}");
        }
    }

    #[test]
    fn without_addresses_there_is_no_place() {
        assert!(placed(&filled(&[]), hosts(&[])).is_empty());
    }
}

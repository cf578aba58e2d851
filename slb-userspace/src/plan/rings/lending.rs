//! Slow start inside hash rings: a backend that ramps lends places to the others and takes them
//! back one after the other. Nothing else moves: neither the places that others own, nor those
//! that it has taken back.

use std::collections::HashMap;

use slb_common::hash::mix;

use super::Candidate;

/// Places that are tried at random for a new holder, before all in their order.
const PROBES: u64 = 64;

/// The ring as it is while each backend holds only its share of the places that it owns. Shares
/// count by the greatest among them, so that backends that ramp alike lend each other nothing.
pub(super) fn lend(owned: Vec<u32>, candidates: &[Candidate]) -> Vec<u32> {
    let greatest = candidates.iter().map(|candidate| candidate.share).max().unwrap_or_default();
    if candidates.iter().all(|candidate| candidate.share == greatest) {
        return owned;
    }
    let kept = kept(&owned, candidates, usize::from(greatest));
    let holder = |place: usize| if kept[place] { place } else { holder(&kept, place) };
    (0..owned.len()).map(|place| owned[holder(place)]).collect()
}

/// Which places their owners keep: the first ones of an order that never changes, at least one.
fn kept(owned: &[u32], candidates: &[Candidate], greatest: usize) -> Vec<bool> {
    let mut places: HashMap<u32, Vec<usize>> = HashMap::new();
    for (place, slot) in owned.iter().enumerate() {
        places.entry(*slot).or_default().push(place);
    }
    let mut kept = vec![true; owned.len()];
    for candidate in candidates.iter().filter(|one| usize::from(one.share) < greatest) {
        let mut own = places.remove(&candidate.slot).unwrap_or_default();
        own.sort_by_key(|place| (mix(*place as u64), *place));
        let share = (own.len() * usize::from(candidate.share)).div_ceil(greatest);
        own.into_iter().skip(share).for_each(|place| kept[place] = false);
    }
    kept
}

/// The place whose owner holds a lent one as well: the first kept one of a sequence that never
/// changes. So each backend holds lent places by what it holds anyway, and one that takes places
/// back takes lent ones from others by what it got.
fn holder(kept: &[bool], place: usize) -> usize {
    let count = kept.len();
    let probe = |attempt: u64| (mix(place as u64 ^ mix(attempt)) % count as u64) as usize;
    (1..=PROBES)
        .map(probe)
        .chain((1..count).map(|step| (place + step) % count))
        .find(|other| kept[*other])
        .unwrap_or(place)
}

//! Weighted Maglev tables.

use slb_common::{
    hash::{mix, mix_address},
    service::NO_SLOT,
};

use super::Candidate;
use crate::maps::words::words;

/// Weighted Maglev (Eisenbud et al., NSDI 2016, section 3.4; weights as in Katran: a backend
/// collects its weight each round and takes a place whenever that makes a whole turn).
pub(super) fn maglev(candidates: &[Candidate], places: u32) -> Vec<u32> {
    let Some(heaviest) = candidates.iter().map(|candidate| candidate.weight).max() else {
        return Vec::new();
    };
    let mut permutations: Vec<(u64, u64)> = candidates
        .iter()
        .map(|candidate| {
            let identity = mix_address(words(candidate.endpoint.ip()));
            let hash = mix(identity ^ mix(u64::from(candidate.endpoint.port())));
            let skip = mix(hash ^ 0x736b_6970) % u64::from(places - 1) + 1;
            (hash % u64::from(places), skip)
        })
        .collect();
    let mut collected = vec![0; candidates.len()];
    let mut table = vec![NO_SLOT; places as usize];
    let mut taken = 0;
    loop {
        for (index, candidate) in candidates.iter().enumerate() {
            collected[index] += candidate.weight;
            if collected[index] < heaviest {
                continue;
            }
            collected[index] -= heaviest;
            let (next, skip) = &mut permutations[index];
            while table[*next as usize] != NO_SLOT {
                *next = (*next + *skip) % u64::from(places);
            }
            table[*next as usize] = candidate.slot;
            taken += 1;
            if taken == places {
                return table;
            }
        }
    }
}

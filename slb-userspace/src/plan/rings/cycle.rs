//! Weighted rings: one cycle of weighted round robin.

use super::{Candidate, ramping};

/// Places up to which a slow start lengthens a cycle, so that its steps get finer.
pub(super) const FINE_PLACES: usize = 16_384;

/// One cycle of smooth weighted round robin (nginx, 2012): every backend gets its weight divided
/// by the greatest common divisor, spread over the cycle rather than in bursts.
pub(super) fn cycle(candidates: &[Candidate]) -> Vec<u32> {
    let weights: Vec<u64> = candidates.iter().map(|one| u64::from(one.weight)).collect();
    let mut turns = reduced(weights);
    if ramping(candidates) {
        let units = units(turns.iter().sum::<u64>() as usize) as u64;
        let greatest = candidates.iter().map(|one| u64::from(one.share)).max().unwrap_or(1);
        for (turns, candidate) in turns.iter_mut().zip(candidates) {
            let share = *turns * units * u64::from(candidate.share);
            *turns = ((share + greatest / 2) / greatest).max(1);
        }
        turns = reduced(turns);
    }
    spread(candidates, &turns)
}

/// How much finer than a turn the steps of a slow start can be, at most a hundred times: 1 in a
/// cycle that is long already.
fn units(cycle: usize) -> usize {
    (FINE_PLACES / cycle.max(1)).clamp(1, 100)
}

fn reduced(mut turns: Vec<u64>) -> Vec<u64> {
    let divisor = turns.iter().copied().fold(0, gcd).max(1);
    turns.iter_mut().for_each(|turns| *turns /= divisor);
    turns
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn spread(candidates: &[Candidate], turns: &[u64]) -> Vec<u32> {
    // The n-th turn of a backend with s turns stands at (n + 1/2) / s of the cycle: the same
    // spread as by subtraction, in n log n instead of n².
    let mut order: Vec<(u64, u64, usize)> = Vec::new();
    for (index, turns) in turns.iter().enumerate() {
        order.extend((0..*turns).map(|turn| (2 * turn + 1, *turns, index)));
    }
    order.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
    order.into_iter().map(|(_, _, index)| candidates[index].slot).collect()
}

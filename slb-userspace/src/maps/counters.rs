//! Counters of all processors added up.

use slb_common::service::Counters;
use std::ops::{Add, AddAssign};

/// Words of one processor's counters.
pub const COUNTER_WORDS: usize = size_of::<Counters>() / 8;

/// Sums of [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted(pub Counters);

impl Counted {
    /// Adds up the processors' values.
    pub fn sum(values: &[[u64; COUNTER_WORDS]]) -> Self {
        values.iter().fold(Self::default(), |sum, words| {
            let counters: Counters = zerocopy::transmute!(*words);
            sum + Self(counters)
        })
    }
}

impl Add for Counted {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self(Counters {
            connections: a.connections + b.connections,
            packets_in: a.packets_in + b.packets_in,
            bytes_in: a.bytes_in + b.bytes_in,
            packets_out: a.packets_out + b.packets_out,
            bytes_out: a.bytes_out + b.bytes_out,
        })
    }
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_added_up_by_itself() {
        let sum = Counted::sum(&[[1, 2, 3, 4, 5], [10, 20, 30, 40, 50]]).0;
        assert_eq!((sum.connections, sum.packets_in, sum.bytes_in), (11, 22, 33));
        assert_eq!((sum.packets_out, sum.bytes_out), (44, 55));
    }
}

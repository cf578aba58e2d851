//! Room in the ring arena. A ring is never rewritten where a program may be reading it: a new one
//! gets other room, and the former room rests a while before it is given away again.

use std::collections::BTreeMap;

/// Occupied stretches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arena {
    size: u32,
    /// Offset to length.
    taken: BTreeMap<u32, u32>,
}

impl Arena {
    /// An arena of `size` places in which these stretches (offset, length) are taken.
    pub fn new(size: u32, taken: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let taken = taken.into_iter().filter(|(_, length)| *length > 0).collect();
        Self { size, taken }
    }

    /// Finds the first room for `length` places and takes it.
    pub fn take(&mut self, length: u32) -> Option<u32> {
        if length == 0 {
            return Some(0);
        }
        let mut offset = 0_u32;
        for (&start, &taken) in &self.taken {
            if start >= offset && start - offset >= length {
                break;
            }
            offset = offset.max(start.saturating_add(taken));
        }
        if self.size.checked_sub(offset)? < length {
            return None;
        }
        self.taken.insert(offset, length);
        Some(offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_are_used_and_a_full_arena_says_no() {
        let mut arena = Arena::new(100, [(10, 10), (40, 10)]);
        assert_eq!(arena.take(10), Some(0));
        assert_eq!(arena.take(20), Some(20));
        assert_eq!(arena.take(51), None);
        assert_eq!(arena.take(50), Some(50));
        assert_eq!(arena.take(1), None);
        assert_eq!(arena.take(0), Some(0));
    }

    proptest! {
        #[test]
        fn no_two_stretches_overlap(
            lengths in prop::collection::vec(1_u32..40, 1..40),
        ) {
            let mut arena = Arena::new(500, [(100, 30)]);
            let mut given = vec![(100, 30)];
            for length in lengths {
                if let Some(offset) = arena.take(length) {
                    prop_assert!(offset + length <= 500);
                    for &(start, other) in &given {
                        prop_assert!(offset >= start + other || start >= offset + length);
                    }
                    given.push((offset, length));
                }
            }
        }
    }
}

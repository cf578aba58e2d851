//! How many tests passed, failed and were skipped.

use std::fmt;
use std::iter::Sum;

/// Numbers of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Ran and proved their sentence.
    pub(crate) passed: usize,
    /// Ran and did not, or could not run.
    pub(crate) failed: usize,
    /// Left out by `#[ignore]`.
    pub(crate) skipped: usize,
}

impl Count {
    /// Something that should have run could not.
    pub(crate) const ONE_FAILURE: Self = Self { passed: 0, failed: 1, skipped: 0 };

    /// Reads `test result: ok. 12 passed; 0 failed; 1 ignored; ...`, the line of one test binary.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number_of = |name: &str| {
            let part = numbers.split("; ").find_map(|part| part.strip_suffix(name))?;
            part.trim().parse().ok()
        };
        Some(Self {
            passed: number_of("passed")?,
            failed: number_of("failed")?,
            skipped: number_of("ignored")?,
        })
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, count| Self {
            passed: sum.passed + count.passed,
            failed: sum.failed + count.failed,
            skipped: sum.skipped + count.skipped,
        })
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_is_counted_and_others_are_not() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; \
                    4 filtered out; finished in 0.31s";
        let count = Count { passed: 12, failed: 3, skipped: 1 };
        assert_eq!(Count::of_line(line), Some(count));
        assert_eq!(Count::of_line("test a::b ... ok"), None);
        assert_eq!(Count::of_line("running 3 tests"), None);
    }

    #[test]
    fn the_last_line_is_plain_and_tells_skipped_tests() {
        let count = Count { passed: 2, failed: 0, skipped: 0 };
        assert_eq!(count.to_string(), "2 passed, 0 failed");
        assert_eq!(Count { skipped: 1, ..count }.to_string(), "2 passed, 0 failed, 1 skipped");
    }
}

//! How time is taken: the processor time of one thread that stays on one processor.

use std::time::Duration;

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};

/// Processor time that the calling thread has used.
pub(crate) fn thread_time() -> Result<Duration> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(Duration::new(time.tv_sec().unsigned_abs(), u32::try_from(time.tv_nsec())?))
}

/// Nanoseconds of processor time that each of `times` operations takes, which `job` does.
pub(crate) fn each(times: u32, job: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = thread_time()?;
    job()?;
    Ok((thread_time()? - before).as_nanos() as f64 / f64::from(times))
}

/// The least of some figures.
pub(crate) fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The one in the middle; of an even number the later of the two.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_that_was_disturbed_changes_neither_the_least_nor_the_median() {
        let (quiet, disturbed) = ([3.0, 1.0, 2.0], [3.0, 1.0, 2.0, 900.0, 1.5]);
        assert_eq!((least(&quiet), median(&quiet)), (1.0, 2.0));
        assert_eq!((least(&disturbed), median(&disturbed)), (1.0, 2.0));
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_time_of_a_thread_that_sleeps_does_not_count() {
        let slept = each(1, || {
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        });
        let worked = each(1, || {
            let until = thread_time()? + Duration::from_millis(5);
            while thread_time()? < until {}
            Ok(())
        });
        assert!(slept.unwrap() < worked.unwrap());
    }
}

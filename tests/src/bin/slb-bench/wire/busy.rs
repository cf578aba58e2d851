//! What the kernel's thread for deferred work has used: where a far end's share of the work goes
//! when there is much of it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Its name on the processor that benchmarks run on.
const NAME: &str = "ksoftirqd/0";

/// Processor time that it has used since it began.
pub(super) fn of_softirqs() -> Result<Duration> {
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let comm = fs::read_to_string(path.join("comm")).unwrap_or_default();
        if comm.trim_end() == NAME {
            let text = fs::read_to_string(path.join("schedstat"))?;
            return running(&text).context("schedstat has another form");
        }
    }
    anyhow::bail!("there is no {NAME}")
}

/// The first number of schedstat: nanoseconds on a processor.
fn running(text: &str) -> Option<Duration> {
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_on_the_processor_comes_first() {
        assert_eq!(running("1500 20 3\n"), Some(Duration::from_nanos(1500)));
        assert_eq!(running(""), None);
    }
}

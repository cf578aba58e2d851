//! Whether the maps fit into memory: the kernel takes all of it at once when they are made.

use std::{fs, io};

use super::Finding;

const MEMINFO: &str = "/proc/meminfo";
const MIB: u64 = 1 << 20;

/// The check for maps of that many bytes.
pub(super) fn finding(map_bytes: u64) -> Finding {
    decide(map_bytes, fs::read_to_string(MEMINFO))
}

fn decide(map_bytes: u64, meminfo: io::Result<String>) -> Finding {
    let meminfo = match meminfo {
        Ok(meminfo) => meminfo,
        Err(error) => {
            return Finding::warning("memory", format!("{MEMINFO} cannot be read: {error}"));
        }
    };
    let available = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let Some(available) = available else {
        return Finding::warning("memory", format!("{MEMINFO} does not say what is available"));
    };
    let evidence = format!(
        "the maps take {} MiB of {} MiB available",
        map_bytes.div_ceil(MIB),
        available / MIB
    );
    let mend =
        "lower max_connections, max_connections_v6, max_backends or ring_slots of [dataplane]";
    if map_bytes > available {
        Finding::failure("memory", evidence).mend(mend)
    } else if map_bytes > available / 2 {
        Finding::warning("memory", evidence).mend(mend)
    } else {
        Finding::ok("memory", evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Level;

    #[test]
    fn maps_that_take_more_than_there_is_are_a_failure_and_more_than_half_a_warning() {
        let meminfo = || Ok("MemTotal:  9999999 kB\nMemAvailable:    1048576 kB\n".to_string());
        let gib = 1 << 30;
        assert_eq!(decide(gib / 2, meminfo()).level, Level::Ok);
        assert_eq!(decide(gib / 2 + 1, meminfo()).level, Level::Warning);
        assert_eq!(decide(gib, meminfo()).level, Level::Warning);
        assert_eq!(decide(gib + 1, meminfo()).level, Level::Failure);
        assert_eq!(decide(gib, meminfo()).evidence, "the maps take 1024 MiB of 1024 MiB available");
        assert_eq!(decide(0, Ok(String::new())).level, Level::Warning);
    }
}

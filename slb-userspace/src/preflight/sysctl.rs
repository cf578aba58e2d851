//! Checks of how the kernel routes what an interface receives.

use std::{fs, io};

use super::Finding;

const ROOT: &str = "/proc/sys/net";

/// The checks for one interface.
pub(super) fn findings(interface: &str) -> Vec<Finding> {
    let v4 = |whose: &str, name: &str| read(&format!("{ROOT}/ipv4/conf/{whose}/{name}"));
    let v6 = |whose: &str, name: &str| read(&format!("{ROOT}/ipv6/conf/{whose}/{name}"));
    // An interface that is not there has a finding of its own.
    let Ok(own) = v4(interface, "rp_filter") else { return Vec::new() };
    let all = v4("all", "rp_filter").unwrap_or(0);
    vec![
        reverse_path(interface, own.max(all)),
        forwarding(interface, "IPv4", v4(interface, "forwarding")),
        forwarding(interface, "IPv6", v6(interface, "forwarding")),
    ]
}

fn read(path: &str) -> io::Result<u32> {
    fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)
}

/// The stricter of the interface's value and that of `all` holds.
fn reverse_path(interface: &str, value: u32) -> Finding {
    let what = format!("{interface}: rp_filter");
    if value != 1 {
        return Finding::ok(what, if value == 2 { "loose" } else { "off" });
    }
    Finding::warning(
        what,
        "strict; the kernel drops what is passed to it (health checks, echo) if the way back is \
         by another interface",
    )
    .mend(format!("sysctl -w net.ipv4.conf.{interface}.rp_filter=2 net.ipv4.conf.all.rp_filter=2"))
}

/// Not a fault: the balancer needs no forwarding. It only decides by which way replies leave.
fn forwarding(interface: &str, family: &str, value: io::Result<u32>) -> Finding {
    let what = format!("{interface}: {family} forwarding");
    match value {
        Ok(0) => Finding::ok(what, "off; replies leave by the way the client's first packet came"),
        Ok(_) => Finding::ok(what, "on; replies leave by the route to the client"),
        Err(error) => Finding::ok(what, format!("unknown ({error}); the family may be off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Level;

    #[test]
    fn only_a_strict_rp_filter_is_a_warning() {
        let levels = [0, 1, 2].map(|value| reverse_path("eth0", value).level);
        assert_eq!(levels, [Level::Ok, Level::Warning, Level::Ok]);
    }

    #[test]
    fn forwarding_is_only_a_note() {
        assert_eq!(forwarding("eth0", "IPv4", Ok(0)).level, Level::Ok);
        assert!(forwarding("eth0", "IPv4", Ok(0)).evidence.starts_with("off; replies"));
        let missing = Err(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(forwarding("eth0", "IPv6", missing).level, Level::Ok);
    }
}

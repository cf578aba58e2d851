//! Checks of the kernel and of what this process may do with it.

use std::{fs, io, path::Path};

use nix::{sys::statfs, sys::utsname};

use super::Finding;

/// The oldest kernel that is supported: Debian 12's.
const OLDEST: (u32, u32) = (6, 1);

const BTF: &str = "/sys/kernel/btf/vmlinux";
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";
const STATUS: &str = "/proc/self/status";

/// All of them.
pub(super) fn findings(pin_dir: &Path) -> Vec<Finding> {
    let release = utsname::uname().map(|names| names.release().to_string_lossy().into_owned());
    vec![
        version(&release.unwrap_or_default()),
        btf(Path::new(BTF).exists()),
        jit(fs::read_to_string(JIT)),
        rights(),
        pins(pin_dir, file_system(pin_dir)),
    ]
}

fn version(release: &str) -> Finding {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Finding::warning("kernel", format!("version `{release}` is not of the form N.N"));
    };
    if (major, minor) >= OLDEST {
        return Finding::ok("kernel", release);
    }
    Finding::failure("kernel", format!("{release} is older than {}.{}", OLDEST.0, OLDEST.1))
        .mend("boot a newer kernel, e.g. that of Debian 12")
}

fn btf(present: bool) -> Finding {
    if present {
        return Finding::ok("BTF", format!("{BTF} is there"));
    }
    Finding::failure("BTF", format!("{BTF} is not there; the program needs the kernel's types"))
        .mend("boot a kernel built with CONFIG_DEBUG_INFO_BTF=y")
}

fn jit(read: io::Result<String>) -> Finding {
    match read.as_deref().map(str::trim) {
        Ok("0") => {
            Finding::warning("BPF JIT", "off; every packet is interpreted, ten times slower")
                .mend("sysctl -w net.core.bpf_jit_enable=1")
        }
        Ok(_) => Finding::ok("BPF JIT", "on"),
        // It is one setting for the machine, and only the first network namespace shows it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::ok("BPF JIT", "unknown: this network namespace does not show it")
        }
        Err(error) => Finding::warning("BPF JIT", format!("{JIT} cannot be read: {error}")),
    }
}

/// Whether this process may load and attach programs.
pub(super) fn rights() -> Finding {
    permissions(&fs::read_to_string(STATUS).unwrap_or_default())
}

/// Number of a capability in the mask, by name; linux/capability.h.
const CAPABILITIES: [(&str, u32); 4] =
    [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];

fn permissions(status: &str) -> Finding {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(mask) = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) else {
        return Finding::warning("capabilities", format!("{STATUS} has no CapEff line"));
    };
    let has = |name: &str| CAPABILITIES.iter().any(|(n, bit)| *n == name && mask >> bit & 1 == 1);
    let missing: Vec<&str> = ["CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"]
        .into_iter()
        // CAP_SYS_ADMIN stands for the two that were once part of it.
        .filter(|name| !has(name) && (*name == "CAP_NET_ADMIN" || !has("CAP_SYS_ADMIN")))
        .collect();
    if missing.is_empty() {
        return Finding::ok("capabilities", "CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON are there");
    }
    Finding::failure("capabilities", format!("missing: {}", missing.join(", ")))
        .mend("run as root, or give AmbientCapabilities= in the systemd unit")
}

#[derive(Debug)]
enum FileSystem {
    Bpf,
    Other,
    Unknown(io::Error),
}

fn file_system(path: &Path) -> FileSystem {
    let existing = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    match statfs::statfs(existing) {
        Ok(status) if status.filesystem_type() == statfs::BPF_FS_MAGIC => FileSystem::Bpf,
        Ok(_) => FileSystem::Other,
        Err(error) => FileSystem::Unknown(error.into()),
    }
}

fn pins(pin_dir: &Path, found: FileSystem) -> Finding {
    let path = pin_dir.display();
    match found {
        FileSystem::Bpf => Finding::ok("pin_dir", format!("{path} is on a BPF file system")),
        FileSystem::Other => Finding::warning(
            "pin_dir",
            format!("{path} is not on a BPF file system; slbd has to mount one when it starts"),
        )
        .mend("mount -t bpf bpf /sys/fs/bpf"),
        FileSystem::Unknown(error) => {
            Finding::failure("pin_dir", format!("{path} cannot be looked at: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Level;

    #[test]
    fn a_kernel_is_old_by_its_first_two_numbers() {
        for release in ["6.1.0-49-amd64", "6.18.44", "6.10", "7.0.0-rc1", "10.1"] {
            assert_eq!(version(release).level, Level::Ok, "{release}");
        }
        for release in ["5.15.0-91-generic", "6.0.12", "4.19.0"] {
            assert_eq!(version(release).level, Level::Failure, "{release}");
        }
        assert_eq!(version("strange").level, Level::Warning);
    }

    #[test]
    fn the_jit_is_off_only_if_it_says_so() {
        assert_eq!(jit(Ok("0\n".into())).level, Level::Warning);
        assert_eq!(jit(Ok("1\n".into())).level, Level::Ok);
        assert_eq!(jit(Ok("2\n".into())).level, Level::Ok);
        assert_eq!(jit(Err(io::ErrorKind::NotFound.into())).level, Level::Ok);
        assert_eq!(jit(Err(io::ErrorKind::PermissionDenied.into())).level, Level::Warning);
        assert_eq!(btf(false).level, Level::Failure);
    }

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon_but_not_for_net_admin() {
        let level = |mask: u64| permissions(&format!("Name:\tx\nCapEff:\t{mask:016x}\n"));
        assert_eq!(level(1 << 12 | 1 << 38 | 1 << 39).level, Level::Ok);
        assert_eq!(level(1 << 12 | 1 << 21).level, Level::Ok);
        assert_eq!(level(1 << 12 | 1 << 39).evidence, "missing: CAP_PERFMON");
        assert_eq!(level(1 << 21).evidence, "missing: CAP_NET_ADMIN");
        assert_eq!(level(0).level, Level::Failure);
        assert_eq!(permissions("").level, Level::Warning);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_its_ancestor() {
        let path = Path::new("/proc/self/no/such/directory");
        assert!(matches!(file_system(path), FileSystem::Other));
        assert_eq!(pins(path, FileSystem::Other).level, Level::Warning);
        assert_eq!(pins(path, FileSystem::Bpf).level, Level::Ok);
    }
}

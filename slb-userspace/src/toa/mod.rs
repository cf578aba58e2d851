//! TOA on a backend: programs on a cgroup that take the client's address from TCP option 254, so
//! that an unchanged server sees it. Everything it makes is pinned in one directory and goes with
//! it; no daemon is needed.

mod cgroup;
mod kernel;
mod links;
mod networks;
mod status;

use std::{
    error::Error as StdError,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

pub use self::{
    kernel::{attach, detach},
    networks::{Network, default_networks},
    status::{Counted, State, Status, status},
};

/// Where links and maps are pinned unless said otherwise.
pub const PIN_DIR: &str = "/sys/fs/bpf/slb-toa";

/// What is to be attached.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Processes of this cgroup and those below it are served; absent: the root of cgroup2.
    pub cgroup: Option<PathBuf>,
    /// A directory of a BPF file system; it is made.
    pub pin_dir: PathBuf,
    /// Whose options are believed.
    pub from: Vec<Network>,
}

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    what: String,
    hint: Option<String>,
    /// Who has to do something.
    pub blame: Blame,
}

/// Whose an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller's: something is missing that has to be there, or rights, or it was asked wrongly.
    Caller,
    /// The kernel's, which refused.
    Kernel,
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    fn of_caller(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: Some(hint.into()), blame: Blame::Caller }
    }

    /// What the kernel said to something that was asked of it.
    fn of_kernel(what: &str, error: &(dyn StdError + 'static)) -> Self {
        let denied = io_error(error)
            .is_some_and(|error| matches!(error.kind(), ErrorKind::PermissionDenied));
        if denied {
            let hint = "it needs root, or CAP_BPF and CAP_NET_ADMIN and a --pin-dir that one may \
                        write";
            return Self::of_caller(format!("{what}: permission denied"), hint);
        }
        let without_btf = !Path::new("/sys/kernel/btf/vmlinux").exists();
        let hint = without_btf.then(|| {
            "this kernel has no BTF (/sys/kernel/btf/vmlinux); it needs CONFIG_DEBUG_INFO_BTF, \
             which the kernels of Debian, Ubuntu, Fedora and RHEL have"
                .to_owned()
        });
        Self { what: format!("{what}: {}", words(error)), hint, blame: Blame::Kernel }
    }

    fn of_path(path: &Path, error: &io::Error) -> Self {
        Self::of_kernel(&path.display().to_string(), error)
    }
}

/// The operating system's error that an error comes from.
fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    error.downcast_ref().or_else(|| error.source().and_then(io_error))
}

/// An error with everything that caused it.
fn words(error: &dyn StdError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", words(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_rights_are_the_callers_to_get_and_the_hint_says_which() {
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        let error = Error::of_kernel("loading toa_options", &denied);
        assert_eq!(error.blame, Blame::Caller);
        assert!(error.hint().is_some_and(|hint| hint.contains("CAP_BPF and CAP_NET_ADMIN")));
        let busy = io::Error::from_raw_os_error(libc::EBUSY);
        assert_eq!(Error::of_kernel("attaching", &busy).blame, Blame::Kernel);
    }
}

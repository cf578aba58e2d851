//! A virtual machine with the oldest kernel that SLB supports, and nothing in it but what it runs.
//!
//! The kernel is Debian 12's package; the file system is an archive in memory, made here of this
//! machine's tools and our binaries; the output comes over the serial line. What of it is missing
//! is unpacked from Debian's packages below `target`: nothing is installed, and nothing needs root.

mod initramfs;
mod kernel;
mod machine;
mod script;
mod tools;

use std::env::consts::ARCH;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::run;
use crate::setup::{self, Scope};
pub(crate) use machine::Machine;
pub(crate) use script::{Program, Ran, Task, Transcript};
pub(crate) use tools::Wanted;

/// What a guest has, and what it does.
#[derive(Default)]
pub(crate) struct Guest<'a> {
    /// One after the other.
    pub(crate) tasks: Vec<Task>,
    /// What the tasks find in `SLB_BIN_DIR`, and on their `PATH`, by names there.
    pub(crate) binaries: Vec<(&'a str, PathBuf)>,
    /// Programs that tasks find on their `PATH`, besides busybox.
    pub(crate) tools: &'a [Wanted],
    /// Inserted in this order, each after what it needs.
    pub(crate) modules: &'a [&'a str],
    /// Files of this machine and their places in the guest.
    pub(crate) files: Vec<(PathBuf, PathBuf)>,
    pub(crate) machine: Machine,
    /// The task whose output is kept and not shown.
    pub(crate) quiet: Option<&'a str>,
}

/// Where the kernel, the archive and the log are kept.
pub(crate) fn directory() -> PathBuf {
    run::target_dir().join("guest")
}

/// Makes ready what [`Guest::run`] cannot fetch; first of all says whether this machine can.
///
/// # Errors
/// It cannot, or something could not be installed.
pub(crate) fn set_up() -> Result<()> {
    if ARCH != "x86_64" {
        bail!("the guest runs the binaries of this machine on an x86-64 kernel; this is {ARCH}");
    }
    setup::run(Scope::Build)
}

/// What labs are made with.
const LAB_TOOLS: [Wanted; 3] = [
    Wanted { program: "ip", package: "iproute2" },
    Wanted { program: "ethtool", package: "ethtool" },
    Wanted { program: "nft", package: "nftables" },
];
/// What their links are made of.
const LAB_MODULES: [&str; 3] = ["bridge", "veth", "8021q"];

impl Guest<'_> {
    /// One that has what labs are made of, and nothing to do.
    pub(crate) fn of_labs() -> Self {
        Self { tools: &LAB_TOOLS, modules: &LAB_MODULES, ..Self::default() }
    }

    /// Boots and runs the tasks. What the guest prints is shown, and kept in `boot.log` of
    /// [`directory`].
    ///
    /// # Errors
    /// QEMU or the kernel could not be fetched, or something that goes in is missing.
    pub(crate) fn run(&self) -> Result<Transcript> {
        let directory = directory();
        let kernel = kernel::ensure(&directory)?;
        let archive = initramfs::build(&directory, &kernel, self)?;
        self.machine.boot(&directory, &kernel, &archive, self.quiet)
    }
}

//! A virtual machine with the oldest kernel that SLB supports, and nothing in it but what it runs.
//!
//! The kernel is Debian 12's package; the file system is an archive in memory, made here of this
//! machine's tools and our binaries; the output comes over the serial line.

mod initramfs;
mod kernel;
mod machine;
mod script;

use std::env::consts::ARCH;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::run;
use crate::setup::{self, Scope};
pub(crate) use script::{Ran, Task, Transcript};

/// Programs that tasks find on their `PATH`, besides busybox.
const TOOLS: [&str; 3] = ["ip", "ethtool", "nft"];

/// Where the kernel, the archive and the log are kept.
pub(crate) fn directory() -> PathBuf {
    run::target_dir().join("guest")
}

/// Installs what [`run`] needs; first of all says whether this machine can.
///
/// # Errors
/// It cannot, or something could not be installed.
pub(crate) fn set_up() -> Result<()> {
    if ARCH != "x86_64" {
        bail!("the guest runs the binaries of this machine on an x86-64 kernel; this is {ARCH}");
    }
    setup::run(Scope::Guest)
}

/// Boots and runs the tasks one after the other. `binaries` are what the tasks find in
/// `SLB_BIN_DIR`. What the guest prints is shown, and kept in `boot.log` of [`directory`].
///
/// # Errors
/// The kernel could not be fetched, or something that goes in is missing.
pub(crate) fn run(tasks: &[Task], binaries: &[PathBuf]) -> Result<Transcript> {
    let kernel = kernel::ensure(&directory())?;
    let archive = initramfs::build(&directory(), &kernel, tasks, binaries)?;
    machine::boot(&kernel, &archive, &directory().join("boot.log"))
}

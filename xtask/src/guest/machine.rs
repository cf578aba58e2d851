//! The virtual machine itself: QEMU, its output shown and kept, its time limited.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::kernel::Kernel;
use super::script::Transcript;
use super::tools::{Tool, Wanted};
use crate::run;
use crate::setup::step;

const QEMU: Wanted = Wanted { program: "qemu-system-x86_64", package: "qemu-system-x86" };
/// How `timeout` says that it had to end the program.
const TIMED_OUT: i32 = 124;
/// `init_on_alloc` and mitigations would take more of the emulator's time than the tests do.
/// A stuck kernel ends at once instead of waiting for somebody to look at it.
const KERNEL_ARGUMENTS: &str =
    "console=ttyS0 quiet panic=-1 oops=panic init_on_alloc=0 mitigations=off tsc=reliable";

/// Tells what runs in the guest that its time counts instructions.
const COUNTING: &str = "slb.counting";

/// How the guest's processors run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Machine {
    /// Two, as fast as they can.
    #[default]
    Fast,
    /// One, for which time is the number of instructions it has executed, a nanosecond each, so
    /// that figures do not depend on this machine. Idle time takes none.
    Counting,
}

impl Machine {
    /// Boots, keeps what comes over the serial line, shows it unless it is of the task `quiet`, and
    /// returns it when the guest is off. If that was not by itself, says why, with the end of it.
    ///
    /// # Errors
    /// QEMU could not be had, or the log cannot be written.
    pub(super) fn boot(
        self,
        directory: &Path,
        kernel: &Kernel,
        archive: &Path,
        quiet: Option<&str>,
    ) -> Result<Transcript> {
        let qemu = Tool::ensure(directory, QEMU)?;
        let log = directory.join("boot.log");
        println!("  booting    {} (at most {} minutes)", kernel.release, self.limit_s() / 60);
        let mut kept = fs::File::create(&log).with_context(|| format!("{}", log.display()))?;
        let mut command = self.command(&qemu, kernel, archive);
        let mut child = command.spawn().context("QEMU did not start")?;
        let (mut lines, mut transcript) = (Vec::new(), Transcript::default());
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).split(b'\n') {
                let line = String::from_utf8_lossy(&line?).trim_end_matches('\r').to_owned();
                writeln!(kept, "{line}")?;
                transcript.add(&line);
                if quiet.is_none() || transcript.running() != quiet {
                    writeln!(io::stdout(), "{line}")?;
                }
                lines.push(line);
            }
        }
        let status = child.wait()?;
        if transcript.complete {
            return Ok(transcript);
        }
        let why = if status.code() == Some(TIMED_OUT) {
            format!("was not done after {} minutes", self.limit_s() / 60)
        } else if transcript.kernel.is_none() {
            format!("did not boot (`{}`: {status})", run::line(&command))
        } else {
            format!("stopped before its tasks were done (QEMU: {status})")
        };
        let end = step::last_lines(&lines.join("\n"));
        println!("failed: the guest {why}; the end of {}:\n{end}", log.display());
        Ok(transcript)
    }

    /// Other work on the same processors multiplies what a guest takes: alone, the tests are done
    /// in a fifth of this.
    const fn limit_s(self) -> u32 {
        1200
    }

    fn command(self, qemu: &Tool, kernel: &Kernel, archive: &Path) -> Command {
        let mut command = step::limited(&qemu.program.display().to_string(), self.limit_s());
        qemu.lead(&mut command);
        match self {
            Self::Fast => {
                if kvm_runs_any_kernel() {
                    command.args(["-accel", "kvm"]);
                }
                // Without KVM, or if it may not be opened.
                command.args(["-accel", "tcg,thread=multi", "-smp", "2", "-cpu", "max"]);
            }
            Self::Counting => {
                // A newer processor's kernel copies and clears by instructions that count once
                // for each byte here.
                command.args(["-accel", "tcg,thread=single", "-smp", "1", "-cpu", "qemu64"]);
                command.args(["-icount", "shift=0,sleep=off"]);
            }
        }
        command.args(["-m", "3072"]);
        // Only a serial line; with `-nographic` the BIOS would clear the terminal over it.
        command.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
        command.args(["-display", "none", "-serial", "stdio"]);
        command.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(archive);
        let counting = if self == Self::Counting { COUNTING } else { "" };
        command.arg("-append").arg(format!("{KERNEL_ARGUMENTS} {counting}"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// Whether KVM here uses the processor's virtualisation. There are others, such as `kvm_pvm` in
/// clouds, which run kernels made for them only; Debian's hangs in its first instructions.
fn kvm_runs_any_kernel() -> bool {
    let modules = ["/sys/module/kvm_intel", "/sys/module/kvm_amd"];
    Path::new("/dev/kvm").exists() && modules.iter().any(|module| Path::new(module).exists())
}

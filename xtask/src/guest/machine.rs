//! The virtual machine itself: QEMU, its output shown and kept, its time limited.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::kernel::Kernel;
use super::script::Transcript;
use crate::setup::step;

/// Emulated on two processors, the demonstration takes 40 seconds and the program tests two minutes,
/// most of it in the kernel's verifier; other work on the same processors multiplies that.
const LIMIT_S: u32 = 1200;
/// How `timeout` says that it had to end the program.
const TIMED_OUT: i32 = 124;
/// `init_on_alloc` and mitigations would take more of the emulator's time than the tests do.
/// A stuck kernel ends at once instead of waiting for somebody to look at it.
const KERNEL_ARGUMENTS: &str =
    "console=ttyS0 quiet panic=-1 oops=panic init_on_alloc=0 mitigations=off tsc=reliable";

/// Boots, shows and keeps what comes over the serial line, and returns it when the guest is off.
/// If that was not by itself, says why, with the end of the output.
///
/// # Errors
/// QEMU is not there, or the log cannot be written.
pub(super) fn boot(kernel: &Kernel, archive: &Path, log: &Path) -> Result<Transcript> {
    println!("  booting    {} (at most {} minutes)", kernel.release, LIMIT_S / 60);
    let mut kept = fs::File::create(log).with_context(|| format!("{}", log.display()))?;
    let mut child = machine(kernel, archive).spawn().context("QEMU did not start")?;
    let mut lines = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).trim_end_matches('\r').to_owned();
            writeln!(kept, "{line}")?;
            writeln!(io::stdout(), "{line}")?;
            lines.push(line);
        }
    }
    let status = child.wait()?;
    let transcript = Transcript::of(lines.iter().map(String::as_str));
    if transcript.complete {
        return Ok(transcript);
    }
    let why = if status.code() == Some(TIMED_OUT) {
        format!("was not done after {} minutes", LIMIT_S / 60)
    } else if transcript.kernel.is_none() {
        format!("did not boot (QEMU: {status})")
    } else {
        format!("stopped before its tasks were done (QEMU: {status})")
    };
    let end = step::last_lines(&lines.join("\n"));
    println!("failed: the guest {why}; the end of {}:\n{end}", log.display());
    Ok(transcript)
}

fn machine(kernel: &Kernel, archive: &Path) -> Command {
    let mut qemu = step::limited("qemu-system-x86_64", LIMIT_S);
    if kvm_runs_any_kernel() {
        qemu.args(["-accel", "kvm"]);
    }
    // Without KVM, or if it may not be opened.
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "3072"]);
    // Only a serial line; with `-nographic` the BIOS would clear the terminal over it.
    qemu.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
    qemu.args(["-display", "none", "-serial", "stdio"]);
    qemu.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(archive);
    qemu.args(["-append", KERNEL_ARGUMENTS]).stdin(Stdio::null()).stdout(Stdio::piped());
    qemu
}

/// Whether KVM here uses the processor's virtualisation. There are others, such as `kvm_pvm` in
/// clouds, which run kernels made for them only; Debian's hangs in its first instructions.
fn kvm_runs_any_kernel() -> bool {
    let modules = ["/sys/module/kvm_intel", "/sys/module/kvm_amd"];
    Path::new("/dev/kvm").exists() && modules.iter().any(|module| Path::new(module).exists())
}

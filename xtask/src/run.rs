//! Where things are, who we are, and how another program is run.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

/// Exit code for wrong use, and for what is not there yet.
pub(crate) const WRONG_USE: u8 = 2;

/// The repository.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Cargo's target directory: we were started out of it.
pub(crate) fn target_dir() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    own.ancestors().nth(2).map_or_else(|| root().join("target"), Path::to_path_buf)
}

/// The cargo that started us, in the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs to the end, output straight to the terminal.
///
/// # Errors
/// It did not start, or did not end well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("`{name}` did not start"))?;
    if !status.success() {
        bail!("`{}` ended with {status}", line(command));
    }
    Ok(())
}

/// Runs to the end and hands its exit code on.
///
/// # Errors
/// It did not start.
pub(crate) fn exit_code(command: &mut Command) -> Result<ExitCode> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("`{name}` did not start"))?;
    // A signal has no code; 1 says that it did not go well.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into())
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Whether the effective user is root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Refuses to go on without root, with the command that would work.
pub(crate) fn refuse_without_root(what: &str, command: &str) -> Option<ExitCode> {
    if is_root() {
        return None;
    }
    eprintln!("error: {what} needs root: it loads eBPF programs");
    eprintln!("hint: sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask {command}");
    Some(ExitCode::from(WRONG_USE))
}

/// Says in plain words that a command is not there yet.
pub(crate) fn not_yet(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::from(WRONG_USE)
}

//! Debian's packages.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::step::{self, Outcome};
use crate::run;
use crate::toolchain;

/// Whether this is a Debian machine whose packages root can install.
pub(crate) fn are_installable() -> bool {
    run::is_root() && is_debian()
}

/// Whether this machine has Debian's package manager.
pub(crate) fn is_debian() -> bool {
    is_on_path("apt-get") && is_on_path("dpkg-query")
}

/// Whether a program of that name is on `PATH` or where only root's is.
pub(crate) fn is_on_path(program: &str) -> bool {
    on_path(program).is_some()
}

/// The program of that name on `PATH` or where only root's is.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let of_root = ["/usr/sbin", "/sbin"].map(Into::into);
    let mut places = env::split_paths(&path).chain(of_root).map(|place| place.join(program));
    places.find(|place| place.is_file())
}

/// Makes sure of a program that a package brings.
pub(crate) fn program(program: &str, package: &str) -> Outcome {
    if is_on_path(program) { Outcome::There } else { install(&[package]) }
}

/// Makes sure of a server that tests start by themselves: the package's own is neither started now
/// nor with the machine.
pub(crate) fn server(program: &str, package: &str) -> Outcome {
    if is_on_path(program) {
        return Outcome::There;
    }
    let policy = Path::new("/usr/sbin/policy-rc.d");
    // The user may have one; then it decides.
    let is_ours = run::is_root() && is_debian() && !policy.exists() && forbid_services(policy);
    let outcome = install(&[package]);
    if is_ours {
        let _ = fs::remove_file(policy);
        let _ = Command::new("systemctl").args(["--quiet", "disable", program]).output();
    }
    outcome
}

/// Writes the file by which Debian's packages are told not to start services: 101 says so.
fn forbid_services(policy: &Path) -> bool {
    fs::write(policy, "#!/bin/sh\nexit 101\n").is_ok()
        && fs::set_permissions(policy, Permissions::from_mode(0o755)).is_ok()
}

/// Installs packages, with fresh package lists if the present ones do not have them.
pub(crate) fn install(packages: &[&str]) -> Outcome {
    if !is_debian() {
        return Outcome::Failed(format!(
            "this is no Debian; install what Debian calls {}",
            packages.join(", ")
        ));
    }
    if !run::is_root() {
        return Outcome::by_root(&install_command(packages));
    }
    if step::quietly(&mut install_command(packages)).is_ok() {
        return Outcome::Installed;
    }
    if let Err(end) = update() {
        return Outcome::Failed(format!("`apt-get update` failed:\n{end}"));
    }
    step::install(&mut install_command(packages))
}

/// Fetches fresh package lists.
///
/// # Errors
/// The end of its output.
pub(crate) fn update() -> Result<(), String> {
    let mut update = apt_get();
    step::quietly(update.arg("update"))
}

/// Fetches packages' files into `directory`, without installing them. Needs no root. A package is a
/// name, or `NAME=VERSION`.
///
/// # Errors
/// The end of its output.
pub(crate) fn download(packages: &[&str], directory: &Path) -> Result<(), String> {
    let mut download = apt_get();
    step::quietly(download.arg("download").args(packages).current_dir(directory))
}

/// Unpacks a package's file below `root`, without installing it.
///
/// # Errors
/// What it said.
pub(crate) fn unpack(file: &Path, root: &Path) -> Result<(), String> {
    let mut dpkg = Command::new("dpkg-deb");
    let output = dpkg.arg("--extract").arg(file).arg(root).output();
    let output = output.map_err(|error| format!("`dpkg-deb` did not start: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(step::last_lines(&String::from_utf8_lossy(&output.stderr))),
    }
}

/// What the installation of a package would bring to this machine, as `NAME=VERSION`, whatever
/// would have to go for it.
///
/// # Errors
/// It is unknown, or it cannot be installed at any price; the end of what was said about that.
pub(crate) fn installation(package: &str) -> Result<Vec<String>, String> {
    let mut ask = apt_get();
    ask.args(["--simulate", "--no-install-recommends", "install", package]);
    let output = ask.output().map_err(|error| format!("`apt-get` did not start: {error}"))?;
    if !output.status.success() {
        return Err(step::last_lines(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(installed_in(&String::from_utf8_lossy(&output.stdout)))
}

/// The lines `Inst NAME [OLD VERSION] (VERSION ...)` of a simulation.
fn installed_in(simulation: &str) -> Vec<String> {
    let lines = simulation.lines().filter_map(|line| line.strip_prefix("Inst "));
    let versions = lines.filter_map(|line| {
        let (name, version) = (line.split_once(' ')?.0, line.split_once('(')?.1);
        Some(format!("{name}={}", version.split_once(' ')?.0))
    });
    versions.collect()
}

/// The packages whose names begin so, by the present package lists.
pub(crate) fn known(prefix: &str) -> Vec<String> {
    let output = Command::new("apt-cache").args(["pkgnames", prefix]).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

/// The version that `apt-get install` would install, by the present package lists.
pub(crate) fn candidate(package: &str) -> Option<(u32, u32)> {
    let output = Command::new("apt-cache").args(["policy", package]).output().ok()?;
    candidate_in(&String::from_utf8_lossy(&output.stdout))
}

fn candidate_in(policy: &str) -> Option<(u32, u32)> {
    let line = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    toolchain::version_pair(line)
}

fn install_command(packages: &[&str]) -> Command {
    let mut install = apt_get();
    // A package that would push out another, such as Debian's rustup, is the user's decision.
    install.args(["install", "--yes", "--no-install-recommends", "--no-remove"]).args(packages);
    install
}

/// Limited in waiting for mirrors and locks, but never killed: that would leave half a package.
fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").env("NEEDRESTART_SUSPEND", "1");
    for option in ["Acquire::Retries=1", "Acquire::http::Timeout=20", "Acquire::https::Timeout=20"]
    {
        command.args(["-o", option]);
    }
    command.args(["-o", "DPkg::Lock::Timeout=60"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_from_the_policy() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n";
        assert_eq!(candidate_in(policy), Some((1, 96)));
        assert_eq!(candidate_in("x:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_in(""), None);
    }

    #[test]
    fn what_an_installation_would_bring_is_read_from_its_simulation() {
        let simulation = "The following packages will be REMOVED:\n  qemu-utils\n\
            Remv qemu-utils [1:10.0.2+ds-2]\n\
            Inst libfdt1 (1.6.1-4+b1 Debian:12.15/oldstable [amd64])\n\
            Inst seabios [1.15] (1.16.2-1 Debian:12.15/oldstable [all])\n\
            Conf libfdt1 (1.6.1-4+b1 Debian:12.15/oldstable [amd64])\n";
        assert_eq!(installed_in(simulation), ["libfdt1=1.6.1-4+b1", "seabios=1.16.2-1"]);
    }

    #[test]
    fn an_installation_never_removes_a_package_of_the_user() {
        assert!(run::line(&install_command(&["rustc-web"])).contains("--no-remove rustc-web"));
    }
}

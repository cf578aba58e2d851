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

/// Fetches a package's file into `directory`, without installing it. Needs no root.
///
/// # Errors
/// The end of its output.
pub(crate) fn download(package: &str, directory: &Path) -> Result<(), String> {
    let mut download = apt_get();
    step::quietly(download.args(["download", package]).current_dir(directory))
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
    fn an_installation_never_removes_a_package_of_the_user() {
        assert!(run::line(&install_command(&["rustc-web"])).contains("--no-remove rustc-web"));
    }
}

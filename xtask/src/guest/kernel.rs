//! Debian 12's kernel, out of its package: found, fetched once, unpacked, its modules in order.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::tools::{Tool, Wanted};
use crate::setup::packages;
use crate::setup::step;

/// The packages are called so, with a number and [`FLAVOUR`] behind it.
const PREFIX: &str = "linux-image-6.1.0-";
/// The signed kernel for ordinary machines; others are `-rt-amd64`, `-amd64-unsigned` and so on.
const FLAVOUR: &str = "-amd64";

/// Lists which modules need which.
const DEPMOD: Wanted = Wanted { program: "depmod", package: "kmod" };

/// An unpacked kernel.
pub(super) struct Kernel {
    /// As `uname -r` says it.
    pub(super) release: String,
    directory: PathBuf,
}

impl Kernel {
    /// The file to boot.
    pub(super) fn image(&self) -> PathBuf {
        self.directory.join(format!("boot/vmlinuz-{}", self.release))
    }

    /// The files of the modules and of what they need, in the order to insert them.
    ///
    /// # Errors
    /// This kernel does not have one of them.
    pub(super) fn modules(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let directory = self.directory.join("lib/modules").join(&self.release);
        let path = directory.join("modules.dep");
        let dependencies =
            fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let order = insertion_order(&dependencies, names)?;
        Ok(order.into_iter().map(|file| directory.join(file)).collect())
    }

    /// The one that was unpacked from `package`.
    fn unpacked(directory: &Path, package: &str) -> Option<Self> {
        let release = package.strip_prefix("linux-image-")?.to_owned();
        let kernel = Self { release, directory: directory.join(package) };
        kernel.image().exists().then_some(kernel)
    }
}

/// The newest kernel that the package lists offer, else the newest in `directory`, unpacked there.
///
/// # Errors
/// There is none and none could be fetched; says what to do.
pub(super) fn ensure(directory: &Path) -> Result<Kernel> {
    fs::create_dir_all(directory).with_context(|| format!("{}", directory.display()))?;
    if let Some(package) = offered()
        && let Ok(kernel) = kept(directory, &package)
    {
        return Ok(kernel);
    }
    let reason = match fetch(directory) {
        Ok(package) => return kept(directory, &package),
        Err(reason) => reason,
    };
    // An older one proves nearly as much.
    if let Some(package) = newest(names_in(directory).iter().map(String::as_str)) {
        println!("  no newer kernel than {package}: {reason}");
        return kept(directory, package);
    }
    bail!(
        "no kernel for the guest: {reason}\n\
         hint: put {PREFIX}N{FLAVOUR}_*_amd64.deb, of Debian 12's linux-signed-amd64, into {}",
        directory.display()
    )
}

/// The newest that this machine's package lists know.
fn offered() -> Option<String> {
    newest(packages::known(PREFIX).iter().map(String::as_str)).map(str::to_owned)
}

/// Fetches the newest package's file, with fresh lists if the present ones do not lead to it.
fn fetch(directory: &Path) -> Result<String, String> {
    if let Some(package) = offered()
        && packages::download(&[&package], directory).is_ok()
    {
        return Ok(package);
    }
    if !packages::is_debian() {
        return Err("this is no Debian, whose package it is".to_owned());
    }
    packages::update().map_err(|end| format!("`apt-get update` failed:\n{end}"))?;
    let package =
        offered().ok_or_else(|| format!("the package lists have no {PREFIX}N{FLAVOUR}"))?;
    packages::download(&[&package], directory)
        .map_err(|end| format!("`apt-get download {package}` failed:\n{end}"))?;
    Ok(package)
}

/// The kernel of a package in `directory`, unpacked if need be.
fn kept(directory: &Path, package: &str) -> Result<Kernel> {
    if let Some(kernel) = Kernel::unpacked(directory, package) {
        return Ok(kernel);
    }
    let names = names_in(directory);
    let file = names
        .iter()
        .filter(|name| name.ends_with(".deb"))
        .find(|name| name.split('_').next() == Some(package))
        .with_context(|| format!("{} has no file of {package}", directory.display()))?;
    unpack(directory, package, file)?;
    Kernel::unpacked(directory, package)
        .with_context(|| format!("{file} has no kernel where it is expected"))
}

/// Unpacks beside and moves it into place, so that half of it is never taken for all. A file that
/// cannot be unpacked was not fetched whole: it is removed, to be fetched again.
fn unpack(directory: &Path, package: &str, file: &str) -> Result<()> {
    let half = directory.join("half");
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    let release = package.trim_start_matches("linux-image-");
    let file = directory.join(file);
    if let Err(end) = packages::unpack(&file, &half) {
        let _ = fs::remove_file(&file);
        bail!("{} could not be unpacked and was removed:\n{end}", file.display());
    }
    let depmod = Tool::ensure(directory, DEPMOD)?;
    step::quietly(depmod.command().arg("--basedir").arg(&half).arg(release))
        .map_err(|end| anyhow!("the modules of {release} could not be listed:\n{end}"))?;
    fs::rename(&half, directory.join(package)).context("moving the unpacked kernel into place")
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The package with the highest number. Names may be those of packages or of their files.
fn newest<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .filter_map(|name| name.split('_').next())
        .filter_map(|package| {
            let number = package.strip_prefix(PREFIX)?.strip_suffix(FLAVOUR)?;
            Some((number.parse::<u32>().ok()?, package))
        })
        .max()
        .map(|(_, package)| package)
}

/// Reads `modules.dep`, where a line is `FILE: NEEDED...`, what is needed first standing last.
fn insertion_order<'a>(dependencies: &'a str, names: &[&str]) -> Result<Vec<&'a str>> {
    let mut order = Vec::new();
    for name in names {
        let (file, needed) = dependencies
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(file, _)| Path::new(file).file_stem().is_some_and(|stem| stem == *name))
            .with_context(|| format!("the guest's kernel has no module {name}"))?;
        for file in needed.split_whitespace().rev().chain([file]) {
            if !order.contains(&file) {
                order.push(file);
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_the_signed_one_with_the_highest_number() {
        let names = [
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-50-amd64",
            "linux-image-6.1.0-47-amd64",
            "linux-image-6.1.0-51-amd64-unsigned",
            "linux-image-6.1.0-52-rt-amd64",
            "linux-image-6.1.0-53-cloud-amd64",
            "linux-image-6.12.0-1-amd64",
        ];
        assert_eq!(newest(names.into_iter()), Some("linux-image-6.1.0-50-amd64"));
        assert_eq!(newest(["boot.log", "root"].into_iter()), None);
    }

    #[test]
    fn a_package_s_file_has_its_package_s_number() {
        let files = ["linux-image-6.1.0-50-amd64_6.1.176-1_amd64.deb", "linux-image-6.1.0-9-amd64"];
        assert_eq!(newest(files.into_iter()), Some("linux-image-6.1.0-50-amd64"));
    }

    const DEPENDENCIES: &str = "kernel/drivers/net/veth.ko:\n\
        kernel/drivers/media/ddbridge.ko: kernel/drivers/media/mc.ko\n\
        kernel/net/8021q/8021q.ko: kernel/net/802/garp.ko kernel/net/802/stp.ko kernel/net/llc.ko\n\
        kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc.ko\n";

    #[test]
    fn a_module_is_inserted_once_and_after_those_it_needs() {
        let order = insertion_order(DEPENDENCIES, &["bridge", "veth", "8021q"]).unwrap();
        let wanted = [
            "kernel/net/llc.ko",
            "kernel/net/802/stp.ko",
            "kernel/net/bridge/bridge.ko",
            "kernel/drivers/net/veth.ko",
            "kernel/net/802/garp.ko",
            "kernel/net/8021q/8021q.ko",
        ];
        assert_eq!(order, wanted);
    }

    #[test]
    fn a_module_that_the_kernel_does_not_have_is_named() {
        let error = insertion_order(DEPENDENCIES, &["veth", "dummy"]).unwrap_err().to_string();
        assert!(error.contains("no module dummy"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_unpacked_is_removed() {
        let directory = std::env::temp_dir().join(format!("xtask-kernel-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("linux-image-6.1.0-1-amd64_6.1.1-1_amd64.deb");
        fs::write(&file, "half a package").unwrap();
        assert!(kept(&directory, "linux-image-6.1.0-1-amd64").is_err());
        assert!(!file.exists());
        fs::remove_dir_all(&directory).unwrap();
    }
}

//! The guest's file system: an archive that the kernel unpacks into memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::TOOLS;
use super::kernel::Kernel;
use super::script::{self, Task};
use crate::run;
use crate::setup::packages;

/// What the labs' links are made of.
const MODULES: [&str; 3] = ["bridge", "veth", "8021q"];
/// What the script uses of busybox. No `ip`: it would come before iproute2's.
const APPLETS: [&str; 6] = ["insmod", "mkdir", "mount", "poweroff", "sh", "uname"];
/// Where the script mounts something.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];
/// Our binaries in the guest.
const BINARIES: &str = "slb";

/// Builds it anew: what goes in is as new as the binaries. Returns the archive's path.
///
/// # Errors
/// Something that goes in is missing, or cannot be copied.
pub(super) fn build(
    directory: &Path,
    kernel: &Kernel,
    tasks: &[Task],
    binaries: &[PathBuf],
) -> Result<PathBuf> {
    let mut tree = Tree::new(directory.join("root"))?;
    for place in MOUNT_POINTS {
        tree.directory(Path::new(place))?;
    }
    tree.tool("busybox", "bin")?;
    for applet in APPLETS {
        symlink("busybox", tree.place(&Path::new("bin").join(applet))?)?;
    }
    for tool in TOOLS {
        tree.tool(tool, "usr/sbin")?;
    }
    for binary in binaries {
        tree.binary(binary, None)?;
    }
    let mut programs = Vec::new();
    for task in tasks {
        programs.push((task.name, tree.binary(&task.program, Some(task.name))?));
    }
    let mut modules = Vec::new();
    for file in kernel.modules(&MODULES)? {
        modules.push(tree.copy(&file, &Path::new("lib/modules").join(name_of(&file)?))?);
    }
    let script = script::init(&modules, &programs, &format!("/{BINARIES}"));
    let init = tree.place(Path::new("init"))?;
    fs::write(&init, script)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    tree.archive(&directory.join("initramfs.cpio"))
}

/// The files before they are put together.
struct Tree {
    root: PathBuf,
    /// Relative to the root. In order, a directory comes before what is in it.
    entries: BTreeSet<PathBuf>,
}

impl Tree {
    fn new(root: PathBuf) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("{}", root.display()))?;
        }
        fs::create_dir_all(&root).with_context(|| format!("{}", root.display()))?;
        Ok(Self { root, entries: BTreeSet::new() })
    }

    fn directory(&mut self, path: &Path) -> Result<()> {
        self.entries.extend(path.ancestors().map(Path::to_owned));
        self.entries.remove(Path::new(""));
        fs::create_dir_all(self.root.join(path)).context("making the guest's directories")
    }

    /// Where to put a file, relative to the guest's root.
    fn place(&mut self, path: &Path) -> Result<PathBuf> {
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        self.entries.insert(path.to_owned());
        Ok(self.root.join(path))
    }

    /// Returns the path in the guest.
    fn copy(&mut self, from: &Path, path: &Path) -> Result<String> {
        let to = self.place(path)?;
        fs::copy(from, to).with_context(|| format!("{}", from.display()))?;
        Ok(Path::new("/").join(path).display().to_string())
    }

    fn tool(&mut self, name: &str, directory: &str) -> Result<()> {
        let from = packages::on_path(name).with_context(|| format!("there is no {name}"))?;
        self.copy(&from, &Path::new(directory).join(name))?;
        self.libraries(&from)
    }

    /// One of ours, without what debuggers read: it lies in the guest's memory.
    fn binary(&mut self, from: &Path, name: Option<&str>) -> Result<String> {
        let path = Path::new(BINARIES).join(name.map_or_else(|| name_of(from), Ok)?);
        let to = self.place(&path)?;
        run::run(Command::new("strip").arg("-o").arg(to).arg(from))?;
        self.libraries(from)?;
        Ok(Path::new("/").join(path).display().to_string())
    }

    /// To where they are on this machine: the loader looks there in the guest, too.
    fn libraries(&mut self, program: &Path) -> Result<()> {
        let output = Command::new("ldd").arg(program).output().context("`ldd` did not start")?;
        let text = String::from_utf8_lossy(&output.stdout);
        for library in libraries(&text).with_context(|| format!("{}", program.display()))? {
            self.copy(Path::new(library), Path::new(library.trim_start_matches('/')))?;
        }
        Ok(())
    }

    fn archive(&self, path: &Path) -> Result<PathBuf> {
        let mut cpio = Command::new("cpio");
        cpio.args(["--create", "--format=newc", "--owner=0:0", "--quiet", "--null"]);
        // Not compressed: unpacking would take the guest longer than loading.
        cpio.current_dir(&self.root).stdin(Stdio::piped()).stdout(fs::File::create(path)?);
        let mut child = cpio.spawn().context("`cpio` did not start")?;
        if let Some(mut list) = child.stdin.take() {
            for entry in &self.entries {
                list.write_all(entry.as_os_str().as_bytes())?;
                list.write_all(&[0])?;
            }
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("`{}` ended with {status}", run::line(&cpio));
        }
        Ok(path.to_owned())
    }
}

fn name_of(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{} names no file", path.display()))
}

/// The paths that `ldd` prints; none for a static program.
fn libraries(printed: &str) -> Result<Vec<&str>> {
    if let Some(line) = printed.lines().find(|line| line.contains("not found")) {
        bail!("a library is missing: {}", line.trim());
    }
    Ok(printed.split_whitespace().filter(|word| word.starts_with('/')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_are_what_ldd_found_and_the_loader() {
        let printed = "\tlinux-vdso.so.1 (0x00007f40ddd0b000)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f40dd61e000)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f40ddd0d000)\n";
        let wanted = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(libraries(printed).unwrap(), wanted);
    }

    #[test]
    fn a_static_program_needs_no_library_and_a_missing_one_is_named() {
        assert!(libraries("\tnot a dynamic executable\n").unwrap().is_empty());
        assert!(libraries("\tstatically linked\n").unwrap().is_empty());
        let error = libraries("\tlibmnl.so.0 => not found\n").unwrap_err().to_string();
        assert!(error.contains("libmnl.so.0"), "{error}");
    }
}

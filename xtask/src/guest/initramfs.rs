//! The guest's file system: an archive that the kernel unpacks into memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Guest;
use super::kernel::Kernel;
use super::script::{self, Program};
use super::tools::{Tool, Wanted};
use crate::run;

const BUSYBOX: Wanted = Wanted { program: "busybox", package: "busybox-static" };
const CPIO: Wanted = Wanted { program: "cpio", package: "cpio" };
/// What the script uses of busybox. No `ip`: it would come before iproute2's.
const APPLETS: [&str; 8] = ["cat", "insmod", "mkdir", "mount", "ping", "poweroff", "sh", "uname"];
/// Where the script mounts something.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];
/// Our binaries in the guest.
const BINARIES: &str = "slb";

/// Builds it anew: what goes in is as new as the binaries. Returns the archive's path.
///
/// # Errors
/// Something that goes in is missing, or cannot be copied.
pub(super) fn build(directory: &Path, kernel: &Kernel, guest: &Guest) -> Result<PathBuf> {
    let mut tree = Tree::new(directory.join("root"))?;
    for place in MOUNT_POINTS {
        tree.directory(Path::new(place))?;
    }
    tree.tool(&Tool::ensure(directory, BUSYBOX)?, "bin")?;
    for applet in APPLETS {
        symlink("busybox", tree.place(&Path::new("bin").join(applet))?)?;
    }
    for wanted in guest.tools {
        tree.tool(&Tool::ensure(directory, *wanted)?, "usr/sbin")?;
    }
    for (name, binary) in &guest.binaries {
        tree.binary(binary, name)?;
    }
    for (file, place) in &guest.files {
        tree.copy(file, place)?;
    }
    let mut tasks = Vec::new();
    for task in &guest.tasks {
        let program = match &task.program {
            Program::Copied(file) => tree.binary(file, task.name)?,
            Program::There(name) => name.clone(),
        };
        tasks.push((task.name, script::line(&program, &task.arguments)));
    }
    let mut modules = Vec::new();
    for file in kernel.modules(guest.modules)? {
        modules.push(tree.copy(&file, &Path::new("lib/modules").join(name_of(&file)?))?);
    }
    let script = script::init(&modules, &tasks, &format!("/{BINARIES}"));
    let init = tree.place(Path::new("init"))?;
    fs::write(&init, script)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    tree.archive(Tool::ensure(directory, CPIO)?.command(), &directory.join("initramfs.cpio"))
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

    fn tool(&mut self, tool: &Tool, directory: &str) -> Result<()> {
        self.copy(&tool.program, &Path::new(directory).join(name_of(&tool.program)?))?;
        self.libraries(tool)
    }

    /// One of ours, without what debuggers read: it lies in the guest's memory.
    fn binary(&mut self, from: &Path, name: &str) -> Result<String> {
        let path = Path::new(BINARIES).join(name);
        let to = self.place(&path)?;
        run::run(Command::new("strip").arg("-o").arg(to).arg(from))?;
        self.libraries(&Tool::of_machine(from.to_owned()))?;
        Ok(Path::new("/").join(path).display().to_string())
    }

    fn libraries(&mut self, tool: &Tool) -> Result<()> {
        for library in tool.libraries()? {
            self.copy(&library.from, &library.place)?;
        }
        Ok(())
    }

    fn archive(&self, mut cpio: Command, path: &Path) -> Result<PathBuf> {
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

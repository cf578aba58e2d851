//! Programs that the guest needs, or its host: this machine's, else those of Debian's packages,
//! unpacked for us and not installed. An installation would need root, and may not be possible at
//! all where a package of another release is in its way.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::setup::packages;

/// Where Debian's packages have programs and libraries, relative to where they are unpacked.
const PROGRAMS: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];

/// A program by its name, and the package of Debian that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

/// A program that is there.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) program: PathBuf,
    /// Where its package is unpacked, if it is not the machine's own.
    root: Option<PathBuf>,
}

/// A library: where it is on this machine, and where a program looks for it that is not unpacked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Library {
    pub(super) from: PathBuf,
    pub(super) place: PathBuf,
}

impl Tool {
    /// The machine's own, or one of ours.
    pub(super) const fn of_machine(program: PathBuf) -> Self {
        Self { program, root: None }
    }

    /// Finds it on the `PATH` or among what is unpacked in `directory`, or unpacks it there.
    ///
    /// # Errors
    /// It could not be had; says why, and what to do.
    pub(super) fn ensure(directory: &Path, wanted: Wanted) -> Result<Self> {
        if let Some(program) = packages::on_path(wanted.program) {
            return Ok(Self::of_machine(program));
        }
        let root = directory.join("packages").join(wanted.package);
        if let Some(tool) = Self::below(&root, wanted.program) {
            return Ok(tool);
        }
        println!("  unpacking  {} of the package {}", wanted.program, wanted.package);
        let tool = unpack(wanted.package, &root).and_then(|()| {
            Self::below(&root, wanted.program).context("the package does not have it")
        });
        tool.with_context(|| {
            format!(
                "there is no {}, and it could not be had from Debian's package {} (hint: install \
                 it, so that it is found on the PATH)",
                wanted.program, wanted.package
            )
        })
    }

    fn below(root: &Path, program: &str) -> Option<Self> {
        let places = PROGRAMS.map(|place| root.join(place).join(program));
        let program = places.into_iter().find(|place| place.is_file())?;
        Some(Self { program, root: Some(root.to_owned()) })
    }

    /// A command of it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.lead(&mut command);
        command
    }

    /// Tells a command that runs it where its libraries are.
    pub(super) fn lead(&self, command: &mut Command) {
        if let Some(root) = &self.root {
            let places = LIBRARIES.map(|place| root.join(place).display().to_string());
            command.env("LD_LIBRARY_PATH", places.join(":"));
        }
    }

    /// The libraries that it needs; none for a static program.
    ///
    /// # Errors
    /// One is missing.
    pub(super) fn libraries(&self) -> Result<Vec<Library>> {
        let mut ldd = Command::new("ldd");
        self.lead(&mut ldd);
        let output = ldd.arg(&self.program).output().context("`ldd` did not start")?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let found = found_in(&printed).with_context(|| format!("{}", self.program.display()))?;
        Ok(found.into_iter().map(|path| self.library(Path::new(path))).collect())
    }

    fn library(&self, path: &Path) -> Library {
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        let place = path.strip_prefix(root).or_else(|_| path.strip_prefix("/")).unwrap_or(path);
        Library { from: path.to_owned(), place: place.to_owned() }
    }
}

/// Fetches a package and what it needs and this machine does not have, unpacks them beside, and
/// moves them into place, so that half of it is never used.
fn unpack(package: &str, root: &Path) -> Result<()> {
    if !packages::is_debian() {
        bail!("this is no Debian, whose package it is");
    }
    let half = root.with_extension("half");
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    let files = half.join("files");
    fs::create_dir_all(&files).with_context(|| format!("{}", files.display()))?;
    if fetch(package, &files).is_err() {
        // The present lists do not lead to it.
        packages::update().map_err(|end| anyhow!("`apt-get update` failed:\n{end}"))?;
        fetch(package, &files).map_err(|end| anyhow!("{end}"))?;
    }
    let tree = half.join("root");
    for entry in fs::read_dir(&files)? {
        packages::unpack(&entry?.path(), &tree).map_err(|end| anyhow!("{end}"))?;
    }
    turn_links(&tree, root)?;
    if root.exists() {
        // Of another time, without the program.
        fs::remove_dir_all(root)?;
    }
    fs::rename(&tree, root).with_context(|| format!("{}", root.display()))?;
    fs::remove_dir_all(&half).context("removing what was fetched")
}

/// Lets links between programs, such as Debian's from `depmod` to `/bin/kmod`, lead to where `tree`
/// will be instead of to this machine's own.
fn turn_links(tree: &Path, root: &Path) -> Result<()> {
    for directory in PROGRAMS.map(|place| tree.join(place)) {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let link = entry?.path();
            if let Ok(target) = fs::read_link(&link)
                && let Ok(target) = target.strip_prefix("/")
            {
                fs::remove_file(&link)?;
                symlink(root.join(target), &link)?;
            }
        }
    }
    Ok(())
}

fn fetch(package: &str, files: &Path) -> Result<(), String> {
    let wanted = packages::installation(package)?;
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    packages::download(&wanted, files)
}

/// The paths that `ldd` prints.
fn found_in(printed: &str) -> Result<Vec<&str>> {
    if let Some(line) = printed.lines().find(|line| line.contains("not found")) {
        bail!("a library is missing: {}", line.trim());
    }
    Ok(printed.split_whitespace().filter(|word| word.starts_with('/')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;

    #[test]
    fn the_libraries_are_what_ldd_found_and_the_loader() {
        let printed = "\tlinux-vdso.so.1 (0x00007f40ddd0b000)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f40dd61e000)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f40ddd0d000)\n";
        let wanted = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(found_in(printed).unwrap(), wanted);
    }

    #[test]
    fn a_static_program_needs_no_library_and_a_missing_one_is_named() {
        assert!(found_in("\tnot a dynamic executable\n").unwrap().is_empty());
        assert!(found_in("\tstatically linked\n").unwrap().is_empty());
        let error = found_in("\tlibmnl.so.0 => not found\n").unwrap_err().to_string();
        assert!(error.contains("libmnl.so.0"), "{error}");
    }

    #[test]
    fn an_unpacked_program_uses_its_own_libraries_and_they_go_where_others_look() {
        let root = Some(PathBuf::from("/t/packages/nftables"));
        let tool = Tool { program: "/t/packages/nftables/usr/sbin/nft".into(), root };
        let command = tool.command();
        let set: Vec<_> = command.get_envs().collect();
        let path = "/t/packages/nftables/usr/lib/x86_64-linux-gnu:\
            /t/packages/nftables/lib/x86_64-linux-gnu";
        assert_eq!(set, [("LD_LIBRARY_PATH".as_ref(), Some(path.as_ref()))]);
        let place = |path| tool.library(Path::new(path)).place;
        let own = "/t/packages/nftables/usr/lib/x86_64-linux-gnu/libnftables.so.1";
        assert_eq!(place(own), Path::new("usr/lib/x86_64-linux-gnu/libnftables.so.1"));
        assert_eq!(
            place("/lib/x86_64-linux-gnu/libc.so.6"),
            Path::new("lib/x86_64-linux-gnu/libc.so.6")
        );
    }

    #[test]
    fn the_machine_s_own_program_is_run_as_it_is() {
        assert_eq!(Tool::of_machine("/usr/sbin/nft".into()).command().get_envs().count(), 0);
    }

    #[test]
    fn a_link_to_another_program_leads_there_once_the_package_is_in_its_place() {
        let place = run::target_dir().join(format!("links-test-{}", std::process::id()));
        let (tree, root) = (place.join("half"), place.join("kmod"));
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::create_dir_all(tree.join("sbin")).unwrap();
        fs::write(tree.join("bin/kmod"), "").unwrap();
        symlink("/bin/kmod", tree.join("sbin/depmod")).unwrap();
        symlink("kmod", tree.join("bin/lsmod")).unwrap();
        turn_links(&tree, &root).unwrap();
        fs::rename(&tree, &root).unwrap();
        let found = ["depmod", "lsmod"].map(|name| Tool::below(&root, name).is_some());
        fs::remove_dir_all(&place).unwrap();
        assert_eq!(found, [true, true]);
    }

    #[test]
    fn a_program_is_found_where_its_package_has_it() {
        let root = run::target_dir().join(format!("tools-test-{}", std::process::id()));
        assert!(Tool::below(&root, "depmod").is_none());
        fs::create_dir_all(root.join("sbin")).unwrap();
        fs::write(root.join("sbin/depmod"), "").unwrap();
        let found = Tool::below(&root, "depmod").unwrap().program;
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, root.join("sbin/depmod"));
    }
}

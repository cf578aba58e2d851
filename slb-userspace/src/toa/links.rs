//! The pins of what is attached: a link for each program, and the maps beside them.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use aya::programs::links::{FdLink, PinnedLink};

use super::Error;

/// Programs of the object; the link of each is pinned.
pub(super) const PROGRAMS: [&str; 3] = ["toa_options", "toa_peer_v4", "toa_peer_v6"];
/// Maps of the object, pinned by their names.
pub(super) const MAPS: [&str; 3] = ["TOA_CLIENTS", "TOA_NETWORKS", "TOA_COUNTERS"];

/// `BPF_FS_MAGIC` of `statfs(2)`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// The directory of pins.
pub(super) struct Pins<'a>(&'a Path);

/// A link that is pinned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) id: u32,
    pub(super) program: u32,
    /// Number of its cgroup; 0 once that is gone.
    pub(super) cgroup: u64,
}

impl<'a> Pins<'a> {
    pub(super) const fn new(directory: &'a Path) -> Self {
        Self(directory)
    }

    /// Makes the directory, on a BPF file system.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        let existing = self.0.ancestors().find(|path| path.exists()).unwrap_or(self.0);
        let kind = nix::sys::statfs::statfs(existing)
            .map_err(|error| Error::of_path(existing, &error.into()))?
            .filesystem_type();
        if kind.0 != BPF_FS_MAGIC {
            return Err(Error::of_caller(
                format!("{}: not on a BPF file system", self.0.display()),
                "`mount -t bpf bpf /sys/fs/bpf`, and a --pin-dir under /sys/fs/bpf",
            ));
        }
        fs::create_dir_all(self.0).map_err(|error| Error::of_path(self.0, &error))
    }

    /// Takes the directory for this process alone; absent if there is none.
    pub(super) fn lock(&self) -> Result<Option<File>, Error> {
        let directory = match File::open(self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| Error::of_path(self.0, &error))?,
        };
        match directory.try_lock() {
            Ok(()) => Ok(Some(directory)),
            Err(fs::TryLockError::WouldBlock) => Err(Error::of_caller(
                format!("{}: another `slb toa` is at work here", self.0.display()),
                "try again in a moment",
            )),
            Err(fs::TryLockError::Error(error)) => Err(Error::of_path(self.0, &error)),
        }
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Pins a link in place of the one that the program may have there, which ends by that.
    pub(super) fn replace(&self, program: &str, link: FdLink) -> Result<(), Error> {
        let (new, place) = (self.new_link(program), self.link(program));
        self.remove(&new)?;
        link.pin(&new).map_err(|error| Error::of_kernel("pinning a link", &error))?;
        fs::rename(&new, &place).map_err(|error| Error::of_path(&place, &error))
    }

    /// The pinned link of a program.
    pub(super) fn read(&self, program: &str) -> Result<Option<Link>, Error> {
        let path = self.link(program);
        if !exists(&path)? {
            return Ok(None);
        }
        let failed = |error| Error::of_kernel(&path.display().to_string(), &error);
        let link = FdLink::from(PinnedLink::from_pin(&path).map_err(failed)?);
        let info = link.info().map_err(failed)?;
        let cgroup = cgroup_of(info.id());
        Ok(Some(Link { id: info.id(), program: info.program_id(), cgroup }))
    }

    /// Removes every pin, links first, and the directory if nothing else is in it.
    pub(super) fn remove_all(&self) -> Result<(), Error> {
        for program in PROGRAMS {
            self.remove(&self.new_link(program))?;
            self.remove(&self.link(program))?;
        }
        MAPS.iter().try_for_each(|name| self.remove(&self.map(name)))?;
        match fs::remove_dir(self.0) {
            Err(error) if !is_left_in_place(&error) => Err(Error::of_path(self.0, &error)),
            _ => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::of_path(path, &error)),
            _ => Ok(()),
        }
    }

    fn link(&self, program: &str) -> PathBuf {
        self.0.join(format!("link-{program}"))
    }

    /// Where a link is while it is being put in place of another.
    fn new_link(&self, program: &str) -> PathBuf {
        self.0.join(format!("link-{program}-new"))
    }
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(|error| Error::of_path(path, &error))
}

fn is_left_in_place(error: &io::Error) -> bool {
    use ErrorKind::{DirectoryNotEmpty, NotFound, ResourceBusy};
    matches!(error.kind(), NotFound | DirectoryNotEmpty | ResourceBusy)
}

/// The cgroup of a link that this process has open.
fn cgroup_of(link: u32) -> u64 {
    let open = fs::read_dir("/proc/self/fdinfo").into_iter().flatten().filter_map(Result::ok);
    let mut told = open.filter_map(|file| fs::read_to_string(file.path()).ok());
    told.find_map(|text| cgroup_told(&text, link)).unwrap_or(0)
}

/// What the kernel tells of an open file, if that is this link: its cgroup.
fn cgroup_told(text: &str, link: u32) -> Option<u64> {
    let value = |name: &str| -> Option<u64> {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.next()?.trim().parse().ok()
    };
    if value("link_id") == Some(link.into()) { value("cgroup_id") } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_of_a_link_is_read_from_what_the_kernel_tells_of_it() {
        let text = "pos:\t0\nlink_type:\tcgroup\nlink_id:\t31\nprog_tag:\t5f\nprog_id:\t88\n\
                    cgroup_id:\t4294967298\nattach_type:\t3\n";
        assert_eq!(cgroup_told(text, 31), Some(4_294_967_298));
        assert_eq!(cgroup_told(text, 3), None);
        assert_eq!(cgroup_told("pos:\t0\nflags:\t02\n", 31), None);
    }

    #[test]
    fn a_pin_directory_elsewhere_is_refused_with_a_hint_and_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("toa");
        let error = Pins::new(&path).prepare().unwrap_err();
        assert!(error.to_string().ends_with("toa: not on a BPF file system"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("mount -t bpf")));
        assert!(!path.exists());
    }
}

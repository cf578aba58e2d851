//! The pin directory: maps and links under it go on working while no daemon runs.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use aya::maps::MapData;
use slb_common::{hash::Seed, meta::Meta};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    Error,
    load::PINNED,
    mapping::{Access, Mapping},
};

/// `BPF_FS_MAGIC` of `statfs(2)`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// How pins of programs that packets are handed over to begin.
const STAGES: &str = "stages-";

/// A directory of a BPF file system.
#[derive(Clone, Debug)]
pub struct Pins {
    directory: PathBuf,
}

impl Pins {
    /// The pins under `directory`; nothing is touched yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Pin of a map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Pin of the link of an interface.
    pub fn link(&self, interface: &str) -> PathBuf {
        self.directory.join(format!("link-{interface}"))
    }

    /// Pins of the programs that packets are handed over to: each daemon that has started made one.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn stages(&self) -> Result<Vec<PathBuf>, Error> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.error(&self.directory, error)),
        };
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let is_stages = |path: &PathBuf| {
            path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(STAGES))
        };
        Ok(paths.filter(is_stages).collect())
    }

    /// A pin for such programs that nobody has taken yet.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn next_stages(&self) -> Result<PathBuf, Error> {
        let taken = self.stages()?;
        let free = |number: &u32| self.directory.join(format!("{STAGES}{number}"));
        let mut paths = (0..=u32::MAX).map(|number| free(&number));
        Ok(paths.find(|path| !taken.contains(path)).unwrap_or_default())
    }

    /// Interfaces whose links are pinned.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn linked(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.error(&self.directory, error)),
        };
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
        Ok(names.filter_map(|name| interface_of(&name)).collect())
    }

    /// Makes the directory, and mounts the BPF file system at /sys/fs/bpf if it has none.
    ///
    /// # Errors
    /// It is on no BPF file system, or cannot be made.
    pub fn prepare(&self) -> Result<(), Error> {
        let root = Path::new("/sys/fs/bpf");
        if self.directory.starts_with(root) && !on_bpf_fs(root) {
            nix::mount::mount(
                Some("bpf"),
                root,
                Some("bpf"),
                nix::mount::MsFlags::empty(),
                None::<&str>,
            )
            .map_err(|error| {
                self.error(root, format!("mounting the BPF file system failed: {error}"))
            })?;
        }
        fs::create_dir_all(&self.directory).map_err(|error| self.error(&self.directory, error))?;
        if on_bpf_fs(&self.directory) {
            return Ok(());
        }
        Err(self.error(
            &self.directory,
            "not on a BPF file system\nhint: set dataplane.pin_dir to a directory under /sys/fs/bpf",
        ))
    }

    /// Takes the directory for this process alone, until the file is dropped or the process ends,
    /// however it ends: two daemons would undo each other's writes.
    ///
    /// # Errors
    /// Another process has it, or it cannot be opened.
    pub fn lock(&self) -> Result<fs::File, Error> {
        let directory =
            fs::File::open(&self.directory).map_err(|error| self.error(&self.directory, error))?;
        match directory.try_lock() {
            Ok(()) => Ok(directory),
            Err(fs::TryLockError::WouldBlock) => Err(self.error(
                &self.directory,
                "a running slbd uses it\nhint: stop that one first; one host needs one slbd",
            )),
            Err(fs::TryLockError::Error(error)) => Err(self.error(&self.directory, error)),
        }
    }

    /// The record of finished maps.
    ///
    /// # Errors
    /// There is one that cannot be read.
    pub fn read_meta(&self) -> Result<Option<Meta>, Error> {
        let path = self.map("META");
        if !path.exists() {
            return Ok(None);
        }
        let map = MapData::from_pin(&path).map_err(|error| self.error(&path, error))?;
        let meta = read_first::<Meta>(map.fd().as_fd())?;
        Ok((meta.abi != 0).then_some(meta))
    }

    /// Removes all pinned maps.
    ///
    /// # Errors
    /// A pin that cannot be removed.
    pub fn remove_maps(&self) -> Result<(), Error> {
        PINNED.iter().try_for_each(|name| self.remove(&self.map(name)))
    }

    /// Removes everything: links first, so that no packet meets a data plane without maps.
    ///
    /// # Errors
    /// A pin that cannot be removed.
    pub fn remove_all(&self) -> Result<Vec<String>, Error> {
        let interfaces = self.linked()?;
        for interface in &interfaces {
            self.remove(&self.link(interface))?;
        }
        self.remove_maps()?;
        self.stages()?.iter().try_for_each(|path| self.remove(path))?;
        match fs::remove_dir(&self.directory) {
            Err(error) if !left_in_place(&error) => Err(self.error(&self.directory, error)),
            _ => Ok(interfaces),
        }
    }

    /// Removes one pin, if it is there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error(path, error)),
            _ => Ok(()),
        }
    }

    fn error(&self, path: &Path, error: impl ToString) -> Error {
        Error::Path { path: path.to_owned(), error: error.to_string() }
    }
}

/// True if a directory is gone, or has something of others in it, or is a mount point: then it
/// is not ours to remove.
fn left_in_place(error: &io::Error) -> bool {
    use io::ErrorKind::{DirectoryNotEmpty, NotFound, ResourceBusy};
    matches!(error.kind(), NotFound | DirectoryNotEmpty | ResourceBusy)
}

fn interface_of(pin: &OsStr) -> Option<String> {
    pin.to_str()?.strip_prefix("link-").map(str::to_owned)
}

fn on_bpf_fs(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|stat| stat.filesystem_type().0 == BPF_FS_MAGIC)
}

/// A seed from the kernel's random numbers.
///
/// # Errors
/// `/dev/urandom` cannot be read.
pub fn random_seed() -> Result<Seed, Error> {
    Ok(Seed::new(random()?))
}

/// Words that nobody can guess.
///
/// # Errors
/// The system's.
pub fn random<T: Default + FromBytes + IntoBytes>() -> Result<T, Error> {
    let mut random = T::default();
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(random.as_mut_bytes()))
        .map_err(|error| Error::System { call: "reading /dev/urandom", error })?;
    Ok(random)
}

/// Reads the only element of an array.
fn read_first<T>(map: BorrowedFd<'_>) -> Result<T, Error>
where
    T: FromBytes + IntoBytes + zerocopy::Immutable,
{
    Ok(Mapping::<T>::new(map, 1, Access::Read)?.get(0))
}

/// Writes the only element of an array.
///
/// # Errors
/// It cannot be mapped.
pub(super) fn write_first<T>(map: BorrowedFd<'_>, value: &T) -> Result<(), Error>
where
    T: FromBytes + IntoBytes + zerocopy::Immutable,
{
    Mapping::<T>::new(map, 1, Access::Write)?.set(0, value);
    Ok(())
}

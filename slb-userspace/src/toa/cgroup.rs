//! Control groups of version 2: the root, and which of them a link is on.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::Error;

/// `CGROUP2_SUPER_MAGIC` of `statfs(2)`.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// The cgroup at `path`, or the root of all.
pub(super) fn open(path: Option<&Path>) -> Result<File, Error> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => root()?,
    };
    let directory = File::open(&path).map_err(|error| Error::of_path(&path, &error))?;
    let kind = nix::sys::statfs::fstatfs(&directory)
        .map_err(|error| Error::of_path(&path, &error.into()))?
        .filesystem_type();
    if kind.0 == CGROUP2_MAGIC {
        return Ok(directory);
    }
    Err(Error::of_caller(
        format!("{}: not a cgroup of version 2", path.display()),
        "--cgroup takes a directory of a file system of type cgroup2: \
         `grep cgroup2 /proc/mounts` names where that is mounted",
    ))
}

/// Where cgroup2 is mounted.
pub(super) fn root() -> Result<PathBuf, Error> {
    let table = Path::new("/proc/self/mounts");
    let mounts = fs::read_to_string(table).map_err(|error| Error::of_path(table, &error))?;
    root_in(&mounts).ok_or_else(|| {
        Error::of_caller(
            "no cgroup2 is mounted",
            "`mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified`, \
             or boot with systemd.unified_cgroup_hierarchy=1",
        )
    })
}

fn root_in(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind) = (words.next()?, words.next()?);
        // proc(5): the only characters that the table writes differently.
        (kind == "cgroup2").then(|| path.replace("\\040", " ").into())
    })
}

/// The cgroup of a number, which is that of its directory.
pub(super) fn by_id(id: u64) -> Option<PathBuf> {
    let mut waiting = vec![root().ok()?];
    while let Some(path) = waiting.pop() {
        if fs::metadata(&path).is_ok_and(|found| found.ino() == id) {
            return Some(path);
        }
        let entries = fs::read_dir(&path).into_iter().flatten().filter_map(Result::ok);
        let directories = entries.filter(|one| one.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(directories.map(|one| one.path()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_where_cgroup2_is_mounted_beside_version_1_or_alone() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        assert_eq!(root_in(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let alone = "none /sys/fs/my\\040groups cgroup2 rw 0 0\n";
        assert_eq!(root_in(alone), Some("/sys/fs/my groups".into()));
        assert_eq!(root_in("cgroup /sys/fs/cgroup cgroup rw 0 0\n"), None);
    }

    #[test]
    fn a_directory_that_is_no_cgroup_is_told_with_a_hint() {
        let error = open(Some(Path::new("/"))).unwrap_err();
        assert_eq!(error.to_string(), "/: not a cgroup of version 2");
        assert!(error.hint().is_some_and(|hint| hint.contains("/proc/mounts")));
    }
}

//! The socket file: made for the daemon and its group, never taken from a living daemon.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

/// Owner and group may ask and change, others may not.
const MODE: u32 = 0o660;

/// Why there is no socket to listen on.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Somebody answers on it.
    #[error("another slbd answers on {}", .0.display())]
    InUse(PathBuf),
    /// Something else has the name.
    #[error("{} is there and not a socket: remove it, or set another daemon.socket", .0.display())]
    NotASocket(PathBuf),
    /// The file system refuses.
    #[error("socket {}: {what}: {source}", .path.display())]
    Io {
        /// The socket file.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// A listening socket; its file goes with it.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode, by which a successor's file of the same name is told apart.
    identity: (u64, u64),
}

/// Makes the directory and the socket, in place of one that nobody answers on.
///
/// # Errors
/// Another daemon answers on it, or the file system refuses.
pub(super) async fn bind(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |what| {
        move |source| SocketError::Io { path: path.to_owned(), what, source }
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("making its directory"))?;
    }
    if is_taken(path).await? {
        return Err(SocketError::InUse(path.to_owned()));
    }
    // Under a name of its own until it has its mode: no moment with a wider one, and the rename
    // replaces a stale socket in one step.
    let own = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&own);
    let listener = UnixListener::bind(&own).map_err(failed("binding"))?;
    fs::set_permissions(&own, fs::Permissions::from_mode(MODE)).map_err(failed("setting mode"))?;
    fs::rename(&own, path).map_err(failed("giving it its name"))?;
    let identity = identity(path).map_err(failed("looking at it"))?;
    Ok((listener, SocketFile { path: path.to_owned(), identity }))
}

/// Whether a daemon answers on the socket.
async fn is_taken(path: &Path) -> Result<bool, SocketError> {
    let looking = |source| SocketError::Io { path: path.to_owned(), what: "looking at it", source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(looking(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(SocketError::Io {
            path: path.to_owned(),
            what: "asking whether another slbd answers",
            source: error,
        }),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Left behind it does no harm: the next daemon finds that nobody answers.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_for_owner_and_group_in_a_directory_made_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/slb/slb.sock");
        let (_listener, _file) = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "nothing but the socket stays behind");
    }

    #[tokio::test]
    async fn a_socket_that_somebody_answers_on_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slb.sock");
        let (_listener, _file) = bind(&path).await.unwrap();
        let error = bind(&path).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, SocketError::InUse(_)), "{error}");
        assert!(UnixStream::connect(&path).await.is_ok());
    }

    #[tokio::test]
    async fn a_socket_that_a_dead_daemon_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slb.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).await.is_err());
        let (_listener, _file) = bind(&path).await.unwrap();
        assert!(UnixStream::connect(&path).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slb.sock");
        fs::write(&path, "precious").unwrap();
        let error = bind(&path).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, SocketError::NotASocket(_)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn the_socket_file_goes_with_its_owner_but_a_successors_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slb.sock");
        let (listener, file) = bind(&path).await.unwrap();
        drop(listener);
        let (_successor, successors) = bind(&path).await.unwrap();
        drop(file);
        assert!(path.exists());
        drop(successors);
        assert!(!path.exists());
    }
}

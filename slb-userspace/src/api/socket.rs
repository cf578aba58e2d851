//! The socket file: made for the daemon and its group, never taken from a living daemon.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
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
    #[error("socket {}: {what}: {reason}", .path.display())]
    Io {
        /// The socket file.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// The system's reason.
        reason: io::Error,
    },
}

/// Makes the directory and the socket, in place of one that nobody answers on.
///
/// # Errors
/// Another daemon answers on it, or the file system refuses.
pub(super) async fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |what| move |reason| SocketError::Io { path: path.to_owned(), what, reason };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("making its directory"))?;
    }
    if is_taken(path).await? {
        return Err(SocketError::InUse(path.to_owned()));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("removing the one that nobody answers on")(error));
        }
        _ => {}
    }
    // Until it has its mode the umask guards it: with any usual one only the owner may connect.
    let listener = UnixListener::bind(path).map_err(failed("binding"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(failed("setting mode"))?;
    Ok(listener)
}

/// Whether a daemon answers on the socket.
async fn is_taken(path: &Path) -> Result<bool, SocketError> {
    let looking = |reason| SocketError::Io { path: path.to_owned(), what: "looking at it", reason };
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
            reason: error,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_for_owner_and_group_in_a_directory_made_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/slb/slb.sock");
        let _listener = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "nothing but the socket stays behind");
    }

    #[tokio::test]
    async fn a_socket_that_somebody_answers_on_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slb.sock");
        let _listener = bind(&path).await.unwrap();
        let error = bind(&path).await.unwrap_err();
        assert!(matches!(error, SocketError::InUse(_)), "{error}");
        assert!(UnixStream::connect(&path).await.is_ok());
    }

    #[tokio::test]
    async fn a_socket_that_a_dead_daemon_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slb.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).await.is_err());
        let _listener = bind(&path).await.unwrap();
        assert!(UnixStream::connect(&path).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slb.sock");
        fs::write(&path, "precious").unwrap();
        let error = bind(&path).await.unwrap_err();
        assert!(matches!(error, SocketError::NotASocket(_)), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}

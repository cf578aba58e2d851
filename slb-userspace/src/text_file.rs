//! A text that an operator keeps in a file beside the configuration: read whole, if it is a regular
//! file and no longer than it may be. Devices need not end, and pipes need not answer.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// The system's, or in words why it is not read: it is no file, too long, or no UTF-8.
pub fn read(path: &Path, most: u64) -> io::Result<String> {
    // Opening a pipe waits for who writes into it.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("it is longer than {most} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_long_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), "12345");
        assert_eq!(read(&path, 4).unwrap_err().to_string(), "it is longer than 4 bytes");
        for other in [directory.path(), Path::new("/dev/zero")] {
            assert_eq!(read(other, 5).unwrap_err().to_string(), "it is not a file");
        }
    }
}

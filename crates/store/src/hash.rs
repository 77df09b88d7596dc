use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use rustix::fs::Advice;
use sha2::{Digest, Sha256};

const BLOCK: usize = 1024 * 1024;

/// The SHA-256 of a file, in lower-case hex as `sha256sum` prints it, and its length in bytes.
///
/// The file is first dropped from the page cache, so that what is hashed comes from the disk; pages
/// not yet written cannot be dropped, so fsync the file before. Memory: one block of 1 MiB.
/// `progress` is told the bytes of each block, and may end the work.
///
/// # Errors
/// Those of reading; [`io::ErrorKind::Interrupted`] if `progress` ended the work.
pub fn hash_file(file: &File, mut progress: impl FnMut(u64) -> ControlFlow<()>) -> io::Result<(String, u64)> {
    rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?;
    let mut block = vec![0; BLOCK];
    let mut hasher = Sha256::new();
    let mut offset = 0;
    loop {
        let read = match file.read_at(&mut block, offset) {
            Ok(0) => break,
            Ok(read) => read,
            // A signal, not the caller's wish to stop.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&block[..read]);
        offset += read as u64;
        if progress(read as u64).is_break() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok((hex, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha256sums() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let content: Vec<u8> = (0..3 * BLOCK + 7).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let mut seen = 0;
        let (hex, bytes) = hash_file(&File::open(&path).unwrap(), |read| {
            seen += read;
            ControlFlow::Continue(())
        })
        .unwrap();
        let sum = std::process::Command::new("sha256sum").arg(&path).output().unwrap().stdout;
        assert_eq!(hex.as_bytes(), &sum[..64]);
        assert_eq!((bytes, seen), (content.len() as u64, content.len() as u64));
    }

    #[test]
    fn it_can_be_ended() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::write(&path, b"x").unwrap();
        let error = hash_file(&File::open(&path).unwrap(), |_| ControlFlow::Break(())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}

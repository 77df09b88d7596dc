//! The SHA-256 that etcd appends to the content of a snapshot.

use std::fs::File;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use crate::SnapshotError;

/// Bytes of the SHA-256 at the end of the file.
pub(crate) const TRAILER_BYTES: u64 = 32;

const BUFFER_BYTES: u64 = 256 * 1024;

/// SHA-256 in lower-case hex.
pub(crate) struct Digests {
    /// Of the content, as the trailer has it.
    pub(crate) content: String,
    /// Of the whole file, as `sha256sum` prints it.
    pub(crate) file: String,
}

/// Reads the whole file in order and compares the hash of its first `content_bytes` with the trailer after them.
pub(crate) fn check(file: &File, content_bytes: u64) -> Result<Digests, SnapshotError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; content_bytes.min(BUFFER_BYTES) as usize];
    let mut offset = 0;
    while offset < content_bytes {
        let piece = &mut buffer[..(content_bytes - offset).min(BUFFER_BYTES) as usize];
        read_exact(file, piece, offset)?;
        hasher.update(&piece);
        offset += piece.len() as u64;
    }
    let mut trailer = [0; TRAILER_BYTES as usize];
    read_exact(file, &mut trailer, content_bytes)?;
    let content = hasher.clone().finalize();
    if content[..] != trailer {
        return Err(SnapshotError::ChecksumMismatch { computed: hex(&content), recorded: hex(&trailer) });
    }
    hasher.update(trailer);
    Ok(Digests { content: hex(&content), file: hex(&hasher.finalize()) })
}

fn read_exact(file: &File, into: &mut [u8], offset: u64) -> Result<(), SnapshotError> {
    match file.read_exact_at(into, offset) {
        Ok(()) => Ok(()),
        Err(source) => Err(SnapshotError::Read { offset, source }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! The SHA-256 that etcd appends to the content of a snapshot.

use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

use crate::{SnapshotError, Source};

/// Bytes of the SHA-256 at the end of the file.
pub(crate) const TRAILER_BYTES: u64 = 32;

/// A piece stays in the processor's cache between being read and being hashed.
const BUFFER_BYTES: u64 = 256 * 1024;

/// How much the system is asked to read ahead at a time.
const AHEAD_BYTES: u64 = 8 * 1024 * 1024;

/// SHA-256 in lower-case hex.
pub(crate) struct Digests {
    /// Of the content, as the trailer has it.
    pub(crate) content: String,
    /// Of the whole file, as `sha256sum` prints it.
    pub(crate) file: String,
}

/// Reads the whole source in order and compares the hash of its first `content_bytes` with the trailer after them.
/// `each` is told after every piece how many bytes have been hashed, and may end it.
pub(crate) fn check(
    source: &dyn Source,
    content_bytes: u64,
    mut each: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Digests, SnapshotError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; content_bytes.min(BUFFER_BYTES) as usize];
    let (mut offset, mut announced) = (0, 0);
    while offset < content_bytes {
        if announced < content_bytes && announced < offset + AHEAD_BYTES / 2 {
            source.will_need(announced, AHEAD_BYTES);
            announced += AHEAD_BYTES;
        }
        let piece = &mut buffer[..(content_bytes - offset).min(BUFFER_BYTES) as usize];
        read_exact(source, piece, offset)?;
        hasher.update(&piece);
        offset += piece.len() as u64;
        if each(offset).is_break() {
            return Err(SnapshotError::Stopped);
        }
    }
    let mut trailer = [0; TRAILER_BYTES as usize];
    read_exact(source, &mut trailer, content_bytes)?;
    let content = hasher.clone().finalize();
    if content[..] != trailer {
        return Err(SnapshotError::ChecksumMismatch { computed: hex(&content), recorded: hex(&trailer) });
    }
    hasher.update(trailer);
    Ok(Digests { content: hex(&content), file: hex(&hasher.finalize()) })
}

fn read_exact(from: &dyn Source, into: &mut [u8], offset: u64) -> Result<(), SnapshotError> {
    from.read_exact_at(into, offset).map_err(|source| SnapshotError::Read { offset, source })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! The SHA-256 that etcd appends to the content of a snapshot.

use sha2::{Digest, Sha256};

use crate::{SnapshotError, Source};

/// Bytes of the SHA-256 at the end of the file.
pub(crate) const TRAILER_BYTES: u64 = 32;

/// SHA-256 in lower-case hex.
pub(crate) struct Digests {
    /// Of the content, as the trailer has it.
    pub(crate) content: String,
    /// Of the whole file, as `sha256sum` prints it.
    pub(crate) file: String,
}

/// The hash of the content from its beginning on.
#[derive(Default)]
pub(crate) struct Hashing {
    hasher: Sha256,
    bytes: u64,
}

impl Hashing {
    /// How many bytes have been hashed.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the bytes that follow.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// Compares the hash with the trailer, which follows what has been hashed.
    pub(crate) fn end(mut self, source: &dyn Source) -> Result<Digests, SnapshotError> {
        let mut trailer = [0; TRAILER_BYTES as usize];
        let read = source.read_exact_at(&mut trailer, self.bytes);
        read.map_err(|source| SnapshotError::Read { offset: self.bytes, source })?;
        let content = self.hasher.clone().finalize();
        if content[..] != trailer {
            return Err(SnapshotError::ChecksumMismatch { computed: hex(&content), recorded: hex(&trailer) });
        }
        self.hasher.update(trailer);
        Ok(Digests { content: hex(&content), file: hex(&self.hasher.finalize()) })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

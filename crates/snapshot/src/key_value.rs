//! The entries of bucket `key`: a revision, and the `mvccpb.KeyValue` that was written at it.

use std::hash::{BuildHasher, Hasher};

use crate::SnapshotError;
use crate::blocks::{Blocks, Span};
use crate::protobuf::{Field, Fields};
use crate::revision::Revision;
use crate::tree::Entry;

/// Keys are hashed in pieces of this size, so that a key has one hash wherever it lies in the file.
const HASHED_BYTES: u64 = 1024;

/// What happened to a key at a revision.
pub(crate) struct Event {
    pub(crate) revision: Revision,
    pub(crate) tombstone: bool,
    pub(crate) key: Span,
    pub(crate) value: Span,
}

impl Event {
    pub(crate) fn read(blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<Self, SnapshotError> {
        let (revision, tombstone) =
            Revision::parse(entry.key).map_err(|problem| entry.invalid(format!("its key {problem}")))?;
        let nothing = Span { end: entry.value.start, ..entry.value };
        let (mut key, mut value, mut mod_revision) = (nothing, nothing, 0);
        let mut fields = Fields::new(blocks, entry.value, entry);
        while let Some(field) = fields.next()? {
            // key, create_revision, mod_revision, version, value, lease
            match field {
                Field::Bytes(1, span) => key = span,
                Field::Varint(3, number) => mod_revision = number,
                Field::Bytes(5, span) => value = span,
                Field::Varint(1 | 5, _) | Field::Bytes(2..=4 | 6, _) | Field::Fixed(1..=6) => {
                    return Err(entry.invalid("is not a key with its value"));
                }
                _ => {}
            }
        }
        // `etcdutl snapshot restore --bump-revision` puts an entry without any value at the new revision.
        if entry.value.len() > 0 && key.len() == 0 {
            return Err(entry.invalid("has no key"));
        }
        if entry.value.len() > 0 && !tombstone && mod_revision != revision.main as u64 {
            return Err(entry.invalid(format!("was written at revision {mod_revision} but lies at {}", revision.main)));
        }
        Ok(Self { revision, tombstone, key, value })
    }

    /// A hash of the key.
    pub(crate) fn key_hash(&self, blocks: &mut Blocks<'_>, hashes: &impl BuildHasher) -> Result<u64, SnapshotError> {
        let mut hasher = hashes.build_hasher();
        let mut start = self.key.start;
        while start < self.key.end {
            let piece = Span { start, end: self.key.end.min(start + HASHED_BYTES) };
            blocks.for_each_chunk(piece, |bytes| hasher.write(bytes))?;
            start = piece.end;
        }
        Ok(hasher.finish())
    }
}

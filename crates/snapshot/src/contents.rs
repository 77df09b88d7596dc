//! What the entries of all buckets say, gathered on the way through the tree.

use std::hash::RandomState;

use crate::blocks::Blocks;
use crate::digest::{Digests, TRAILER_BYTES};
use crate::encryption::EncryptedValues;
use crate::key_value::Event;
use crate::live_keys::LiveKeys;
use crate::meta::Meta;
use crate::revision::Revision;
use crate::schema::Schema;
use crate::tree::{Entry, Visit};
use crate::{Description, SnapshotError};

/// Gathers from all buckets, in one pass.
pub(crate) struct Contents {
    /// CRC-32C over the buckets' names, keys and values.
    hash: u32,
    entries: u64,
    key_revisions: u64,
    revision: Option<Revision>,
    encrypted: EncryptedValues,
    schema: Schema,
    has_key_bucket: bool,
    has_meta_bucket: bool,
    /// None if the live keys are counted in passes of their own.
    keys: Option<LiveKeys<()>>,
    hashes: RandomState,
}

impl Contents {
    pub(crate) fn new(keys: Option<LiveKeys<()>>) -> Self {
        Self {
            hash: 0,
            entries: 0,
            key_revisions: 0,
            revision: None,
            encrypted: EncryptedValues::default(),
            schema: Schema::default(),
            has_key_bucket: false,
            has_meta_bucket: false,
            keys,
            hashes: RandomState::new(),
        }
    }

    pub(crate) fn visit(&mut self, blocks: &mut Blocks<'_>, visit: Visit<'_>) -> Result<(), SnapshotError> {
        let entry = match visit {
            Visit::Page(_) => return Ok(()),
            Visit::Bucket(name) => {
                self.hash = crc32c::crc32c_append(self.hash, name);
                self.has_key_bucket |= name == b"key";
                self.has_meta_bucket |= name == b"meta";
                return Ok(());
            }
            Visit::Entry(entry) => entry,
        };
        self.entries += 1;
        self.hash = crc32c::crc32c_append(self.hash, entry.key);
        blocks.for_each_chunk(entry.value, |chunk| self.hash = crc32c::crc32c_append(self.hash, chunk))?;
        match entry.bucket {
            b"key" => self.event(blocks, entry),
            _ => self.schema.read(blocks, entry),
        }
    }

    fn event(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        let event = Event::read(blocks, entry)?;
        // The order of the keys' bytes has been checked; it allows only a put and a deletion to share a revision.
        if self.revision >= Some(event.revision) {
            return Err(entry.invalid(format!("repeats revision {}", event.revision.main)));
        }
        self.revision = Some(event.revision);
        self.key_revisions += 1;
        if let Some(keys) = &mut self.keys {
            keys.record(event.key_hash(blocks, &self.hashes)?, (), !event.tombstone);
        }
        self.encrypted.record(blocks, event.value)
    }

    /// Ends the pass. Gives what has been counted of the live keys, and how they were hashed.
    pub(crate) fn end(&mut self) -> Result<Option<(LiveKeys<()>, RandomState)>, SnapshotError> {
        for (there, bucket) in [(self.has_key_bucket, "key"), (self.has_meta_bucket, "meta")] {
            if !there {
                return Err(SnapshotError::BucketMissing { bucket });
            }
        }
        Ok(self.keys.take().map(|keys| (keys, self.hashes.clone())))
    }

    /// All of it, of a snapshot that is sound.
    pub(crate) fn describe(self, digests: Digests, meta: &Meta, in_use_bytes: u64, total_keys: u64) -> Description {
        let content_bytes = meta.pages * meta.page_size;
        let Self { schema, encrypted, .. } = self;
        Description {
            file_bytes: content_bytes + TRAILER_BYTES,
            content_bytes,
            in_use_bytes,
            page_bytes: meta.page_size,
            sha256: digests.file,
            content_sha256: digests.content,
            hash: self.hash,
            revision: self.revision.map_or(0, |revision| revision.main),
            scheduled_compact_revision: schema.scheduled_compact.map(|revision| revision.main),
            finished_compact_revision: schema.finished_compact.map(|revision| revision.main),
            total_keys,
            total_key_revisions: self.key_revisions,
            total_entries: self.entries,
            encrypted_values: encrypted.total,
            encryption: encrypted.list(),
            leases: schema.leases,
            members: schema.members,
            alarms: schema.alarms,
            auth_enabled: schema.auth_enabled,
            storage_version: schema.storage_version,
            cluster_version: schema.cluster_version,
            consistent_index: schema.consistent_index,
            raft_term: schema.raft_term,
        }
    }
}

//! What the entries of etcd's buckets say; `server/storage/schema` in etcd's source has their names and encodings.

use std::hash::{DefaultHasher, Hasher};

use serde::Deserialize;

use crate::blocks::{Blocks, Span};
use crate::live_keys::LiveKeys;
use crate::protobuf::{Field, Fields};
use crate::revision::Revision;
use crate::tree::{Entry, Visit};
use crate::{Alarm, AlarmKind, Member, SnapshotError};

/// Most bytes of a member's entry, and most members and alarms: far above what etcd can run with, far below what hurts.
const MAX_SMALL_VALUE_BYTES: u64 = 64 * 1024;
const MAX_LISTED: usize = 1024;

/// How the Kubernetes API server marks an encrypted value. Every key counts: its prefix in etcd can be chosen.
const ENCRYPTED: &[u8; 8] = b"k8s:enc:";

/// Keys are hashed in pieces of this size, so that a key has one hash wherever it lies in the file.
const HASHED_BYTES: u64 = 1024;

/// Gathers from all buckets, in one pass.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) hash: u32,
    pub(crate) entries: u64,
    pub(crate) revision: Option<Revision>,
    pub(crate) live_keys: LiveKeys,
    pub(crate) encrypted_values: u64,
    pub(crate) leases: u64,
    pub(crate) members: Vec<Member>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) auth_enabled: bool,
    pub(crate) scheduled_compact: Option<Revision>,
    pub(crate) finished_compact: Option<Revision>,
    pub(crate) storage_version: Option<String>,
    pub(crate) consistent_index: Option<u64>,
    pub(crate) raft_term: Option<u64>,
    has_key_bucket: bool,
    has_meta_bucket: bool,
}

/// An event of a key, from an entry of bucket `key`.
struct Event {
    revision: Revision,
    tombstone: bool,
    key_hash: u64,
    value: Span,
}

impl Contents {
    /// The first pass: everything.
    pub(crate) fn visit(&mut self, blocks: &mut Blocks<'_>, visit: Visit<'_>) -> Result<(), SnapshotError> {
        let entry = match visit {
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
            b"meta" => self.meta(blocks, entry),
            b"lease" => self.lease(blocks, entry),
            b"members" => self.member(blocks, entry),
            b"alarm" => self.alarm(blocks, entry),
            b"auth" if entry.key == b"authEnabled" => {
                self.auth_enabled = small_value(blocks, entry)? == [1];
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A further pass: only the keys that [`LiveKeys`] had no room for.
    pub(crate) fn count_keys(&mut self, blocks: &mut Blocks<'_>, visit: Visit<'_>) -> Result<(), SnapshotError> {
        if let Visit::Entry(entry) = visit
            && entry.bucket == b"key"
        {
            let event = read_event(blocks, entry)?;
            self.live_keys.record(event.key_hash, !event.tombstone);
        }
        Ok(())
    }

    /// Ends the first pass.
    pub(crate) fn check_buckets(&self) -> Result<(), SnapshotError> {
        for (there, bucket) in [(self.has_key_bucket, "key"), (self.has_meta_bucket, "meta")] {
            if !there {
                return Err(SnapshotError::BucketMissing { bucket });
            }
        }
        Ok(())
    }

    fn event(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        let event = read_event(blocks, entry)?;
        // The order of the keys' bytes has been checked; it allows only a put and a deletion to share a revision.
        if self.revision >= Some(event.revision) {
            return Err(entry.invalid(format!("repeats revision {}", event.revision.main)));
        }
        self.revision = Some(event.revision);
        self.live_keys.record(event.key_hash, !event.tombstone);
        if event.value.len() >= ENCRYPTED.len() as u64 && blocks.array(event.value.start)? == *ENCRYPTED {
            self.encrypted_values += 1;
        }
        Ok(())
    }

    fn meta(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        let revision = |value: Vec<u8>| Revision::parse_unmarked(&value).map_err(|problem| named(entry, problem));
        let number = |value: Vec<u8>| match value.try_into() {
            Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
            Err(_) => Err(named(entry, "is not a number of 8 bytes")),
        };
        let mut value = || small_value(blocks, entry);
        match entry.key {
            b"scheduledCompactRev" => self.scheduled_compact = Some(revision(value()?)?),
            b"finishedCompactRev" => self.finished_compact = Some(revision(value()?)?),
            b"consistent_index" => self.consistent_index = Some(number(value()?)?),
            b"term" => self.raft_term = Some(number(value()?)?),
            b"storageVersion" => {
                let version = String::from_utf8(value()?);
                self.storage_version = Some(version.map_err(|_| named(entry, "is not text"))?);
            }
            _ => {}
        }
        Ok(())
    }

    fn lease(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        if entry.key.len() != 8 {
            return Err(entry.invalid("has a key that is not a lease's id"));
        }
        let mut fields = Fields::new(blocks, entry.value, entry);
        while let Some(field) = fields.next()? {
            // leasepb.Lease: ID, TTL, RemainingTTL.
            if let Field::Bytes(1..=3, _) | Field::Fixed(1..=3) = field {
                return Err(entry.invalid("is not a lease"));
            }
        }
        self.leases += 1;
        Ok(())
    }

    fn member(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        /// etcd's `membership.Member`.
        #[derive(Deserialize)]
        struct Json {
            id: u64,
            #[serde(default)]
            name: String,
            #[serde(rename = "peerURLs")]
            peer_urls: Option<Vec<String>>,
            #[serde(rename = "isLearner", default)]
            is_learner: bool,
        }
        let value = small_value(blocks, entry)?;
        let json: Json =
            serde_json::from_slice(&value).map_err(|error| entry.invalid(format!("is not a member: {error}")))?;
        if self.members.len() == MAX_LISTED {
            return Err(entry.invalid(format!("is one of more than {MAX_LISTED} members")));
        }
        self.members.push(Member {
            id: json.id,
            name: json.name,
            peer_urls: json.peer_urls.unwrap_or_default(),
            is_learner: json.is_learner,
        });
        Ok(())
    }

    fn alarm(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        let (mut member_id, mut kind) = (0, AlarmKind::Unknown);
        // The key is the message (etcdserverpb.AlarmMember: memberID, alarm); there is no value.
        let mut fields = Fields::new(blocks, entry.key_span, entry);
        while let Some(field) = fields.next()? {
            match field {
                Field::Varint(1, id) => member_id = id,
                Field::Varint(2, 1) => kind = AlarmKind::NoSpace,
                Field::Varint(2, 2) => kind = AlarmKind::Corrupt,
                Field::Bytes(1 | 2, _) | Field::Fixed(1 | 2) => return Err(entry.invalid("is not an alarm")),
                _ => {}
            }
        }
        if self.alarms.len() == MAX_LISTED {
            return Err(entry.invalid(format!("is one of more than {MAX_LISTED} alarms")));
        }
        self.alarms.push(Alarm { member_id, kind });
        Ok(())
    }
}

/// Reads an entry of bucket `key`: the revision, and the mvccpb.KeyValue that is its value.
fn read_event(blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<Event, SnapshotError> {
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
    Ok(Event { revision, tombstone, key_hash: hash(blocks, key)?, value })
}

fn hash(blocks: &mut Blocks<'_>, key: Span) -> Result<u64, SnapshotError> {
    let mut hasher = DefaultHasher::new();
    let mut piece = Vec::new();
    let mut start = key.start;
    while start < key.end {
        let end = key.end.min(start + HASHED_BYTES);
        blocks.copy(Span { start, end }, &mut piece)?;
        hasher.write(&piece);
        start = end;
    }
    Ok(hasher.finish())
}

/// The value of an entry that is known to be small.
fn small_value(blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<Vec<u8>, SnapshotError> {
    if entry.value.len() > MAX_SMALL_VALUE_BYTES {
        return Err(entry.invalid(format!("has a value of {} bytes", entry.value.len())));
    }
    let mut value = Vec::new();
    blocks.copy(entry.value, &mut value)?;
    Ok(value)
}

fn named(entry: Entry<'_>, problem: &str) -> SnapshotError {
    entry.invalid(format!("`{}` {problem}", String::from_utf8_lossy(entry.key)))
}

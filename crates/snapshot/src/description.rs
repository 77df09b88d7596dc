use std::fmt;

use serde::{Serialize, Serializer};

/// What a sound snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Description {
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Size of the database in bytes: the file without its checksum. `etcdutl` calls it totalSize.
    pub content_bytes: u64,
    /// Bytes of the database that are not free pages.
    pub in_use_bytes: u64,
    /// Size of a page in bytes, which is that of the member's machine.
    pub page_bytes: u64,
    /// SHA-256 of the file in hex, as `sha256sum` prints it.
    pub sha256: String,
    /// SHA-256 of the content in hex, which is also the trailer of the file.
    pub content_sha256: String,
    /// CRC-32C over the names, keys and values of all buckets: `hash` of `etcdutl snapshot status`.
    pub hash: u32,
    /// Highest revision of an entry, 0 if there is none. See [`Description::current_revision`].
    pub revision: i64,
    /// The revision that a compaction was last asked for, if ever.
    pub scheduled_compact_revision: Option<i64>,
    /// The revision that a compaction last reached, if ever.
    pub finished_compact_revision: Option<i64>,
    /// Keys that exist at the newest revision: totalKey of `etcdutl snapshot status` since 3.6.
    ///
    /// Keys are told apart by a hash of 64 bits with a secret of its own for each verification. So the number may be
    /// too low, never too high: with a probability of at most n² / 2^65, which is 1 in 370,000 for ten million keys.
    /// With [`Options::exact_keys`](crate::Options::exact_keys) it is exact, whatever the keys are.
    pub total_keys: u64,
    /// Changes of keys that compaction has left: entries of bucket `key`.
    pub total_key_revisions: u64,
    /// Entries of all buckets: totalKey of `etcdutl snapshot status` up to 3.5.
    pub total_entries: u64,
    /// How many of the key revisions have a value that the Kubernetes API server has encrypted (it begins with
    /// `k8s:enc:`). Whoever restores them needs the API server's keys as well.
    pub encrypted_values: u64,
    /// What they are encrypted with, each provider and key of the first 64 that are met.
    pub encryption: Vec<Encryption>,
    /// Leases that have not expired.
    pub leases: u64,
    /// The members when the snapshot was taken, by id.
    pub members: Vec<Member>,
    /// Alarms that were raised.
    pub alarms: Vec<Alarm>,
    /// Whether clients had to authenticate.
    pub auth_enabled: bool,
    /// Version of the storage's schema; since etcd 3.6.
    pub storage_version: Option<String>,
    /// Version that the whole cluster speaks; since etcd 3.5, absent from a cluster that has just begun.
    pub cluster_version: Option<String>,
    /// Index of the last Raft entry in the database.
    pub consistent_index: Option<u64>,
    /// Raft term of that entry; since etcd 3.5.
    pub raft_term: Option<u64>,
}

impl Description {
    /// The revision that a member restored from this snapshot begins with, as etcd's `mvcc.store.restore` finds it.
    /// It is above [`Description::revision`] if a compaction has removed the newest entries, which were deletions.
    pub fn current_revision(&self) -> i64 {
        let compacted = self.scheduled_compact_revision.max(self.finished_compact_revision);
        self.revision.max(compacted.unwrap_or(0)).max(1)
    }
}

/// One way in which values are encrypted, as Kubernetes' EncryptionConfiguration names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Encryption {
    /// The provider: `aescbc`, `aesgcm`, `secretbox` or `kms`; empty where the mark does not end.
    pub provider: String,
    /// Version of the provider's encoding: `v1`, `v2`.
    pub version: String,
    /// Name of the key, or of the KMS plugin.
    pub key_name: String,
    /// How many values.
    pub values: u64,
}

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Member {
    /// Its id; in hex when serialized, as `etcdctl member list` prints it.
    #[serde(serialize_with = "as_hex")]
    pub id: u64,
    /// Its name; empty if it was added but has never been started.
    pub name: String,
    /// Where the other members reach it.
    #[serde(rename = "peerURLs")]
    pub peer_urls: Vec<String>,
    /// Whether it has no vote.
    pub is_learner: bool,
}

/// An alarm that a member has raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Alarm {
    /// The member's id; in hex when serialized.
    #[serde(serialize_with = "as_hex")]
    pub member_id: u64,
    /// What about.
    pub kind: AlarmKind,
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum AlarmKind {
    /// The database has reached its quota; only reads and deletions are allowed.
    #[serde(rename = "NOSPACE")]
    NoSpace,
    /// The member's data differs from the others'.
    Corrupt,
    /// An alarm that this version does not know.
    Unknown,
}

impl fmt::Display for AlarmKind {
    /// As `etcdctl alarm list` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
            Self::Unknown => "UNKNOWN",
        })
    }
}

fn as_hex<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:x}"))
}

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ClusterFacts, Owner, RunId, SchemaVersion, SnapshotFacts, Warning};

/// `backup.json`: what a published set says of itself. Written once, before the set is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Version of this document; unknown fields of the same major version are ignored.
    pub schema_version: SchemaVersion,
    /// Whose set this is.
    pub owner: Owner,
    /// The run that made it.
    pub run_id: RunId,
    /// Order of the set on its volume: highest before it plus one. Clocks never decide the order.
    pub sequence: u64,
    /// When the run began, UTC.
    pub start_time: Timestamp,
    /// When the set was verified, UTC.
    pub completion_time: Timestamp,
    /// Node on which the run took place.
    pub node: String,
    /// The set's files besides this manifest.
    pub files: Vec<SetFile>,
    /// The snapshot in it.
    pub snapshot: SnapshotFacts,
    /// The cluster it was taken of.
    #[serde(default)]
    pub cluster: ClusterFacts,
    /// What the reader should know.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// What was proven before the set was published, and by whom.
    pub verification: Verification,
}

impl Manifest {
    /// Name of the manifest's file in a set.
    pub const FILE: &'static str = "backup.json";

    /// The file that plays a role, if the set has one.
    #[must_use]
    pub fn file(&self, role: FileRole) -> Option<&SetFile> {
        self.files.iter().find(|file| file.role == role)
    }
}

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetFile {
    /// What the file is.
    pub role: FileRole,
    /// Name in the set's directory.
    pub name: String,
    /// Size in bytes (`st_size`).
    pub size_bytes: u64,
    /// SHA-256 of the file in lower-case hex.
    pub sha256: String,
}

/// What a file of a set is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileRole {
    /// The etcd snapshot.
    Snapshot,
    /// The archive of the static pod resources.
    StaticResources,
    /// Known to a newer version only.
    #[serde(other)]
    Other,
}

/// What was proven on the files as read back from the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Name and version of the verifier.
    pub by: String,
    /// When, UTC.
    pub time: Timestamp,
    /// The checks that passed, such as `sha256`, `pages`, `keys`, `freshness`, `archive`.
    pub checks: Vec<String>,
    /// Checks that could not be made and were waived by hand, such as `freshness` without quorum.
    /// A set with any of them is not verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<String>,
}

impl Verification {
    /// Whether everything was proven.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.waived.is_empty()
    }
}

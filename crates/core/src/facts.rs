use serde::{Deserialize, Serialize};

/// What a verified snapshot is, in the manifest, the report and the resource's status alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotFacts {
    /// The snapshot's own revision: the highest main revision in it.
    pub revision: i64,
    /// The revision fixed by a linearizable read before the stream began; `revision` is at least
    /// this. Absent when there was no quorum to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_revision: Option<i64>,
    /// Size of the file in bytes, its 32-byte trailer included.
    pub size_bytes: u64,
    /// SHA-256 of the whole file in lower-case hex, as `sha256sum` prints it.
    pub sha256: String,
    /// Live keys, as `etcdutl snapshot status` of etcd 3.6 counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_keys: Option<u64>,
    /// Version of the member's server, such as `3.6.4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_version: Option<String>,
    /// Storage version in the file, such as `3.6`; etcd before 3.6 does not write one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_version: Option<String>,
    /// The etcd cluster's id in lower-case hex. A restore changes it.
    pub cluster_id: String,
    /// The member's id in lower-case hex.
    pub member_id: String,
    /// The member's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_name: Option<String>,
    /// Raft term of the member when it was chosen.
    pub raft_term: u64,
    /// Index of the last Raft entry in the snapshot. A restore begins to count anew. Absent if the
    /// snapshot does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft_index: Option<u64>,
}

/// What is known of the Kubernetes cluster around the snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFacts {
    /// Version of the cluster (OpenShift's ClusterVersion, else the kube-apiserver image's tag).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Something the reader should know of a backup that is good all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// One static CamelCase word, such as `KeysBesideData`.
    pub reason: String,
    /// What it means and what to do.
    pub message: String,
}

impl Warning {
    /// A warning from its parts.
    #[must_use]
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into() }
    }
}

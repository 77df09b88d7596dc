use etcd_backup_core::{
    ClusterFacts, FileRole, MANIFEST_SCHEMA, Manifest, Owner, SetFile, SnapshotFacts, Stamp, Verification,
};
use jiff::Timestamp;

use super::attempt::Saved;
use crate::VERSION;
use crate::journal::Journal;
use crate::proof::{ARCHIVE_CHECK, SNAPSHOT_CHECKS};

/// That the stream ended with etcd's own closing message, and that its hash is the content's.
const STREAM_CHECK: &str = "stream";
/// That the snapshot reaches the revision that the cluster was at before it began.
const FRESHNESS_CHECK: &str = "freshness";

/// What a manifest is made of.
pub(super) struct Parts<'a> {
    pub(super) owner: Owner,
    pub(super) sequence: u64,
    pub(super) journal: &'a Journal,
    pub(super) stamp: &'a Stamp,
    pub(super) saved: Saved,
    pub(super) archive: Option<SetFile>,
    pub(super) cluster_version: Option<String>,
    pub(super) now: Timestamp,
}

/// The manifest of a set whose files are proven.
pub(super) fn build(parts: Parts<'_>) -> Manifest {
    let Parts { owner, sequence, journal, stamp, saved, archive, cluster_version, now } = parts;
    let mut checks: Vec<&str> = [STREAM_CHECK].into_iter().chain(SNAPSHOT_CHECKS).collect();
    let mut waived = Vec::new();
    if saved.required_revision.is_some() { &mut checks } else { &mut waived }.push(FRESHNESS_CHECK);
    if archive.is_some() { &mut checks } else { &mut waived }.push(ARCHIVE_CHECK);
    let snapshot = facts(&saved);
    let file = SetFile {
        role: FileRole::Snapshot,
        name: stamp.snapshot_file(),
        size_bytes: snapshot.size_bytes,
        sha256: snapshot.sha256.clone(),
    };
    Manifest {
        schema_version: MANIFEST_SCHEMA,
        owner,
        run_id: journal.run_id().clone(),
        sequence,
        start_time: journal.start_time(),
        completion_time: now,
        node: journal.node().to_owned(),
        files: [file].into_iter().chain(archive).collect(),
        snapshot,
        cluster: ClusterFacts { version: cluster_version },
        warnings: journal.warnings().to_vec(),
        verification: Verification {
            by: VERSION.to_owned(),
            time: now,
            checks: checks.into_iter().map(str::to_owned).collect(),
            waived: waived.into_iter().map(str::to_owned).collect(),
        },
    }
}

/// Bytes of the manifest's file.
pub(super) fn bytes(manifest: &Manifest) -> u64 {
    let end_of_line = 1;
    serde_json::to_vec_pretty(manifest).map_or(0, |document| document.len() as u64 + end_of_line)
}

fn facts(saved: &Saved) -> SnapshotFacts {
    let Saved { candidate, required_revision, description, .. } = saved;
    SnapshotFacts {
        revision: description.current_revision(),
        required_revision: *required_revision,
        size_bytes: description.file_bytes,
        sha256: description.sha256.clone(),
        total_keys: Some(description.total_keys),
        etcd_version: Some(candidate.status.version.clone()),
        storage_version: description.storage_version.clone(),
        cluster_id: format!("{:x}", candidate.cluster_id),
        member_id: format!("{:x}", candidate.member_id),
        member_name: Some(candidate.name.clone()),
        raft_term: candidate.status.raft_term,
        raft_index: description.consistent_index,
    }
}

//! Sets that are made through the store, without an etcd.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use etcd_backup_core::{
    ClusterFacts, FileRole, MANIFEST_SCHEMA, Manifest, Owner, SetFile, SetName, SnapshotFacts, Stamp, Verification,
};
use etcd_backup_store::{FoundSet, LockedVolume, Look, Volume, hash_file, verify_files};
use jiff::Timestamp;

use crate::bed::schedule;

/// A set to be made.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) owner: Owner,
    /// Bytes of its snapshot, which is no real one.
    pub(crate) bytes: usize,
    pub(crate) cluster_id: String,
    pub(crate) revision: i64,
    pub(crate) waived: Vec<String>,
}

impl Made {
    /// A verified set of the schedule.
    pub(crate) fn new() -> Self {
        Self { owner: schedule(), bytes: 1000, cluster_id: "cdf8".into(), revision: 7, waived: Vec::new() }
    }

    /// Makes it.
    pub(crate) fn on(&self, volume: &Path) -> SetName {
        self.with(&lock(volume))
    }

    /// Makes it under a lock that is held already.
    pub(crate) fn with(&self, locked: &LockedVolume) -> SetName {
        let now = Timestamp::now();
        let (stamp, run) = (Stamp::new(now), uuid::Uuid::new_v4().to_string().parse().unwrap());
        let mut staging = locked.stage(&SetName::new(&self.owner, &stamp, &run)).unwrap();
        let name = stamp.snapshot_file();
        let mut file = staging.create(&name).unwrap();
        file.write_all(&vec![b'x'; self.bytes]).unwrap();
        file.sync_all().unwrap();
        let (sha256, size_bytes) = hash_file(&file, |_| ControlFlow::Continue(())).unwrap();
        let manifest = Manifest {
            schema_version: MANIFEST_SCHEMA,
            owner: self.owner.clone(),
            run_id: run,
            sequence: locked.next_sequence().unwrap(),
            start_time: now,
            completion_time: now,
            node: "master-0".into(),
            files: vec![SetFile { role: FileRole::Snapshot, name, size_bytes, sha256: sha256.clone() }],
            snapshot: SnapshotFacts {
                revision: self.revision,
                required_revision: Some(self.revision),
                size_bytes,
                sha256,
                total_keys: None,
                etcd_version: None,
                storage_version: None,
                cluster_id: self.cluster_id.clone(),
                member_id: "8e9e".into(),
                member_name: None,
                raft_term: 2,
                raft_index: None,
            },
            cluster: ClusterFacts::default(),
            warnings: Vec::new(),
            verification: Verification {
                by: "test".into(),
                time: now,
                checks: Vec::new(),
                waived: self.waived.clone(),
            },
        };
        staging.publish(&manifest).unwrap().name
    }
}

pub(crate) fn lock(volume: &Path) -> LockedVolume {
    Volume::open(volume).unwrap().lock(Duration::from_secs(60), |_| ControlFlow::Continue(())).unwrap()
}

/// All sets of a volume in their order.
pub(crate) fn all(volume: &Path) -> Vec<FoundSet> {
    Volume::open(volume).unwrap().sets().unwrap()
}

/// Whether everything in a set is as its manifest says.
pub(crate) fn is_proven(set: &FoundSet) -> bool {
    match &set.state {
        Look::Consistent { manifest, .. } => verify_files(&set.path, manifest, |_| ControlFlow::Continue(())).is_ok(),
        _ => false,
    }
}

/// Damages a set's snapshot in a way that only a full read sees.
pub(crate) fn damage(volume: &Path, set: &SetName) {
    let dir = volume.join(set.as_str());
    let snapshot = crate::bed::names(&dir).into_iter().find(|name| name.ends_with(".db")).unwrap();
    crate::bed::overwrite(&dir.join(snapshot), 10, b"damage");
}

/// Garbles a set's manifest, so that nobody knows whose it is.
pub(crate) fn make_unreadable(volume: &Path, set: &SetName) {
    fs::write(volume.join(set.as_str()).join(Manifest::FILE), b"{").unwrap();
}

/// Things on a volume that are nobody's business, and what they look like.
pub(crate) fn strangers(volume: &Path) -> Vec<String> {
    for dir in ["lost+found", "backup-of-mine", "other"] {
        fs::create_dir(volume.join(dir)).unwrap();
        fs::write(volume.join(dir).join("file"), dir).unwrap();
    }
    fs::write(volume.join("backup-notes.txt"), "notes").unwrap();
    ["lost+found/file", "backup-of-mine/file", "other/file", "backup-notes.txt"].map(str::to_owned).into()
}

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_backup_core::{
    ClusterFacts, FileRole, MANIFEST_SCHEMA, Manifest, Outcome, Owner, OwnerKind, REPORT_SCHEMA, Reason, Report, RunId,
    SetFile, SetName, SnapshotFacts, Stamp, Verification,
};
use etcd_backup_store::{LockedVolume, PublishedSet, Staging, StoreError, Volume, hash_file};
use jiff::Timestamp;
use tempfile::TempDir;

/// A volume of its own for each test.
pub(crate) struct Disk(TempDir);

impl Disk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The same where nothing has to wait for a disk, if there is such a place.
    pub(crate) fn in_memory() -> Self {
        Self(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn volume(&self) -> Volume {
        Volume::open(self.path()).unwrap()
    }

    pub(crate) fn try_lock(&self) -> Result<LockedVolume, StoreError> {
        self.volume().lock(Duration::ZERO, |_| ControlFlow::Continue(()))
    }

    pub(crate) fn lock(&self) -> LockedVolume {
        self.try_lock().unwrap()
    }

    /// A path in the volume's own directory.
    pub(crate) fn own(&self, path: &str) -> PathBuf {
        self.path().join(".etcd-backup").join(path)
    }

    /// Publishes a set in a run of its own.
    pub(crate) fn publish(&self, number: u32) -> PublishedSet {
        let locked = self.lock();
        let (staging, manifest) = staged(&locked, number);
        staging.publish(&manifest).unwrap()
    }
}

/// Names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Deletes a set's directory.
pub(crate) fn remove(set: &Path) {
    for name in names(set) {
        fs::remove_file(set.join(name)).unwrap();
    }
    fs::remove_dir(set).unwrap();
}

pub(crate) fn run_id(number: u32) -> RunId {
    format!("{number:08}-5c1b-4b4e-9c1f-1f5a3e2d7c11").parse().unwrap()
}

fn start() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

pub(crate) fn owner() -> Owner {
    Owner { cluster: Some("c1".into()), kind: OwnerKind::Backup, name: "nightly".into() }
}

pub(crate) fn set_name(number: u32) -> SetName {
    SetName::new(&owner(), &Stamp::new(start()), &run_id(number))
}

/// The content of the files of set `number`.
pub(crate) fn content(role: FileRole, number: u32) -> Vec<u8> {
    format!("{role:?} {number} ").repeat(1000 + number as usize).into_bytes()
}

/// A set with both files written, synced and described, ready to be published.
pub(crate) fn staged(locked: &LockedVolume, number: u32) -> (Staging, Manifest) {
    let stamp = Stamp::new(start());
    let mut staging = locked.stage(&set_name(number)).unwrap();
    let mut files = Vec::new();
    for (role, name) in
        [(FileRole::Snapshot, stamp.snapshot_file()), (FileRole::StaticResources, stamp.static_resources_file())]
    {
        staging.create(&name).unwrap().write_all(&content(role, number)).unwrap();
        staging = staging.sync().unwrap();
        let (sha256, size_bytes) = hash_file(&staging.open(&name).unwrap(), |_| ControlFlow::Continue(())).unwrap();
        files.push(SetFile { role, name, size_bytes, sha256 });
    }
    let manifest = manifest(number, locked.next_sequence().unwrap(), files);
    (staging, manifest)
}

fn manifest(number: u32, sequence: u64, files: Vec<SetFile>) -> Manifest {
    Manifest {
        schema_version: MANIFEST_SCHEMA,
        owner: owner(),
        run_id: run_id(number),
        sequence,
        start_time: start(),
        completion_time: start(),
        node: "master-0".into(),
        snapshot: SnapshotFacts {
            revision: 7,
            required_revision: Some(7),
            size_bytes: files[0].size_bytes,
            sha256: files[0].sha256.clone(),
            total_keys: None,
            etcd_version: None,
            storage_version: None,
            cluster_id: "cdf8".into(),
            member_id: "8e9e".into(),
            member_name: None,
            raft_term: 2,
            raft_index: Some(9),
        },
        files,
        cluster: ClusterFacts::default(),
        warnings: Vec::new(),
        verification: Verification {
            by: "test".into(),
            time: start(),
            checks: vec!["sha256".into()],
            waived: Vec::new(),
        },
    }
}

pub(crate) fn report(run: RunId, message: &str) -> Report {
    Report {
        schema_version: REPORT_SCHEMA,
        run_id: run,
        outcome: Outcome::Failed,
        reason: Reason::Stalled,
        message: message.into(),
        start_time: start(),
        completion_time: start(),
        node: "master-0".into(),
        owner: None,
        volume_id: None,
        set: None,
        retention: None,
        catalogue: None,
        warnings: Vec::new(),
        space: None,
        agent_version: None,
        phases: Vec::new(),
    }
}

//! Schedules and their runs, as the operator records them and as the agent lists their sets.

use std::collections::BTreeMap;

use anyhow::Result;
use etcd_backup_api::{EtcdBackup, EtcdBackupSpec, EtcdBackupStatus, FIELD_MANAGER, Recorded, conditions};
use etcd_backup_core::{CatalogueEntry, Owner, OwnerKind, RunId, SetName, Stamp};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::bed::NAMESPACE;

/// One run in so many failed, and which.
const FAILED: (usize, usize) = (25, 12);
const SNAPSHOT_BYTES: u64 = 126_353_440;
const MANIFEST_BYTES: u64 = 1_464;
const ARCHIVE_BYTES: u64 = 84_219;
/// Bytes of a set.
pub(super) const SET_BYTES: u64 = SNAPSHOT_BYTES + MANIFEST_BYTES + ARCHIVE_BYTES;
const SHA256: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

/// A Backup, and the claim that only it uses.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) name: String,
    pub(super) claim: String,
    pub(super) volume_id: String,
    pub(super) runs: Vec<Run>,
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub(super) struct Run {
    owner: Owner,
    claim: String,
    volume_id: String,
    id: RunId,
    sequence: usize,
    began: Timestamp,
}

impl Schedule {
    /// The one of a number, with this many runs, the last of which began at `last`.
    pub(super) fn new(number: usize, runs: usize, cluster: &str, last: Timestamp) -> Result<Self> {
        let (name, claim) = (format!("schedule-{number:03}"), format!("backups-{number:03}"));
        let volume_id = format!("9d2f9a52-7d55-4b85-a9d3-{number:012x}");
        let owner = Owner { cluster: Some(cluster.to_owned()), kind: OwnerKind::Backup, name: name.clone() };
        let run = |index: usize| {
            let days = i64::try_from(runs - index)?;
            Ok(Run {
                owner: owner.clone(),
                claim: claim.clone(),
                volume_id: volume_id.clone(),
                id: format!("{index:04x}{number:04x}-5c1b-4b4e-9c1f-1f5a3e2d7c11").parse()?,
                sequence: index + 1,
                began: last - SignedDuration::from_hours(24 * days),
            })
        };
        let runs = (0..runs).map(run).collect::<Result<_>>()?;
        Ok(Self { name, claim, volume_id, runs })
    }

    /// The runs that made a set.
    pub(super) fn good(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.is_good())
    }
}

impl Run {
    fn is_good(&self) -> bool {
        self.sequence % FAILED.0 != FAILED.1
    }

    /// When it ended.
    pub(super) fn ended(&self) -> Timestamp {
        self.began + SignedDuration::from_secs(7)
    }

    fn set(&self) -> SetName {
        SetName::new(&self.owner, &Stamp::new(self.began), &self.id)
    }

    fn files(&self) -> [(String, u64); 3] {
        let stamp = Stamp::new(self.began);
        [
            (stamp.snapshot_file(), SNAPSHOT_BYTES),
            (stamp.static_resources_file(), ARCHIVE_BYTES),
            ("backup.json".to_owned(), MANIFEST_BYTES),
        ]
    }

    fn snapshot(&self) -> Value {
        json!({
            "revision": 4_711_000 + self.sequence, "sizeBytes": SNAPSHOT_BYTES, "sha256": SHA256, "totalKeys": 31_207,
            "etcdVersion": "3.6.4", "storageVersion": "3.6.0", "clusterId": "cdf818194e3a8c32", "memberId": "8e9e05c52164694d",
            "raftTerm": 9,
        })
    }

    /// The record, without its status.
    pub(super) fn record(&self) -> EtcdBackup {
        let recorded = Recorded { backup: self.owner.name.clone(), run_id: self.id.to_string() };
        let spec = EtcdBackupSpec { pvc_name: self.claim.clone(), recorded: Some(recorded) };
        let mut record = EtcdBackup::new(&format!("{}-{}", self.owner.name, &self.id.as_str()[..13]), spec);
        let labels = [
            ("app", "cluster-backup-job"),
            ("app.kubernetes.io/name", "etcd-backup"),
            ("app.kubernetes.io/managed-by", FIELD_MANAGER),
            ("app.kubernetes.io/component", "record"),
            ("backup-name", &self.owner.name),
            ("etcd-backup.io/backup", &self.owner.name),
        ];
        record.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        record.metadata.annotations = Some(BTreeMap::from([("etcd-backup.io/job".to_owned(), self.job())]));
        record
    }

    fn job(&self) -> String {
        format!("{}-{}", self.owner.name, self.began.as_second() / 60)
    }

    /// The status of the record, as the operator fills it from a report.
    pub(super) fn status(&self) -> Result<EtcdBackupStatus> {
        let good = self.is_good();
        let mut status = json!({
            "observedGeneration": 1, "phase": if good { "Completed" } else { "Failed" },
            "reason": if good { "Completed" } else { "NoSpace" }, "backupJob": {"namespace": NAMESPACE, "name": self.job()},
            "jobName": self.job(), "nodeName": "master-0", "startTime": self.began, "completionTime": self.ended(),
            "duration": "7s", "volumeId": self.volume_id,
        });
        if good {
            let files =
                self.files().map(|(name, bytes)| json!({"path": format!("{}/{name}", self.set()), "sizeBytes": bytes}));
            status["files"] = files.into();
            status["size"] = "120 MiB".into();
            status["location"] = format!("pvc://{NAMESPACE}/{}/{}", self.claim, self.set()).into();
            status["snapshot"] = self.snapshot();
            status["clusterVersion"] = "v1.34.4".into();
        }
        let mut status: EtcdBackupStatus = serde_json::from_value(status)?;
        self.tell_conditions(&mut status);
        Ok(status)
    }

    fn tell_conditions(&self, status: &mut EtcdBackupStatus) {
        let good = self.is_good();
        let message = if good {
            format!(
                "published {} of 120 MiB at revision {}; everything was proven",
                self.set(),
                4_711_000 + self.sequence
            )
        } else {
            "the volume has room for 12 MiB and the snapshot needs 120 MiB: make room on the volume, or enlarge it"
                .to_owned()
        };
        let reason = status.reason.clone().unwrap_or_default();
        let truths = [
            ("Pending", false),
            ("Running", false),
            ("Completed", good),
            ("Failed", !good),
            ("Ready", good),
            ("Stalled", !good),
            ("BackupPending", false),
            ("BackupCompleted", good),
            ("BackupFailed", !good),
        ];
        let now = Time(self.ended());
        for (type_, truth) in truths {
            let said = if truth || type_ == "Ready" { message.as_str() } else { "" };
            conditions::set(&mut status.conditions, type_, truth, &reason, said, Some(1), &now);
        }
        if good {
            let said = "everything was proven on the files as read back from the volume";
            conditions::set(&mut status.conditions, "Verified", true, "Verified", said, Some(1), &now);
        }
    }

    /// The line of its set in an inventory.
    pub(super) fn entry(&self) -> Result<CatalogueEntry> {
        let files = self.files().map(|(name, bytes)| json!({"name": name, "sizeBytes": bytes}));
        let set = json!({
            "name": self.set(), "sequence": self.sequence, "verified": true, "files": files, "snapshot": self.snapshot(),
            "cluster": {"version": "v1.34.4"},
        });
        let origin = json!({
            "owner": self.owner, "runId": self.id, "startTime": self.began, "completionTime": self.ended(),
            "node": "master-0", "set": set,
        });
        let entry = json!({"name": self.set(), "state": "verified", "sizeBytes": SET_BYTES, "origin": origin});
        Ok(serde_json::from_value(entry)?)
    }
}

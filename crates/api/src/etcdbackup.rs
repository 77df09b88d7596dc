use etcd_backup_core::{Destination, Layout, Owner, OwnerKind, Request, RunId, Source};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, ResourceExt as _};
use serde::{Deserialize, Serialize};

/// One backup of etcd. Its spec never changes; make another one for another backup.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "operator.openshift.io",
    version = "v1alpha1",
    kind = "EtcdBackup",
    plural = "etcdbackups",
    status = "EtcdBackupStatus",
    doc = "One backup of etcd: an etcd snapshot with the static pod resources, proven and published on a volume. The spec is immutable; make another EtcdBackup for another backup. Deleting it deletes no file.",
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.phase","description":"Pending, Running, Completed or Failed"}"#,
    printcolumn = r#"{"name":"Revision","type":"integer","jsonPath":".status.snapshot.revision","description":"Revision of the snapshot"}"#,
    printcolumn = r#"{"name":"Size","type":"string","jsonPath":".status.size","description":"Size of all files of the set"}"#,
    printcolumn = r#"{"name":"Verified","type":"string","jsonPath":".status.conditions[?(@.type==\"Verified\")].status","description":"Whether the published files were proven"}"#,
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".status.nodeName","description":"Node on which the backup ran"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Backup","type":"string","priority":1,"jsonPath":".spec.recorded.backup","description":"The schedule whose run this records"}"#,
    printcolumn = r#"{"name":"PVC","type":"string","priority":1,"jsonPath":".spec.pvcName","description":"PersistentVolumeClaim that holds the set"}"#,
    printcolumn = r#"{"name":"Location","type":"string","priority":1,"jsonPath":".status.location","description":"Where the set is"}"#,
    printcolumn = r#"{"name":"Etcd","type":"string","priority":1,"jsonPath":".status.snapshot.etcdVersion","description":"Version of etcd"}"#,
    printcolumn = r#"{"name":"Duration","type":"string","priority":1,"jsonPath":".status.duration","description":"From start to completion"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.reason","description":"Why the status is what it is"}"#
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("spec is immutable: pvcName and recorded cannot be changed, added or removed; make another EtcdBackup for another backup"))]
#[serde(rename_all = "camelCase")]
pub struct EtcdBackupSpec {
    /// Name of the PersistentVolumeClaim, in the operator's backup namespace (openshift-etcd on
    /// OpenShift), that takes the backup.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("pvcName is immutable"))]
    #[x_kube(validation = Rule::new("self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("pvcName must be the name of a PersistentVolumeClaim: lower case letters, digits, '-' and '.'"))]
    pub pvc_name: String,

    /// Set by the operator only: this object records a run of a schedule and starts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("recorded is immutable"))]
    pub recorded: Option<Recorded>,
}

/// The scheduled run that an EtcdBackup records.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// Name of the Backup (the schedule).
    #[schemars(length(min = 1, max = 253))]
    pub backup: String,
    /// The run: the uid of its Job.
    #[schemars(length(min = 8, max = 63))]
    pub run_id: String,
}

/// What became of the backup.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdBackupStatus {
    /// Pending, Running, Completed, Failed and Verified; Ready and Stalled by kstatus' rules;
    /// BackupPending, BackupCompleted and BackupFailed for clients of OpenShift's own operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pending, Running, Completed or Failed: the newest of the conditions, for the STATUS column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Name of the Job that makes this backup, written before the Job is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// The Job, once the API server has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_job: Option<BackupJob>,
    /// Node on which the backup ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// When the agent began, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// From start to completion, such as `12s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// The set's files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<BackupFile>,
    /// Size of all files of the set, for people, such as `121 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Where the set is: `pvc://namespace/claim/directory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Identity of the volume that holds the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    /// The etcd snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotStatus>,
    /// Version of the cluster. On OpenShift a set restores only into the same version, on kubeadm into the same minor
    /// version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_version: Option<String>,
    /// What to know about a backup that is good all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<StatusWarning>,
}

/// A Job, by namespace and name.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupJob {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A file of a set.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupFile {
    /// Path on the volume.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: i64,
}

/// The etcd snapshot of a set.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotStatus {
    /// Revision of the snapshot.
    pub revision: i64,
    /// Size of the snapshot's file in bytes.
    pub size_bytes: i64,
    /// SHA-256 of the snapshot's file, as `sha256sum` prints it.
    pub sha256: String,
    /// Live keys in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_keys: Option<i64>,
    /// Version of the etcd member it was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_version: Option<String>,
    /// Storage version of the data (etcd 3.6 and later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_version: Option<String>,
    /// Id of the etcd cluster, in hex.
    pub cluster_id: String,
    /// Id of the member, in hex.
    pub member_id: String,
    /// Raft term.
    pub raft_term: i64,
}

/// Something to know about a backup.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusWarning {
    /// In one word.
    pub reason: String,
    /// What it means and what to do.
    pub message: String,
}

/// Why a spec cannot become a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpec {
    /// No volume is named.
    #[error(
        "spec.pvcName is empty and there is no default volume: create a PersistentVolumeClaim in namespace {namespace} and another EtcdBackup that names it"
    )]
    NoVolume {
        /// Where the claim belongs.
        namespace: String,
    },
    /// The API server gave no usable uid, or somebody wrote a record of no run.
    #[error("{id:?} cannot serve as a run id; delete this EtcdBackup, and if nobody made it by hand, report a bug")]
    RunId {
        /// What was found.
        id: String,
    },
}

impl InvalidSpec {
    /// All words of [`reason`](Self::reason).
    pub const REASONS: [&'static str; 2] = ["NoVolume", "InvalidRunId"];

    /// The word for metric label, event and condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoVolume { .. } => "NoVolume",
            Self::RunId { .. } => "InvalidRunId",
        }
    }
}

impl EtcdBackup {
    /// The run that this object asks for or records: its own uid, or that of the schedule's Job.
    #[must_use]
    pub fn run_id(&self) -> Option<&str> {
        match &self.spec.recorded {
            Some(recorded) => Some(&recorded.run_id),
            None => self.metadata.uid.as_deref(),
        }
    }

    /// The backup that this object asks for or records, in the cluster with the given `kube-system`
    /// uid, its volume in `namespace`.
    ///
    /// # Errors
    /// If the object asks for nothing that can be done; see [`InvalidSpec`].
    pub fn request(&self, cluster: &str, namespace: &str, layout: Layout) -> Result<Request, InvalidSpec> {
        if self.spec.pvc_name.is_empty() {
            return Err(InvalidSpec::NoVolume { namespace: namespace.to_owned() });
        }
        let id = self.run_id().unwrap_or_default();
        let run_id: RunId = id.parse().map_err(|_| InvalidSpec::RunId { id: id.to_owned() })?;
        let (kind, name) = match &self.spec.recorded {
            Some(recorded) => (OwnerKind::Backup, recorded.backup.clone()),
            None => (OwnerKind::EtcdBackup, self.name_any()),
        };
        Ok(Request {
            run_id,
            owner: Owner { cluster: Some(cluster.to_owned()), kind, name },
            source: Source { layout },
            destination: Destination::Pvc { namespace: namespace.to_owned(), name: self.spec.pvc_name.clone() },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UID: &str = "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11";

    fn etcd_backup(uid: &str, spec: serde_json::Value) -> EtcdBackup {
        serde_json::from_value(json!({
            "apiVersion": "operator.openshift.io/v1alpha1",
            "kind": "EtcdBackup",
            "metadata": {"name": "before-upgrade", "uid": uid},
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn a_spec_becomes_a_request() {
        let request = etcd_backup(UID, json!({"pvcName": "etcd-backup-pvc"}))
            .request("11112222-3333-4444-5555-666677778888", "openshift-etcd", Layout::Kubeadm)
            .unwrap();
        let expected = Request {
            run_id: UID.parse().unwrap(),
            owner: Owner {
                cluster: Some("11112222-3333-4444-5555-666677778888".into()),
                kind: OwnerKind::EtcdBackup,
                name: "before-upgrade".into(),
            },
            source: Source { layout: Layout::Kubeadm },
            destination: Destination::Pvc { namespace: "openshift-etcd".into(), name: "etcd-backup-pvc".into() },
        };
        assert_eq!(request, expected);
        assert_eq!(request.destination.location("set"), "pvc://openshift-etcd/etcd-backup-pvc/set");
    }

    #[test]
    fn a_record_is_of_its_jobs_run_and_of_the_schedule() {
        let run = "11112222-3333-4444-5555-666677778888";
        let spec = json!({"pvcName": "p", "recorded": {"backup": "nightly", "runId": run}});
        let request = etcd_backup(UID, spec).request("cluster", "openshift-etcd", Layout::OpenShift).unwrap();
        assert_eq!(request.run_id.as_str(), run);
        assert_eq!((request.owner.kind, request.owner.name.as_str()), (OwnerKind::Backup, "nightly"));
    }

    #[test]
    fn what_cannot_become_a_request_says_why() {
        let record = json!({"pvcName": "p", "recorded": {"backup": "nightly", "runId": "../../etc"}});
        let rows = [
            (UID, json!({}), "NoVolume", "spec.pvcName is empty"),
            (UID, json!({"pvcName": ""}), "NoVolume", "in namespace openshift-etcd"),
            (UID, record, "InvalidRunId", "\"../../etc\""),
            ("", json!({"pvcName": "p"}), "InvalidRunId", "\"\""),
            ("../../etc", json!({"pvcName": "p"}), "InvalidRunId", "\"../../etc\""),
        ];
        for (uid, spec, reason, message) in rows {
            let error = etcd_backup(uid, spec).request("cluster", "openshift-etcd", Layout::OpenShift).unwrap_err();
            assert_eq!(error.reason(), reason);
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn a_status_has_the_names_that_the_columns_and_other_clients_read() {
        let status = json!({
            "observedGeneration": 1,
            "phase": "Completed",
            "reason": "Published",
            "jobName": "etcd-backup-before-upgrade-0b8f6f53",
            "backupJob": {"namespace": "openshift-etcd", "name": "etcd-backup-before-upgrade-0b8f6f53"},
            "nodeName": "master-0",
            "startTime": "2026-01-02T03:04:05Z",
            "completionTime": "2026-01-02T03:04:17Z",
            "duration": "12s",
            "files": [{"path": "backup-x/backup.json", "sizeBytes": 2048}],
            "size": "121 MiB",
            "location": "pvc://openshift-etcd/etcd-backup-pvc/backup-x",
            "volumeId": "9d2f9a52-7d55-4b85-a9d3-0fd4c8d0cd42",
            "snapshot": {
                "revision": 4711, "sizeBytes": 126_877_728, "sha256": "ab", "totalKeys": 12, "etcdVersion": "3.6.4",
                "storageVersion": "3.6", "clusterId": "cdf818194e3a8c32", "memberId": "8e9e05c52164694d", "raftTerm": 2,
            },
            "clusterVersion": "v1.34.4",
            "warnings": [{"reason": "KeysBesideData", "message": "keep them apart"}],
        });
        let read: EtcdBackupStatus = serde_json::from_value(status.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), status);
    }

    #[test]
    fn what_is_unset_is_not_written() {
        // Server-side apply would own it, and an explicit null is a change for GitOps tools.
        assert_eq!(serde_json::to_value(EtcdBackupStatus::default()).unwrap(), json!({}));
        assert_eq!(serde_json::to_value(EtcdBackupSpec::default()).unwrap(), json!({}));
    }
}

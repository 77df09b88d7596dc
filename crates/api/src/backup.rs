use etcd_backup_core::{AcceptedLineage, Owner, OwnerKind, Policy, Retention};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::BackupJob;

/// Annotation by which somebody accepts that the cluster was restored or rebuilt: retention goes on
/// up to this set. Its value is `<volume id>/<sequence>`, as the condition's message has it.
pub const ACCEPT_LINEAGE: &str = "etcd-backup.io/accept-lineage";

/// Annotation by which somebody accepts that the backups are on another volume now. Its value is the
/// volume's id, as the condition's message has it.
pub const ACCEPT_VOLUME: &str = "etcd-backup.io/accept-volume";

/// Verified backups that are kept if nothing is said.
const DEFAULT_NUMBER: i64 = 15;

/// GiB that are kept of RetentionSize if nothing is said.
const DEFAULT_SIZE: i64 = 10;

/// A schedule of etcd backups.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "config.openshift.io",
    version = "v1alpha1",
    kind = "Backup",
    plural = "backups",
    status = "BackupStatus",
    doc = "A schedule of etcd backups and what to keep of them. Deleting it deletes no file.",
    printcolumn = r#"{"name":"Schedule","type":"string","jsonPath":".spec.etcd.schedule"}"#,
    printcolumn = r#"{"name":"Suspended","type":"boolean","jsonPath":".spec.etcd.suspend"}"#,
    printcolumn = r#"{"name":"Last-Success","type":"date","jsonPath":".status.lastSuccessfulTime"}"#,
    printcolumn = r#"{"name":"Next","type":"string","jsonPath":".status.nextScheduleTime"}"#,
    printcolumn = r#"{"name":"Retained","type":"integer","jsonPath":".status.retained.count"}"#,
    printcolumn = r#"{"name":"Size","type":"string","jsonPath":".status.retained.size"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"PVC","type":"string","priority":1,"jsonPath":".spec.etcd.pvcName","description":"PersistentVolumeClaim that holds the sets"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].reason","description":"Why it is ready or not"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BackupSpec {
    /// How etcd is backed up.
    pub etcd: EtcdSpec,
}

/// How etcd is backed up.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdSpec {
    /// When, as kube-controller-manager reads a CronJob's schedule: five fields, or @hourly,
    /// @daily, @midnight, @weekly, @monthly, @yearly, @annually, `@every 6h`. Empty means no backups.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new("!self.contains('TZ=')").message("schedule must not contain TZ= or CRON_TZ=; set timeZone instead"))]
    #[x_kube(validation = Rule::new("self == '' || self.contains('TZ=') || self.matches('^@(annually|yearly|monthly|weekly|daily|midnight|hourly)$') || self.matches('^@every [0-9][0-9a-z.µ]*$') || self.matches('^\\\\s*[^@\\\\s]\\\\S*(\\\\s+\\\\S+){4}\\\\s*$')").message("schedule must have five fields (minute hour day-of-month month day-of-week), such as \"20 4 * * *\", or be one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, @every <duration>"))]
    pub schedule: String,
    /// Name of a zone of the tz database, such as `Europe/Berlin`. Empty means Etc/UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self == '' || (self.matches('^[A-Za-z_][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}$') && !self.matches('^(?i)local$'))").message("timeZone must be the name of a zone of the tz database, such as Europe/Berlin or UTC"))]
    pub time_zone: String,
    /// Name of the PersistentVolumeClaim, in the operator's backup namespace (openshift-etcd on
    /// OpenShift), that takes the backups.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("pvcName must be the name of a PersistentVolumeClaim: lower case letters, digits, '-' and '.'"))]
    pub pvc_name: String,
    /// What is kept. Without it: the 15 newest backups.
    #[serde(default, skip_serializing_if = "RetentionPolicy::is_unset")]
    pub retention_policy: RetentionPolicy,
    /// Starts no new runs. What is kept is not changed by it: a stricter policy is enforced all the
    /// same. A suspended schedule is Ready, and Scheduled is False with reason Suspended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

/// What is kept: a number of backups, or a total size.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.retentionNumber) || !has(self.retentionType) || self.retentionType != 'RetentionSize'").message("retentionNumber is forbidden when retentionType is RetentionSize"),
    validation = Rule::new("!has(self.retentionSize) || (has(self.retentionType) && self.retentionType == 'RetentionSize')").message("retentionSize is forbidden unless retentionType is RetentionSize")
)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// RetentionNumber or RetentionSize; empty means RetentionNumber.
    #[serde(default, skip_serializing_if = "RetentionType::is_unset")]
    pub retention_type: RetentionType,
    /// For RetentionNumber; without it, 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_number: Option<RetentionNumber>,
    /// For RetentionSize; without it, 10 GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_size: Option<RetentionSize>,
}

impl RetentionPolicy {
    fn is_unset(&self) -> bool {
        *self == Self::default()
    }
}

/// How the limit is counted.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetentionType {
    /// No opinion: RetentionNumber with 15.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// At most a number of backups.
    RetentionNumber,
    /// At most a total size.
    RetentionSize,
}

impl RetentionType {
    fn is_unset(&self) -> bool {
        *self == Self::Unset
    }
}

/// At most this many backups.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionNumber {
    /// Verified backups that remain when a run ends.
    #[schemars(range(min = 1))]
    pub max_number_of_backups: i64,
}

/// At most this many bytes.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionSize {
    /// GiB (2^30 bytes) that all backups of this schedule use at any moment.
    #[schemars(range(min = 1))]
    pub max_size_of_backups_gb: i64,
}

/// What became of the schedule.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// Scheduled and RetentionSatisfied; Ready and Stalled by kstatus' rules. Ready: runs are started
    /// (or suspended on purpose), the last one was good, the volume is usable, and what is kept is
    /// what was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The CronJob that starts the runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron_job: Option<BackupJob>,
    /// The claim that the rest of this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvc_name: Option<String>,
    /// Identity of the volume on which the backups are expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    /// When a run was last due, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When the newest of the runs that were due and did not start was due, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_missed_time: Option<Time>,
    /// When a run last ended with a verified backup, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,
    /// When the next run is due, UTC, as text: kubectl prints dates in the future as invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<String>,
    /// What is on the volume of this schedule, as the newest run found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained: Option<Retained>,
    /// Runs that failed since the last good one, as far as they are recorded: up to ten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<i32>,
    /// Hash of the policy that was last enforced on this volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<String>,
}

/// Sets on the volume.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retained {
    /// Verified sets.
    pub count: i32,
    /// Bytes of all sets of this schedule, verified or not.
    pub size_bytes: i64,
    /// The same for people, such as `1.2 GiB`.
    pub size: String,
    /// Time of the oldest, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Time>,
    /// Time of the newest, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Time>,
    /// When it was so, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Identity of the volume that it was found on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    /// Whether that is what the policy asks for, in one word, as the newest run said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Backup {
    /// Whose sets the schedule's are, in the cluster with the given `kube-system` uid.
    #[must_use]
    pub fn owner(&self, cluster: &str) -> Owner {
        Owner { cluster: Some(cluster.to_owned()), kind: OwnerKind::Backup, name: self.name_any() }
    }

    /// The policy for the schedule's sets on a volume, if it is known which one they are on. An
    /// annotation that says nothing accepts nothing.
    #[must_use]
    pub fn policy(&self, expected_volume: Option<&str>) -> Policy {
        let mut policy = Policy::new((&self.spec.etcd.retention_policy).into());
        policy.expected_volume = expected_volume.map(str::to_owned);
        policy.accepted_lineage = self.accepted_lineage().and_then(Result::ok);
        policy
    }

    /// What [`ACCEPT_LINEAGE`] says, if it is there.
    ///
    /// # Errors
    /// Inside, what is wrong with the value.
    pub fn accepted_lineage(&self) -> Option<Result<AcceptedLineage, String>> {
        self.annotations().get(ACCEPT_LINEAGE).map(|text| text.clone().try_into())
    }

    /// What [`ACCEPT_VOLUME`] says, if it is there.
    #[must_use]
    pub fn accepted_volume(&self) -> Option<&str> {
        self.annotations().get(ACCEPT_VOLUME).map(String::as_str)
    }
}

impl From<&RetentionPolicy> for Retention {
    /// What the documentation promises, defaults filled in. The CRD allows no number below 1.
    fn from(policy: &RetentionPolicy) -> Self {
        let at_least_one = |number: i64| number.max(1).unsigned_abs();
        if policy.retention_type == RetentionType::RetentionSize {
            let size = policy.retention_size.as_ref().map_or(DEFAULT_SIZE, |size| size.max_size_of_backups_gb);
            return Self::Size { max_bytes: at_least_one(size).saturating_mul(1 << 30) };
        }
        let number = policy.retention_number.as_ref().map_or(DEFAULT_NUMBER, |number| number.max_number_of_backups);
        Self::Number { max_sets: at_least_one(number) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn etcd(spec: serde_json::Value) -> EtcdSpec {
        serde_json::from_value::<BackupSpec>(json!({"etcd": spec})).unwrap().etcd
    }

    #[test]
    fn what_is_left_out_reads_as_no_opinion() {
        let nothing = etcd(json!({}));
        assert_eq!(nothing, EtcdSpec::default());
        let spelled_out = json!({"schedule": "", "timeZone": "", "pvcName": "", "suspend": false, "retentionPolicy": {"retentionType": ""}});
        assert_eq!(etcd(spelled_out), nothing);
        assert_eq!(serde_json::to_value(nothing).unwrap(), json!({}));
    }

    #[test]
    fn policies_read_as_documented() {
        let number = etcd(
            json!({"retentionPolicy": {"retentionType": "RetentionNumber", "retentionNumber": {"maxNumberOfBackups": 5}}}),
        );
        assert_eq!(number.retention_policy.retention_type, RetentionType::RetentionNumber);
        assert_eq!(number.retention_policy.retention_number, Some(RetentionNumber { max_number_of_backups: 5 }));

        let size = etcd(
            json!({"retentionPolicy": {"retentionType": "RetentionSize", "retentionSize": {"maxSizeOfBackupsGb": 20}}}),
        );
        assert_eq!(size.retention_policy.retention_type, RetentionType::RetentionSize);
        assert_eq!(size.retention_policy.retention_size, Some(RetentionSize { max_size_of_backups_gb: 20 }));
    }

    #[test]
    fn a_retention_policy_means_what_the_documentation_says() {
        let gib = 1 << 30;
        let rows = [
            (json!({}), Retention::Number { max_sets: 15 }),
            (json!({"retentionType": "RetentionNumber"}), Retention::Number { max_sets: 15 }),
            (json!({"retentionNumber": {"maxNumberOfBackups": 5}}), Retention::Number { max_sets: 5 }),
            (json!({"retentionType": "RetentionSize"}), Retention::Size { max_bytes: 10 * gib }),
            (
                json!({"retentionType": "RetentionSize", "retentionSize": {"maxSizeOfBackupsGb": 20}}),
                Retention::Size { max_bytes: 20 * gib },
            ),
            (
                json!({"retentionType": "RetentionSize", "retentionSize": {"maxSizeOfBackupsGb": i64::MAX}}),
                Retention::Size { max_bytes: u64::MAX },
            ),
        ];
        for (policy, expected) in rows {
            let etcd = etcd(json!({"retentionPolicy": policy}));
            assert_eq!(Retention::from(&etcd.retention_policy), expected, "{policy}");
        }
    }

    #[test]
    fn a_policy_accepts_only_what_an_annotation_says_whole() {
        let mut backup = Backup::new("nightly", BackupSpec::default());
        assert_eq!(backup.policy(None), Policy::new(Retention::Number { max_sets: 15 }));
        backup.annotations_mut().insert(ACCEPT_LINEAGE.into(), "9d2f/7".into());
        let policy = backup.policy(Some("9d2f"));
        assert_eq!(policy.expected_volume.as_deref(), Some("9d2f"));
        assert_eq!(policy.accepted_lineage, Some(AcceptedLineage { volume: "9d2f".into(), sequence: 7 }));
        backup.annotations_mut().insert(ACCEPT_LINEAGE.into(), "yes".into());
        assert_eq!(backup.policy(None).accepted_lineage, None);
        assert!(backup.accepted_lineage().unwrap().is_err());
    }

    #[test]
    fn a_status_has_the_names_that_the_columns_read() {
        let status = json!({
            "observedGeneration": 3,
            "cronJob": {"namespace": "openshift-etcd", "name": "nightly"},
            "pvcName": "etcd-backup-pvc",
            "volumeId": "9d2f9a52-7d55-4b85-a9d3-0fd4c8d0cd42",
            "lastScheduleTime": "2026-01-02T04:20:00Z",
            "lastMissedTime": "2025-12-24T04:20:00Z",
            "lastSuccessfulTime": "2026-01-02T04:20:12Z",
            "nextScheduleTime": "2026-01-03T04:20:00Z",
            "retained": {
                "count": 5, "sizeBytes": 1_288_490_188, "size": "1.2 GiB",
                "oldest": "2025-12-29T04:20:12Z", "newest": "2026-01-02T04:20:12Z",
                "time": "2026-01-02T04:20:12Z", "volumeId": "9d2f9a52-7d55-4b85-a9d3-0fd4c8d0cd42",
                "reason": "Satisfied", "message": "3 of at most 3 are kept",
            },
            "consecutiveFailures": 0,
            "policyHash": "ab",
        });
        let read: BackupStatus = serde_json::from_value(status.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), status);
    }
}

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::BackupJob;

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
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
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
    /// Starts no new runs. What is kept is not changed by it.
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
    /// Scheduled and RetentionSatisfied; Ready and Stalled by kstatus' rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The CronJob that starts the runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron_job: Option<BackupJob>,
    /// Identity of the volume that holds the backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    /// When a run was last due, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When a run last ended with a verified backup, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,
    /// When the next run is due, UTC, as text: kubectl prints dates in the future as invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<String>,
    /// What is on the volume of this schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained: Option<Retained>,
    /// Runs that failed since the last good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<i32>,
    /// Hash of the policy that was last enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<String>,
}

/// Sets on the volume.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retained {
    /// Verified sets.
    pub count: i32,
    /// Their bytes.
    pub size_bytes: i64,
    /// Their bytes for people, such as `1.2 GiB`.
    pub size: String,
    /// Time of the oldest, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Time>,
    /// Time of the newest, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Time>,
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
    fn a_status_has_the_names_that_the_columns_read() {
        let status = json!({
            "observedGeneration": 3,
            "cronJob": {"namespace": "openshift-etcd", "name": "nightly"},
            "volumeId": "9d2f9a52-7d55-4b85-a9d3-0fd4c8d0cd42",
            "lastScheduleTime": "2026-01-02T04:20:00Z",
            "lastSuccessfulTime": "2026-01-02T04:20:12Z",
            "nextScheduleTime": "2026-01-03T04:20:00Z",
            "retained": {
                "count": 5, "sizeBytes": 1_288_490_188, "size": "1.2 GiB",
                "oldest": "2025-12-29T04:20:12Z", "newest": "2026-01-02T04:20:12Z",
            },
            "consecutiveFailures": 0,
            "policyHash": "ab",
        });
        let read: BackupStatus = serde_json::from_value(status.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), status);
    }
}

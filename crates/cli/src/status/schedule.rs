//! A schedule as `status` tells of it. Pure.

use etcd_backup_api::{Backup, EtcdBackup, conditions};
use etcd_backup_core::Retention;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use crate::etcdbackup::{schedule_of, time};

/// A Backup: when it runs, what it keeps, and how it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schedule {
    pub(super) name: String,
    /// As in the spec; empty means that there are no runs.
    pub(super) schedule: String,
    pub(super) time_zone: String,
    pub(super) suspended: bool,
    pub(super) pvc_name: String,
    /// Ready's reason, or that the operator has not seen it.
    pub(super) state: String,
    /// When a run last ended with a verified backup, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_successful_time: Option<Timestamp>,
    /// The record of the newest verified backup, while the operator keeps one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_good_backup: Option<String>,
    /// When the next run is due, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_schedule_time: Option<Timestamp>,
    /// What is on the volume, as the newest run found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retained: Option<Retained>,
    /// What may be there.
    pub(super) limit: Retention,
    /// Runs that failed since the last good one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) consecutive_failures: Option<i32>,
}

/// Sets on the volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Retained {
    /// Verified sets.
    pub(super) count: i32,
    /// Bytes of all sets of the schedule.
    pub(super) size_bytes: i64,
    /// The same for people.
    pub(super) size: String,
}

impl Schedule {
    /// Reads a Backup; the records of its runs are among `backups`.
    pub(super) fn of(backup: &Backup, backups: &[EtcdBackup]) -> Self {
        let (etcd, status) = (&backup.spec.etcd, backup.status.clone().unwrap_or_default());
        let ready = conditions::get(&status.conditions, "Ready");
        let retained = status.retained.map(|found| Retained {
            count: found.count,
            size_bytes: found.size_bytes,
            size: found.size,
        });
        Self {
            name: backup.name_any(),
            schedule: etcd.schedule.clone(),
            time_zone: if etcd.time_zone.is_empty() { "Etc/UTC".to_owned() } else { etcd.time_zone.clone() },
            suspended: etcd.suspend,
            pvc_name: etcd.pvc_name.clone(),
            state: ready.map_or_else(|| "NotSeen".to_owned(), |ready| ready.reason.clone()),
            last_successful_time: status.last_successful_time.map(|time| time.0),
            last_good_backup: last_good(&backup.name_any(), backups),
            next_schedule_time: status.next_schedule_time.and_then(|time| time.parse().ok()),
            retained,
            limit: Retention::from(&etcd.retention_policy),
            consecutive_failures: status.consecutive_failures,
        }
    }
}

fn last_good(schedule: &str, backups: &[EtcdBackup]) -> Option<String> {
    let verified = |backup: &&EtcdBackup| {
        backup.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, "Verified"))
    };
    let records = backups.iter().filter(|backup| schedule_of(backup) == Some(schedule)).filter(verified);
    records.max_by_key(|backup| time(backup)).map(ResourceExt::name_any)
}

//! For the tests of the pure parts: what was observed of a Backup, to be varied.

use std::sync::Arc;

use etcd_backup_api::{Backup, BackupStatus};
use etcd_backup_core::Report;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use serde_json::{Value, json};

use super::build;
use super::decision::{Found, History, Observed};
use super::runs::{End, Run};
use super::timetable::Timetable;
use crate::config::Config;
use crate::etcdbackup::volume::Volume;

/// The volume on which everything is.
pub(crate) const VOLUME: &str = "9d2f9a52-7d55-4b85-a9d3-0fd4c8d0cd42";

/// The operator's configuration for a platform.
pub(crate) fn config(platform: &str) -> Config {
    let args = ["etcd-backup-operator", "--platform", platform, "--image", "example.org/etcd-backup:1"];
    clap::Parser::parse_from(args)
}

/// A Backup with this `spec.etcd`.
pub(crate) fn backup(etcd: Value) -> Backup {
    serde_json::from_value(json!({
        "apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup",
        "metadata": {"name": "nightly", "uid": "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11", "generation": 1},
        "spec": {"etcd": etcd},
    }))
    .unwrap()
}

/// `hh:mm` or `hh:mm:ss` of one day.
pub(crate) fn at(time: &str) -> Timestamp {
    let seconds = if time.len() == 5 { ":00" } else { "" };
    format!("2026-01-02T{time}{seconds}Z").parse().unwrap()
}

/// A Backup at 04:20 of which nothing is there yet, with a claim that can be used.
pub(crate) fn nothing_yet() -> Observed {
    let node = json!({"metadata": {"name": "m", "labels": {"node-role.kubernetes.io/control-plane": ""}},
                      "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let claim = json!({"metadata": {"name": "claim"}, "status": {"phase": "Bound"}});
    Observed {
        backup: backup(json!({"schedule": "20 4 * * *", "pvcName": "claim"})),
        cluster: "c1u5-7e12".into(),
        cron_job: Found::Absent,
        policy: Found::Absent,
        runs: Vec::new(),
        prunes: Vec::new(),
        volume: Volume {
            namespace: "openshift-etcd".into(),
            name: "claim".into(),
            claim: Some(Arc::new(serde_json::from_value(claim).unwrap())),
            ..Volume::default()
        },
        nodes: vec![Arc::new(serde_json::from_value(node).unwrap())],
        reports: Vec::new(),
        catalogue: None,
        history: History::default(),
        awake: at("00:00"),
    }
}

impl Observed {
    /// With the CronJob as the spec asks for it, made at midnight, its last run due at a time.
    pub(crate) fn with_cron_job(mut self, last: Option<&str>) -> Self {
        let etcd = &self.backup.spec.etcd;
        let timetable = Timetable::parse(&etcd.schedule, &etcd.time_zone).unwrap();
        let owner = self.backup.owner(&self.cluster);
        let mut cron_job: CronJob = build::cron_job(&self.backup, &owner, &timetable, at("00:00"), &config("kubeadm"));
        cron_job.metadata.creation_timestamp = Some(serde_json::from_value(json!(at("00:00"))).unwrap());
        cron_job.status = last.map(|last| serde_json::from_value(json!({"lastScheduleTime": at(last)})).unwrap());
        self.cron_job = Found::Ours(cron_job);
        self
    }

    /// With a run that was due at a time and ended or not.
    pub(crate) fn with_run(mut self, due: &str, end: Option<&str>) -> Self {
        let end = end.map(|end| End { at: at(end), succeeded: true });
        self.runs.push(Run { id: format!("run-{due}"), created: at(due), due: Some(at(due)), end });
        self
    }

    /// With a status from before.
    pub(crate) fn with_status(mut self, status: Value) -> Self {
        let status: BackupStatus = serde_json::from_value(status).unwrap();
        self.backup.status = Some(status);
        self
    }

    /// With a report of a run or a Job that pruned.
    pub(crate) fn with_report(mut self, report: Report) -> Self {
        self.reports.push(Arc::new(report));
        self
    }
}

/// A report that ended at a time, on a volume, with this `retention`.
pub(crate) fn report(ended: &str, volume: &str, retention: Value) -> Report {
    serde_json::from_value(json!({
        "schemaVersion": "1.0", "runId": "11111111-5c1b", "outcome": "Completed", "reason": "Pruned", "message": "m",
        "startTime": at("00:00"), "completionTime": at(ended), "node": "n", "volumeId": volume, "retention": retention,
    }))
    .unwrap()
}

/// What a run says of retention.
pub(crate) fn retention(reason: &str, hash: Option<&str>, verified: u64) -> Value {
    json!({
        "reason": reason, "message": format!("said the agent: {reason}"), "policyHash": hash, "deleted": 0, "deletedBytes": 0,
        "peakBytes": 0, "retained": {"verified": verified, "sets": verified, "sizeBytes": verified * 1024},
    })
}
